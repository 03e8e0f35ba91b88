"""The gate that bounds what is made side by side."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from agent.pods.gate import StartGate, Urgency
from shared.work.supervisor import Supervisor


async def test_the_most_urgent_goes_first() -> None:
    gate, order = StartGate(1), []

    async def pass_through(name: str, urgency: Urgency) -> None:
        async with gate.slot(urgency):
            order.append(name)

    async with Supervisor() as supervisor, gate.slot(Urgency.WARM):
        for name, urgency in (("w", Urgency.WARM), ("s1", Urgency.SANDBOX), ("s2", Urgency.SANDBOX)):
            supervisor.spawn(name, pass_through(name, urgency))
        await asyncio.sleep(0)
        supervisor.spawn("c", pass_through("c", Urgency.CONTAINER))
        await asyncio.sleep(0)
    assert order == ["c", "s1", "s2", "w"]


@given(st.lists(st.tuples(st.sampled_from(list(Urgency)), st.booleans()), max_size=20), st.integers(1, 4))
def test_never_more_than_the_limit_and_no_place_is_lost(entries: list[tuple[Urgency, bool]], limit: int) -> None:
    async def run() -> None:
        gate, inside, most = StartGate(limit), 0, 0

        async def pass_through(urgency: Urgency) -> None:
            nonlocal inside, most
            async with gate.slot(urgency):
                inside += 1
                most = max(most, inside)
                try:
                    await asyncio.sleep(0)
                finally:
                    inside -= 1

        async with Supervisor() as supervisor:
            for urgency, cancelled in entries:
                task = supervisor.spawn("x", pass_through(urgency))
                if cancelled:
                    await asyncio.sleep(0)
                    task.cancel()
        assert most <= limit
        async with asyncio.timeout(1):
            for _ in range(limit):
                await gate._enter(Urgency.WARM)  # every place is free again

    asyncio.run(run())

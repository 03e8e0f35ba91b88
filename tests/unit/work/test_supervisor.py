"""The supervisor: who ends whom."""

import asyncio
import logging

import pytest

from shared.work.supervisor import Supervisor

pytestmark = pytest.mark.looptime


async def forever() -> None:
    await asyncio.Event().wait()


async def fail() -> None:
    await asyncio.sleep(1)
    raise ValueError("broken")


async def test_a_failed_service_ends_all_and_is_told():
    others = []

    async def owner() -> None:
        async with Supervisor() as supervisor:
            others.append(supervisor.service("other", forever()))
            supervisor.service("fails", fail())

    with pytest.raises(ExceptionGroup) as caught:
        await owner()
    assert caught.group_contains(ValueError, match="broken")
    assert others[0].cancelled()


async def test_a_failed_guarded_task_is_logged_with_its_name_and_ends_nobody(caplog):
    async with Supervisor() as supervisor:
        supervisor.spawn("guarded", fail())
        other = supervisor.service("other", asyncio.sleep(10))
    assert not other.cancelled()
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.task == "guarded"
    assert record.exc_info[0] is ValueError


async def test_stop_cancels_every_task_and_leaves_quietly():
    async with Supervisor() as supervisor:
        tasks = [supervisor.service("one", forever()), supervisor.spawn("two", forever())]
        await asyncio.sleep(1)
        supervisor.stop()
    assert all(task.cancelled() for task in tasks)


async def test_a_task_started_after_stop_never_runs():
    ran = []

    async def work() -> None:
        ran.append(1)

    async with Supervisor() as supervisor:
        supervisor.stop()
        supervisor.spawn("late", work())
    assert ran == []


async def test_a_task_started_after_the_end_is_refused_without_leaking_its_coroutine():
    async with Supervisor() as supervisor:
        pass
    with pytest.raises(RuntimeError):
        supervisor.service("late", forever())
    with pytest.raises(RuntimeError):
        supervisor.spawn("late", forever())


async def test_cancelling_the_owner_cancels_its_tasks():
    tasks = []

    async def owner() -> None:
        async with Supervisor() as supervisor:
            tasks.append(supervisor.service("one", forever()))
            tasks.append(supervisor.spawn("two", forever()))

    async with asyncio.TaskGroup() as group:
        task = group.create_task(owner())
        await asyncio.sleep(1)
        task.cancel()
    assert task.cancelled()
    assert all(task.cancelled() for task in tasks)


async def test_tasks_have_their_names():
    async with Supervisor() as supervisor:
        names = [supervisor.service("one", asyncio.sleep(0)).get_name(), supervisor.spawn("two", fail()).get_name()]
    assert names == ["one", "two"]

"""Changes of resources in place: what a node gives, how containers get it, and what is told meanwhile."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from agent.pods.decide import decide
from agent.pods.observed import Failure, Moment, Observed, Resize, resize_key, spec_hash
from agent.pods.plan import Plan, ResizeContainer, StopContainers
from agent.pods.reports import same_status
from agent.pods.resizes import Amounts, hindrance, is_done, summary, urgency, with_resources_of
from agent.pods.restarts import RESIZED, wants_restart
from agent.pods.status import NodeFacts, pod_status
from agent.runtime.base import ContainerInfo, PodIdentity, Resources, Sandbox, State
from shared.api.pod import Container, Pod, PodStatus

WALL = datetime(2026, 5, 1, 12, tzinfo=UTC)
NOW = Moment(WALL, 1000.0)
NODE = NodeFacts("node-1", "192.0.2.7")
IDENTITY = PodIdentity("uid-1", "default", "p")
SANDBOX = Sandbox("sb", IDENTITY, True, 42, WALL, "p")

ONE = {"requests": {"cpu": "1", "memory": "64Mi"}, "limits": {"cpu": "1", "memory": "64Mi"}}
TWO = {"requests": {"cpu": "2", "memory": "64Mi"}, "limits": {"cpu": "2", "memory": "64Mi"}}
BIG = {"requests": {"cpu": "1", "memory": "128Mi"}, "limits": {"cpu": "1", "memory": "128Mi"}}
HAS_ONE, HAS_TWO = Resources(1024, 100_000, 64 << 20), Resources(2048, 200_000, 64 << 20)


def pod(
    resources: Any = ONE, policy: Any = (), status: Any = None, field: str = "containers", **spec: Any
) -> Pod:  # fmt: skip
    container = {"name": "c", "image": "app:1", "resources": resources, "resizePolicy": list(policy)}
    if field == "initContainers":
        spec = {"containers": [{"name": "main", "image": "app:1"}], **spec}
    tree = {
        "metadata": {"name": "p", "namespace": "default", "uid": "uid-1", "generation": 3},
        "spec": {field: [container], **spec},
        "status": status or {},
    }
    return msgspec.convert(tree, Pod, strict=False)


def info(resources: Resources = HAS_ONE, state: State = State.RUNNING, init: bool = False) -> ContainerInfo:
    digest = spec_hash(Container(name="c", image="app:1"))
    return ContainerInfo(
        "c-0", IDENTITY, "c", 0, "sb", state, "app:1", "sha256:1", WALL, WALL, spec_hash=digest, init=init,
        resources=resources,
    )  # fmt: skip


def seen(*containers: ContainerInfo, **more: Any) -> Observed:
    ended = {c.id: 999.0 for c in containers if c.state is State.EXITED}
    return Observed(
        **{"sandbox": SANDBOX, "address": "10.0.0.5", "containers": containers, "volumes_ready": True, "ended": ended}
        | more
    )


# --- what a node gives


@pytest.mark.parametrize(
    ("wanted", "others", "reason", "message"),
    [
        (Amounts(1000, 100), Amounts(3000, 0), "", ""),
        (Amounts(1001, 100), Amounts(3000, 0), "Deferred",
         "Node didn't have enough resource: cpu, requested: 1001, used: 3000, capacity: 4000"),
        (Amounts(0, 600), Amounts(0, 500), "Deferred",
         "Node didn't have enough resource: memory, requested: 600, used: 500, capacity: 1000"),
        (Amounts(5000, 0), Amounts(), "Infeasible",
         "Node didn't have enough capacity: cpu, requested: 5000, capacity: 4000"),
        (Amounts(5000, 2000), Amounts(), "Infeasible",
         "Node didn't have enough capacity: memory, requested: 2000, capacity: 1000"),
    ],
)  # fmt: skip
def test_what_a_node_gives(wanted: Amounts, others: Amounts, reason: str, message: str) -> None:
    assert hindrance(wanted, others, Amounts(4000, 1000)) == (reason, message)


def test_who_waits_is_looked_at_by_urgency() -> None:
    guaranteed, burstable = pod(TWO), pod({"requests": {"cpu": "2"}})
    important = pod({"requests": {"cpu": "2"}}, priority=5)
    less = pod({"requests": {"cpu": "500m"}})
    waiting = [(burstable, "burstable"), (guaranteed, "guaranteed"), (important, "important"), (less, "less")]
    held = pod({"requests": {"cpu": "1", "memory": "64Mi"}})
    assert [name for _, name in sorted((urgency(each, held), name) for each, name in waiting)] == [
        "less", "important", "guaranteed", "burstable",
    ]  # fmt: skip


def test_what_is_set_aside_stands_in_for_what_is_wanted() -> None:
    held, wanted = pod(ONE), pod(TWO, activeDeadlineSeconds=5)
    settled = with_resources_of(wanted, held)
    assert settled.spec.containers == held.spec.containers
    assert settled.spec.active_deadline_seconds == 5
    assert with_resources_of(wanted, wanted) is wanted


# --- how containers get it

RESTART_CPU = [{"resourceName": "cpu", "restartPolicy": "RestartContainer"}]
RESIZE = Plan((ResizeContainer("c", "c-0"),))
STOP = Plan((StopContainers(("c-0",), 30.0, "Container c resize requires restart", RESIZED),))


@pytest.mark.parametrize(
    ("wanted", "seen", "expected"),
    [
        (pod(ONE), seen(info()), Plan()),
        (pod(TWO), seen(info()), RESIZE),
        (pod(BIG), seen(info()), RESIZE),
        (pod(TWO, RESTART_CPU), seen(info()), STOP),
        (pod(BIG, RESTART_CPU), seen(info()), RESIZE),
        (pod(TWO), seen(info(), asked={"c-0": HAS_TWO}), Plan()),
        (pod(TWO), seen(info(), asked={"c-0": HAS_ONE}), RESIZE),
        (pod(TWO, RESTART_CPU), seen(info(), stopping={"c-0": 1030.0}), Plan()),
        (pod(TWO), seen(info(), failures={resize_key("c"): Failure("ResizeError", "x", 999.0, 1005.0)}), Plan((), 5.0)),
        (pod(TWO), seen(info(), failures={resize_key("c"): Failure("ResizeError", "x", 990.0, 999.0)}), RESIZE),
        (pod(TWO, field="initContainers"), seen(info(init=True)), RESIZE),
    ],
)
def test_running_containers_get_it(wanted: Pod, seen: Observed, expected: Plan) -> None:
    assert decide(wanted, seen, NOW) == expected


def test_a_container_that_was_stopped_for_it_runs_again_whatever_the_policy() -> None:
    ended = replace(info(state=State.EXITED), exit_code=0)
    stopped = seen(ended, killed={"c-0": RESIZED})
    made = pod(TWO, RESTART_CPU, restartPolicy="OnFailure")
    assert wants_restart(made, made.spec.containers[0], ended, stopped)
    assert not is_done(made, stopped)


@pytest.mark.parametrize(
    ("actual", "asked", "state", "expected"),
    [
        (HAS_TWO, {}, State.RUNNING, True),
        (HAS_ONE, {}, State.RUNNING, False),
        (HAS_ONE, {"c-0": HAS_TWO}, State.RUNNING, True),
        (HAS_ONE, {}, State.EXITED, True),
    ],
)
def test_it_is_done_once_no_running_container_has_less(
    actual: Resources, asked: dict[str, Resources], state: State, expected: bool
) -> None:
    assert is_done(pod(TWO), seen(info(actual, state), asked=asked)) is expected


# --- what is told


@pytest.mark.parametrize(
    ("actual", "state", "expected"),
    [
        (HAS_TWO, State.RUNNING, TWO),
        (HAS_ONE, State.RUNNING, ONE),
        (HAS_ONE, State.EXITED, TWO),
        (Resources(512, 0, 0), State.RUNNING, {"limits": {}, "requests": {"cpu": "500m", "memory": "64Mi"}}),
        (Resources(2048, 200_000, 32 << 20), State.RUNNING,
         {"limits": {"cpu": "2", "memory": "32Mi"}, "requests": TWO["requests"]}),
    ],
)  # fmt: skip
def test_the_status_tells_what_a_container_has(actual: Resources, state: State, expected: Any) -> None:
    [told] = pod_status(pod(TWO), seen(info(actual, state)), NODE, NOW)["containerStatuses"]
    assert told["resources"] == expected
    assert told["allocatedResources"] == TWO["requests"]


def test_a_container_that_was_never_made_has_nothing_yet() -> None:
    [told] = pod_status(pod(TWO), Observed(), NODE, NOW)["containerStatuses"]
    assert not told.keys() & {"resources", "allocatedResources"}


def resize_conditions(status: Any) -> Any:
    kept = ("status", "reason", "message", "observedGeneration", "$patch")
    return {
        each["type"]: {key: each[key] for key in kept if each.get(key)}
        for each in status["conditions"]
        if "Resize" in each["type"]
    }


PENDING = Resize(pending="Deferred", message="no room", pending_generation=3)
GIVING, FAILING = Resize(generation=2), Resize(generation=2, error="x")


@pytest.mark.parametrize(
    ("resize", "expected"),
    [
        (Resize(), {}),
        (PENDING, {"PodResizePending": {"reason": "Deferred", "message": "no room", "observedGeneration": 3}}),
        (GIVING, {"PodResizeInProgress": {"observedGeneration": 2}}),
        (FAILING, {"PodResizeInProgress": {"reason": "Error", "message": "x", "observedGeneration": 2}}),
    ],
)  # fmt: skip
def test_conditions_of_a_resize(resize: Resize, expected: Any) -> None:
    status = pod_status(pod(), seen(info(), resize=resize), NODE, NOW)
    assert resize_conditions(status) == {kind: {"status": "True", **told} for kind, told in expected.items()}


def test_a_condition_that_holds_no_longer_is_taken_away() -> None:
    shown = {"conditions": [{"type": "PodResizePending", "status": "True", "reason": "Deferred"}]}
    status = pod_status(pod(status=shown), seen(info()), NODE, NOW)
    assert resize_conditions(status) == {"PodResizePending": {"$patch": "delete"}}
    known = msgspec.convert(shown, PodStatus)
    assert not same_status(known, status)
    told = pod_status(pod(), seen(info(), resize=PENDING), NODE, NOW)
    assert resize_conditions(pod_status(pod(), seen(info()), NODE, NOW, told)) == {
        "PodResizePending": {"$patch": "delete"}
    }


def test_events_tell_the_resources() -> None:
    assert summary("Pod resize completed", pod(TWO), 3) == (
        'Pod resize completed: {"containers":[{"name":"c","resources":{"limits":{"cpu":"2","memory":"64Mi"},'
        '"requests":{"cpu":"2","memory":"64Mi"}}}],"generation":3}'
    )
    assert summary("Pod resize Deferred", pod({}), 3, "no room") == (
        'Pod resize Deferred: {"containers":[{"name":"c","resources":{}}],"generation":3,"error":"no room"}'
    )

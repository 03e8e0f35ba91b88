"""``decide`` as a table: how things stand, and what is to be done about it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.network.base import PortMapping
from agent.pods.decide import decide
from agent.pods.observed import (
    POD,
    TEARDOWN,
    CrashBackoff,
    Ending,
    Failure,
    Health,
    Moment,
    Observed,
    Pull,
    PullState,
    spec_hash,
)
from agent.pods.plan import (
    CleanUp,
    DeletePodObject,
    EnsureImage,
    EnsureSandbox,
    Plan,
    PrepareVolumes,
    PublishPorts,
    RemoveContainers,
    RemoveSandboxes,
    StartContainer,
    StopContainers,
)
from agent.pods.restarts import SPEC_CHANGED, UNHEALTHY
from agent.runtime.base import ContainerInfo, PodIdentity, Sandbox, State
from shared.api.pod import Container, Pod

WALL = datetime(2026, 5, 1, 12, tzinfo=UTC)
NOW = Moment(WALL, 1000.0)
IDENTITY = PodIdentity("uid-1", "default", "p")
SANDBOX = Sandbox("sb", IDENTITY, True, 42, WALL, "p")


def pod(*, metadata: dict[str, Any] | None = None, status: dict[str, Any] | None = None, **spec: Any) -> Pod:
    tree = {
        "metadata": {"name": "p", "namespace": "default", "uid": "uid-1"} | (metadata or {}),
        "spec": {"containers": [{"name": "c", "image": "app:1"}]} | spec,
        "status": status or {},
    }
    return msgspec.convert(tree, Pod)


def info(
    name: str = "c",
    state: State = State.RUNNING,
    attempt: int = 0,
    *,
    image: str = "app:1",
    sandbox: str = "sb",
    exit_code: int = 0,
    init: bool = False,
) -> ContainerInfo:
    return ContainerInfo(
        id=f"{name}-{attempt}",
        pod=IDENTITY,
        name=name,
        attempt=attempt,
        sandbox_id=sandbox,
        state=state,
        image=image,
        image_id="sha256:1",
        created_at=WALL + timedelta(seconds=attempt),
        started_at=WALL if state is not State.CREATED else None,
        finished_at=WALL if state is State.EXITED else None,
        exit_code=exit_code,
        spec_hash=spec_hash(Container(name=name, image=image)),
        init=init,
    )


def ended(name: str = "c", attempt: int = 0, exit_code: int = 1, **more: Any) -> ContainerInfo:
    return info(name, State.EXITED, attempt, exit_code=exit_code, **more)


def seen(*containers: ContainerInfo, sandbox: Sandbox | None = SANDBOX, **more: Any) -> Observed:
    past = {i.id: 990.0 for i in containers if i.state is State.EXITED}
    return Observed(
        **{"sandbox": sandbox, "address": "10.0.0.5", "containers": containers, "ended": past, "volumes_ready": True}
        | more
    )


def deleting(grace: int = 30) -> dict[str, Any]:
    return {"deletionTimestamp": "2026-05-01T12:00:30Z", "deletionGracePeriodSeconds": grace}


TWO = [{"name": "c", "image": "app:1"}, {"name": "d", "image": "app:1"}]
INITS = [{"name": "i", "image": "app:1"}, {"name": "j", "image": "app:1"}]
PROBE = {"exec": {"command": ["x"]}}
LIVENESS = [{"name": "c", "image": "app:1", "livenessProbe": PROBE | {"terminationGracePeriodSeconds": 5}}]
STARTUP = [{"name": "c", "image": "app:1", "startupProbe": PROBE}]
SIDECAR = [{"name": "s", "image": "app:1", "restartPolicy": "Always"}]
GONE = replace(SANDBOX, running=False)


def start(name: str = "c", attempt: int = 0, init: bool = False, image: str = "app:1") -> tuple[Any, ...]:
    return (EnsureImage(name, attempt, image, "IfNotPresent"), StartContainer(name, attempt, init))


CASES: dict[str, tuple[Pod | None, Observed, Plan]] = {
    "a new pod gets volumes and a warm sandbox": (
        pod(),
        Observed(),
        Plan((PrepareVolumes(), EnsureSandbox("p", False, True))),
    ),
    "a pod with a hostname takes no warm sandbox": (
        pod(hostname="db-0"),
        Observed(),
        Plan((PrepareVolumes(), EnsureSandbox("db-0", False, False))),
    ),
    "a pod of a StatefulSet takes no warm sandbox": (
        pod(metadata={"ownerReferences": [{"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "db", "uid": "u"}]}),
        Observed(volumes_ready=True),
        Plan((EnsureSandbox("p", False, False),)),
    ),
    "a pod on the host's network takes no warm sandbox": (
        pod(hostNetwork=True),
        Observed(volumes_ready=True),
        Plan((EnsureSandbox("p", True, False),)),
    ),
    "in its sandbox the containers start": (pod(containers=TWO), seen(), Plan((*start("c"), *start("d")))),
    "host ports come before containers": (
        pod(containers=[{"name": "c", "image": "app:1", "ports": [{"containerPort": 80, "hostPort": 8080}]}]),
        seen(),
        Plan((PublishPorts((PortMapping(8080, 80),)), *start())),
    ),
    "a sandbox that failed is tried again later": (
        pod(),
        Observed(failures={POD: Failure("FailedCreatePodSandBox", "no", 999.0, 1004.0)}),
        Plan((), 4.0),
    ),
    "all runs: nothing": (pod(containers=TWO), seen(info("c"), info("d")), Plan()),
    "an image that is being pulled is waited for": (
        pod(),
        seen(pulls={"c": Pull(0, "app:1", PullState.PENDING)}),
        Plan(),
    ),
    "an image that is there is not asked for again": (
        pod(),
        seen(pulls={"c": Pull(0, "app:1", PullState.READY)}),
        Plan((StartContainer("c", 0),)),
    ),
    "a failed pull waits, and looks again when its status turns": (
        pod(),
        seen(
            failures={
                "c": Failure("ErrImagePull", "no", 999.0, 1009.0, 1, spec_hash(Container(name="c", image="app:1")))
            }
        ),
        Plan((), 1.0),
    ),
    "another image is tried at once": (
        pod(containers=[{"name": "c", "image": "app:2"}]),
        seen(
            failures={
                "c": Failure("ErrImagePull", "no", 999.0, 1009.0, 1, spec_hash(Container(name="c", image="app:1")))
            }
        ),
        Plan(start(image="app:2")),
    ),
    "one container's failure holds back only itself": (
        pod(containers=TWO),
        seen(failures={"c": Failure("X", "no", 999.0, 1009.0, 1, spec_hash(Container(name="c", image="app:1")))}),
        Plan(start("d"), 9.0),
    ),
    "the first init container alone": (pod(initContainers=INITS), seen(), Plan(start("i", init=True))),
    "an init container that runs is waited for": (
        pod(initContainers=INITS),
        seen(info("i", init=True)),
        Plan(),
    ),
    "the second init container after the first": (
        pod(initContainers=INITS),
        seen(ended("i", exit_code=0, init=True)),
        Plan(start("j", init=True)),
    ),
    "the containers after all init containers": (
        pod(initContainers=INITS),
        seen(ended("i", exit_code=0, init=True), ended("j", exit_code=0, init=True)),
        Plan(start()),
    ),
    "an init container that failed runs again": (
        pod(initContainers=INITS),
        seen(ended("i", init=True)),
        Plan(start("i", 1, init=True)),
    ),
    "an init container's back-off": (
        pod(initContainers=INITS),
        seen(ended("i", 1, init=True), backoffs={"i": CrashBackoff(20.0, 980.0)}),
        Plan((), 10.0),
    ),
    "a failed init container of a Never pod is the end": (
        pod(initContainers=INITS, restartPolicy="Never"),
        seen(ended("i", init=True)),
        Plan((RemoveSandboxes(("sb",)),)),
    ),
    "init containers that were pruned do not run again beside running containers": (
        pod(initContainers=INITS),
        seen(info("c")),
        Plan(),
    ),
    "a sidecar starts first and lets the rest follow": (
        pod(initContainers=SIDECAR),
        seen(info("s", init=True)),
        Plan(start()),
    ),
    "a sidecar that has not started holds the rest back": (
        pod(initContainers=SIDECAR),
        seen(),
        Plan(start("s", init=True)),
    ),
    "a sidecar that ended comes back": (
        pod(initContainers=SIDECAR),
        seen(ended("s", exit_code=0, init=True), info("c")),
        Plan(start("s", 1, init=True)),
    ),
    "Always restarts after success": (pod(), seen(ended(exit_code=0)), Plan(start(attempt=1))),
    "OnFailure restarts after failure": (
        pod(restartPolicy="OnFailure"),
        seen(ended()),
        Plan(start(attempt=1)),
    ),
    "OnFailure does not restart after success": (
        pod(restartPolicy="OnFailure", containers=TWO),
        seen(ended(exit_code=0), info("d")),
        Plan(),
    ),
    "Never does not restart": (
        pod(restartPolicy="Never", containers=TWO),
        seen(ended(), info("d")),
        Plan(),
    ),
    "a finished pod gives its sandbox back and keeps its containers": (
        pod(restartPolicy="Never"),
        seen(ended(exit_code=0)),
        Plan((RemoveSandboxes(("sb",)),)),
    ),
    "a finished pod without sandbox: nothing, also for a new agent": (
        pod(restartPolicy="Never", status={"phase": "Succeeded"}),
        seen(ended(exit_code=0), sandbox=None),
        Plan(),
    ),
    "a finished pod stops its sidecars": (
        pod(restartPolicy="Never", initContainers=SIDECAR),
        seen(info("s", init=True), ended(exit_code=0)),
        Plan((StopContainers(("s-0",), 30.0),)),
    ),
    "crash back-off": (
        pod(),
        seen(ended(attempt=2), backoffs={"c": CrashBackoff(40.0, 950.0)}),
        Plan((), 30.0),
    ),
    "crash back-off over": (
        pod(),
        seen(ended(attempt=1), backoffs={"c": CrashBackoff(10.0, 950.0)}),
        Plan(start(attempt=2)),
    ),
    "older dead instances are removed": (
        pod(),
        seen(info("c", attempt=2), ended(attempt=1), ended(attempt=0)),
        Plan((RemoveContainers(("c-0",)),)),
    ),
    "created and not started: start that one": (
        pod(),
        seen(info("c", State.CREATED)),
        Plan((StartContainer("c", 0, existing="c-0"),)),
    ),
    "created with another image: remove it and go on": (
        pod(containers=[{"name": "c", "image": "app:2"}]),
        seen(info("c", State.CREATED)),
        Plan((RemoveContainers(("c-0",)), *start(attempt=1, image="app:2"))),
    ),
    "could not be started: a crash": (
        pod(),
        seen(info("c", State.CREATED), start_errors={"c-0": "exec: not found"}, ended={"c-0": 1000.0}),
        Plan(start(attempt=1)),
    ),
    "could not be started, Never: the end": (
        pod(restartPolicy="Never"),
        seen(info("c", State.CREATED), start_errors={"c-0": "exec: not found"}),
        Plan((RemoveSandboxes(("sb",)),)),
    ),
    "a changed image": (
        pod(containers=[{"name": "c", "image": "app:2"}]),
        seen(info()),
        Plan((StopContainers(("c-0",), 30.0, "Container c definition changed, will be restarted", SPEC_CHANGED),)),
    ),
    "stopped for its changed image, even Never restarts": (
        pod(containers=[{"name": "c", "image": "app:2"}], restartPolicy="Never"),
        seen(ended(exit_code=0), killed={"c-0": SPEC_CHANGED}),
        Plan(start(attempt=1, image="app:2")),
    ),
    "liveness failed: stopped with the probe's own grace": (
        pod(containers=LIVENESS),
        seen(info(), health={"c-0": Health(liveness=False)}),
        Plan((StopContainers(("c-0",), 5.0, "Container c failed liveness probe, will be restarted", UNHEALTHY),)),
    ),
    "startup failed": (
        pod(containers=STARTUP),
        seen(info(), health={"c-0": Health(startup=False)}),
        Plan((StopContainers(("c-0",), 30.0, "Container c failed startup probe, will be restarted", UNHEALTHY),)),
    ),
    "being stopped: nothing more": (
        pod(containers=LIVENESS),
        seen(info(), health={"c-0": Health(liveness=False)}, stopping={"c-0": 1005.0}),
        Plan(),
    ),
    "stopped as unhealthy, exit 0, OnFailure: restarts": (
        pod(containers=LIVENESS, restartPolicy="OnFailure"),
        seen(ended(exit_code=0), killed={"c-0": UNHEALTHY}),
        Plan(start(attempt=1)),
    ),
    "the sandbox died: first what still runs is stopped": (
        pod(),
        seen(info(), sandbox=GONE),
        Plan((StopContainers(("c-0",), 30.0, "", UNHEALTHY),)),
    ),
    "the sandbox died: then everything again": (
        pod(initContainers=INITS),
        seen(ended("i", exit_code=0, init=True), ended(exit_code=137), sandbox=GONE),
        Plan((RemoveSandboxes(("sb",)), EnsureSandbox("p", False, True))),
    ),
    "init containers of an earlier sandbox run again": (
        pod(initContainers=INITS[:1]),
        seen(ended("i", exit_code=0, init=True, sandbox="old"), ended(exit_code=137, sandbox="old")),
        Plan(start("i", 1, init=True)),
    ),
    "a container that vanished comes back": (
        pod(),
        seen(ended(exit_code=137), vanished=frozenset({"c-0"})),
        Plan(start(attempt=1)),
    ),
    "deletion stops everything side by side with the grace that is left": (
        pod(containers=TWO, metadata=deleting()),
        seen(info("c"), info("d"), deletion_deadline=1020.0),
        Plan((StopContainers(("c-0", "d-0"), 20.0),), 22.0),
    ),
    "deletion stops sidecars last": (
        pod(initContainers=SIDECAR, metadata=deleting()),
        seen(info("s", init=True), info("c"), deletion_deadline=1020.0),
        Plan((StopContainers(("c-0",), 20.0),), 22.0),
    ),
    "deletion waits for what is being stopped": (
        pod(metadata=deleting()),
        seen(info(), deletion_deadline=1020.0, stopping={"c-0": 1020.0}),
        Plan((), 22.0),
    ),
    "a shortened grace stops again": (
        pod(metadata=deleting(5)),
        seen(info(), deletion_deadline=1005.0, stopping={"c-0": 1025.0}),
        Plan((StopContainers(("c-0",), 5.0),), 7.0),
    ),
    "deletion removes what has ended, then the object": (
        pod(metadata=deleting()),
        seen(ended(), deletion_deadline=1020.0),
        Plan((RemoveContainers(("c-0",)), RemoveSandboxes(("sb",)), CleanUp(), DeletePodObject("uid-1"))),
    ),
    "no grace left: removed at once": (
        pod(metadata=deleting(0)),
        seen(info(), deletion_deadline=1000.0),
        Plan((RemoveContainers(("c-0",)), RemoveSandboxes(("sb",)), CleanUp(), DeletePodObject("uid-1"))),
    ),
    "the engine did not kill in time: removed by force": (
        pod(metadata=deleting()),
        seen(info(), deletion_deadline=997.0, stopping={"c-0": 997.0}),
        Plan((RemoveContainers(("c-0",)), RemoveSandboxes(("sb",)), CleanUp(), DeletePodObject("uid-1"))),
    ),
    "a pod deleted before it began": (
        pod(metadata=deleting()),
        Observed(deletion_deadline=1020.0),
        Plan((CleanUp(), DeletePodObject("uid-1"))),
    ),
    "all gone but the object, the server being away": (
        pod(metadata=deleting()),
        Observed(deletion_deadline=990.0, cleaned=True, failures={TEARDOWN: Failure("X", "", 999.0, 1003.0)}),
        Plan((), 3.0),
    ),
    "deleted: nothing": (pod(metadata=deleting()), Observed(cleaned=True, deleted=True), Plan()),
    "ended by the node: stopped within its grace": (
        pod(),
        seen(info(), ending=Ending("Evicted", "", 1003.0)),
        Plan((StopContainers(("c-0",), 3.0),)),
    ),
    "ended by the node before anything ran": (
        pod(),
        Observed(sandbox=SANDBOX, ending=Ending("Evicted", "", 1003.0)),
        Plan((RemoveSandboxes(("sb",)),)),
    ),
    "active for its time: looked at again when that is over": (
        pod(activeDeadlineSeconds=60, status={"startTime": WALL - timedelta(seconds=20)}),
        seen(info()),
        Plan((), 40.0),
    ),
    "the object is gone: everything at once": (
        None,
        seen(info()),
        Plan((RemoveContainers(("c-0",)), RemoveSandboxes(("sb",)), CleanUp())),
    ),
    "the object is gone and so is the rest": (None, Observed(cleaned=True), Plan()),
}


@pytest.mark.parametrize("case", CASES, ids=list(CASES))
def test_decide(case: str) -> None:
    desired, observed, wanted = CASES[case]
    assert decide(desired, observed, NOW) == wanted


@st.composite
def _observations(draw: st.DrawFn) -> Observed:
    sandbox = draw(st.sampled_from([None, SANDBOX, GONE]))
    containers = []
    for name in ("i", "c", "d"):
        for attempt in range(draw(st.integers(0, 3))):
            state = draw(st.sampled_from(list(State)))
            where = draw(st.sampled_from(["sb", "old"]))
            code = draw(st.sampled_from([0, 1]))
            containers.append(info(name, state, attempt, sandbox=where, exit_code=code, init=name == "i"))
    ids = [c.id for c in containers]
    some = st.sets(st.sampled_from(ids)) if ids else st.just(set())
    return Observed(
        sandbox=sandbox,
        containers=tuple(containers),
        ended={c.id: draw(st.floats(900, 1000)) for c in containers if c.state is State.EXITED},
        stopping={i: draw(st.floats(990, 1030)) for i in draw(some)},
        killed=dict.fromkeys(draw(some), UNHEALTHY),
        vanished=frozenset(c.id for c in containers if c.state is State.EXITED and draw(st.booleans())),
        backoffs=draw(st.fixed_dictionaries({}, optional={"c": st.just(CrashBackoff(40.0, 950.0))})),
        deletion_deadline=draw(st.sampled_from([None, 990.0, 1020.0])),
        volumes_ready=draw(st.booleans()),
        cleaned=draw(st.booleans()),
    )


PODS = [
    None,
    *(
        pod(containers=TWO, initContainers=INITS[:1], restartPolicy=policy, metadata=meta)
        for policy in ("Always", "OnFailure", "Never")
        for meta in ({}, deleting())
    ),
]


@settings(max_examples=400, deadline=None)
@given(_observations(), st.sampled_from(PODS))
def test_what_no_plan_ever_does(observed: Observed, desired: Pod | None) -> None:
    plan = decide(desired, observed, NOW)
    by_id = {c.id: c for c in observed.containers}
    starts = [step for step in plan.steps if isinstance(step, StartContainer)]
    for step in plan.steps:
        if isinstance(step, RemoveContainers):
            assert not set(step.ids) & observed.vanished, "what is gone is not removed"
            if desired is not None and desired.metadata.deletion_timestamp is None:
                assert all(by_id[i].state is not State.RUNNING for i in step.ids), (
                    "a living pod loses nothing that runs"
                )
        if isinstance(step, StopContainers):
            assert all(by_id[i].state is State.RUNNING for i in step.ids)
            assert step.grace >= 0
        if isinstance(step, StartContainer):
            running = [c for c in observed.containers if c.name == step.container and c.state is State.RUNNING]
            assert observed.latest(step.container) not in running, "never two of a kind"
    if starts:
        assert observed.ready_sandbox() is not None
        assert desired is not None
        assert desired.metadata.deletion_timestamp is None, "nothing starts in a pod that is to go"
    assert len({s.container for s in starts}) == len(starts)
    assert plan.wake is None or plan.wake > 0

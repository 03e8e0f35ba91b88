"""The status that is reported, as a kubelet says it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from agent.pods.observed import CrashBackoff, Ending, Failure, Health, Moment, Observed, spec_hash
from agent.pods.phase import phase
from agent.pods.reports import same_status
from agent.pods.status import NodeFacts, go_duration, pod_status
from agent.runtime.base import ContainerInfo, PodIdentity, ProcessUser, Sandbox, State
from shared.api.pod import Container, Pod, PodStatus

WALL = datetime(2026, 5, 1, 12, tzinfo=UTC)
NOW = Moment(WALL, 1000.0)
NODE = NodeFacts("node-1", "192.0.2.7")
IDENTITY = PodIdentity("uid-1", "default", "p")
SANDBOX = Sandbox("sb", IDENTITY, True, 42, WALL, "p")
HASH = spec_hash(Container(name="c", image="app:1"))


def pod(status: dict[str, Any] | None = None, **spec: Any) -> Pod:
    tree = {
        "metadata": {"name": "p", "namespace": "default", "uid": "uid-1", "generation": 3},
        "spec": {"containers": [{"name": "c", "image": "app:1"}]} | spec,
        "status": status or {},
    }
    return msgspec.convert(tree, Pod)


def info(state: State = State.RUNNING, attempt: int = 0, name: str = "c", code: int = 0, **more: Any) -> ContainerInfo:
    return ContainerInfo(
        id=f"{name}-{attempt}",
        pod=IDENTITY,
        name=name,
        attempt=attempt,
        sandbox_id="sb",
        state=state,
        image="app:1",
        image_id="sha256:1",
        created_at=WALL,
        started_at=WALL if state is not State.CREATED else None,
        finished_at=WALL + timedelta(seconds=2) if state is State.EXITED else None,
        exit_code=code,
        **more,
    )


def seen(*containers: ContainerInfo, **more: Any) -> Observed:
    ended = {c.id: 999.0 for c in containers if c.state is State.EXITED}
    return Observed(**{"sandbox": SANDBOX, "address": "10.0.0.5", "containers": containers, "ended": ended} | more)


def conditions(status: dict[str, Any]) -> dict[str, tuple[str, str | None, str | None]]:
    return {c["type"]: (c["status"], c["reason"], c["message"]) for c in status["conditions"]}


def test_a_running_pod_in_full() -> None:
    status = pod_status(pod(), seen(info()), NODE, NOW)
    times = {"lastProbeTime": None, "lastTransitionTime": "2026-05-01T12:00:00Z", "observedGeneration": 3}
    assert status == {
        "phase": "Running",
        "observedGeneration": 3,
        "conditions": [
            {"type": kind, "status": "True", "reason": None, "message": None, **times}
            for kind in ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady")
        ],
        "hostIP": "192.0.2.7",
        "hostIPs": [{"ip": "192.0.2.7"}],
        "podIP": "10.0.0.5",
        "podIPs": [{"ip": "10.0.0.5"}],
        "startTime": "2026-05-01T12:00:00Z",
        "containerStatuses": [
            {
                "name": "c",
                "state": {"running": {"startedAt": "2026-05-01T12:00:00Z"}},
                "lastState": {},
                "ready": True,
                "restartCount": 0,
                "image": "app:1",
                "imageID": "docker://sha256:1",
                "containerID": "docker://c-0",
                "resources": {},
                "started": True,
            }
        ],
        "qosClass": "BestEffort",
    }


def test_a_new_pod_waits() -> None:
    status = pod_status(pod(), Observed(), NODE, NOW)
    assert status["phase"] == "Pending"
    assert status["containerStatuses"][0]["state"] == {"waiting": {"reason": "ContainerCreating"}}
    assert status["containerStatuses"][0]["started"] is False
    assert "podIP" not in status
    unready = ("False", "ContainersNotReady", "containers with unready status: [c]")
    assert conditions(status) == {
        "PodReadyToStartContainers": ("False", None, None),
        "Initialized": ("True", None, None),
        "Ready": unready,
        "ContainersReady": unready,
    }


def test_a_pod_that_initializes() -> None:
    one = pod(initContainers=[{"name": "i", "image": "app:1"}])
    status = pod_status(one, seen(info(name="i", init=True)), NODE, NOW)
    assert status["containerStatuses"][0]["state"] == {"waiting": {"reason": "PodInitializing"}}
    assert status["initContainerStatuses"][0]["ready"] is False
    expected = ("False", "ContainersNotInitialized", "containers with incomplete status: [i]")
    assert conditions(status)["Initialized"] == expected
    done = pod_status(one, seen(info(State.EXITED, name="i", init=True), info()), NODE, NOW)
    assert done["initContainerStatuses"][0]["state"]["terminated"]["reason"] == "Completed"
    assert done["initContainerStatuses"][0]["ready"] is True
    assert conditions(done)["Initialized"] == ("True", None, None)


@pytest.mark.parametrize(
    ("policy", "container", "expected"),
    [
        ("Always", info(State.EXITED, code=1), "Running"),
        ("Always", info(State.EXITED), "Running"),
        ("OnFailure", info(State.EXITED, code=1), "Running"),
        ("OnFailure", info(State.EXITED), "Succeeded"),
        ("Never", info(State.EXITED), "Succeeded"),
        ("Never", info(State.EXITED, code=3), "Failed"),
        ("Never", info(State.CREATED, error="cannot start"), "Failed"),
        ("Always", info(State.CREATED), "Pending"),
    ],
    ids=lambda value: value if isinstance(value, str) else f"{value.state} {value.exit_code}{value.error}",
)
def test_phase(policy: str, container: ContainerInfo, expected: str) -> None:
    assert phase(pod(restartPolicy=policy), seen(container)) == expected


def test_a_phase_that_is_final_stays() -> None:
    assert phase(pod({"phase": "Failed"}), seen(info())) == "Failed"


def test_a_pod_that_the_node_ends_has_failed_once_it_stopped() -> None:
    ending = Ending("Evicted", "The node was low on resource: memory. ", 1003.0, disruption=True)
    stopping = pod_status(pod({"phase": "Running"}), seen(info(), ending=ending), NODE, NOW)
    assert (stopping["phase"], stopping["reason"]) == ("Running", "Evicted")
    over = pod_status(pod({"phase": "Running"}), seen(info(State.EXITED, code=137), ending=ending), NODE, NOW)
    assert (over["phase"], over["reason"], over["message"]) == ("Failed", ending.reason, ending.message)
    assert conditions(over)["DisruptionTarget"] == ("True", "TerminationByKubelet", ending.message)
    assert conditions(over)["Ready"] == ("False", "PodFailed", None)
    unstarted = pod_status(pod(), Observed(ending=ending), NODE, NOW)
    assert unstarted["phase"] == "Failed"


def test_succeeded_and_failed_pods_are_not_ready() -> None:
    done = pod_status(pod(restartPolicy="Never"), seen(info(State.EXITED), sandbox=None), NODE, NOW)
    assert conditions(done)["Ready"] == ("False", "PodCompleted", None)
    assert conditions(done)["Initialized"] == ("True", "PodCompleted", None)
    failed = pod_status(pod(restartPolicy="Never"), seen(info(State.EXITED, code=1)), NODE, NOW)
    assert conditions(failed)["ContainersReady"] == ("False", "PodFailed", None)


def test_crash_loop_back_off() -> None:
    observed = seen(
        info(State.EXITED, 3, code=1), info(State.EXITED, 2, code=1), backoffs={"c": CrashBackoff(80.0, 980.0)}
    )
    (told,) = pod_status(pod(), observed, NODE, NOW)["containerStatuses"]
    assert told["state"]["waiting"] == {
        "reason": "CrashLoopBackOff",
        "message": "back-off 1m20s restarting failed container=c pod=p_default(uid-1)",
    }
    assert told["lastState"]["terminated"] == {
        "exitCode": 1,
        "reason": "Error",
        "startedAt": "2026-05-01T12:00:00Z",
        "finishedAt": "2026-05-01T12:00:02Z",
        "containerID": "docker://c-3",
    }
    assert told["restartCount"] == 3
    assert told["ready"] is False


def test_a_restarted_container_tells_of_its_last_end() -> None:
    observed = seen(info(attempt=1), info(State.EXITED, 0, code=137, oom_killed=True))
    (told,) = pod_status(pod(), observed, NODE, NOW)["containerStatuses"]
    assert told["restartCount"] == 1
    assert told["lastState"]["terminated"]["reason"] == "OOMKilled"
    assert told["lastState"]["terminated"]["exitCode"] == 137


@pytest.mark.parametrize(
    ("since", "reason", "message"),
    [
        (999.0, "ErrImagePull", "no such image"),
        (990.0, "ImagePullBackOff", 'Back-off pulling image "app:1": ErrImagePull: no such image'),
    ],
    ids=["at first", "later"],
)
def test_an_image_that_cannot_be_pulled(since: float, reason: str, message: str) -> None:
    failure = Failure("ErrImagePull", "no such image", since, 1010.0, 1, HASH)
    (told,) = pod_status(pod(), seen(failures={"c": failure}), NODE, NOW)["containerStatuses"]
    assert told["state"] == {"waiting": {"reason": reason, "message": message}}


def test_a_failure_with_another_image_says_nothing_of_this_one() -> None:
    failure = Failure("ErrImagePull", "no such image", 999.0, 1010.0, 1, "other")
    (told,) = pod_status(pod(), seen(failures={"c": failure}), NODE, NOW)["containerStatuses"]
    assert told["state"] == {"waiting": {"reason": "ContainerCreating"}}


def test_what_could_not_start_has_code_128() -> None:
    observed = seen(info(State.CREATED), start_errors={"c-0": "exec: not found"}, ended={"c-0": 999.0})
    (told,) = pod_status(pod(restartPolicy="Never"), observed, NODE, NOW)["containerStatuses"]
    ended = told["state"]["terminated"]
    assert (ended["exitCode"], ended["reason"], ended["message"]) == (128, "StartError", "exec: not found")
    assert ended["startedAt"] == "1970-01-01T00:00:00Z"
    assert ended["finishedAt"] > "2020"


def test_what_vanished_is_unknown() -> None:
    observed = seen(info(attempt=1), info(State.EXITED, 0, code=137), vanished=frozenset({"c-0"}))
    (told,) = pod_status(pod(), observed, NODE, NOW)["containerStatuses"]
    assert told["lastState"]["terminated"]["reason"] == "ContainerStatusUnknown"


PROBED = [{"name": "c", "image": "app:1", "startupProbe": {}, "readinessProbe": {}}]


@pytest.mark.parametrize(
    ("health", "started", "ready"),
    [
        (Health(), False, False),
        (Health(readiness=True), False, False),
        (Health(startup=True), True, False),
        (Health(startup=True, readiness=True), True, True),
        (Health(startup=True, readiness=False), True, False),
    ],
    ids=["no verdict", "not started", "not ready yet", "ready", "not ready"],
)
def test_probes_decide_started_and_ready(health: Health, started: bool, ready: bool) -> None:
    (told,) = pod_status(pod(containers=PROBED), seen(info(), health={"c-0": health}), NODE, NOW)["containerStatuses"]
    assert (told["started"], told["ready"]) == (started, ready)


@pytest.mark.parametrize(
    ("gates", "expected"),
    [
        ([], ("False", "ReadinessGatesNotReady", 'corresponding condition of pod readiness gate "g" does not exist.')),
        (
            [{"type": "g", "status": "False"}],
            ("False", "ReadinessGatesNotReady", 'the status of pod readiness gate "g" is not "True", but False'),
        ),
        ([{"type": "g", "status": "True"}], ("True", None, None)),
    ],
    ids=["missing", "not true", "true"],
)
def test_readiness_gates(gates: list[dict[str, str]], expected: tuple[str, str | None, str | None]) -> None:
    one = pod({"conditions": gates}, readinessGates=[{"conditionType": "g"}])
    assert conditions(pod_status(one, seen(info()), NODE, NOW))["Ready"] == expected


def test_times_of_conditions_stay_until_they_change() -> None:
    first = pod_status(pod(), Observed(), NODE, NOW)
    later = Moment(WALL + timedelta(minutes=5), 1300.0)
    second = pod_status(pod(), seen(info()), NODE, later, first)
    times = {c["type"]: c["lastTransitionTime"] for c in second["conditions"]}
    assert times["Initialized"] == "2026-05-01T12:00:00Z"
    assert times["Ready"] == "2026-05-01T12:05:00Z"
    assert second["startTime"] == first["startTime"]
    assert pod_status(pod(), seen(info()), NODE, Moment(WALL + timedelta(hours=1), 5000.0), second) == second


def test_the_address_outlives_the_sandbox() -> None:
    status = pod_status(
        pod({"podIP": "10.0.0.5"}, restartPolicy="Never"), seen(info(State.EXITED), sandbox=None), NODE, NOW
    )
    assert status["podIP"] == "10.0.0.5"


def test_a_pod_on_the_host_has_its_address() -> None:
    assert pod_status(pod(hostNetwork=True), seen(info(), address=""), NODE, NOW)["podIP"] == "192.0.2.7"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(10, "10s"), (80, "1m20s"), (300, "5m0s"), (0.0823, "82ms"), (1.2, "1.2s"), (61.5, "1m1.5s"), (0, "0s")],
)
def test_durations_as_go_prints_them(seconds: float, text: str) -> None:
    assert go_duration(seconds) == text


def test_the_same_status_is_known_on_the_object_whatever_others_added() -> None:
    status = pod_status(pod(), seen(info()), NODE, NOW)
    tree = msgspec.json.decode(msgspec.json.encode(status))
    for condition in tree["conditions"]:
        del condition["reason"], condition["message"]
    tree["conditions"].append({"type": "PodScheduled", "status": "True"})
    assert same_status(msgspec.convert(tree, PodStatus), status)
    tree["conditions"][2]["status"] = "False"
    assert not same_status(msgspec.convert(tree, PodStatus), status)


@pytest.mark.parametrize(
    ("mount", "possible", "expected"),
    [
        ({}, True, {}),
        ({"readOnly": True}, True, {"readOnly": True, "recursiveReadOnly": "Disabled"}),
        (
            {"readOnly": True, "recursiveReadOnly": "IfPossible"},
            False,
            {"readOnly": True, "recursiveReadOnly": "Disabled"},
        ),
        (
            {"readOnly": True, "recursiveReadOnly": "IfPossible"},
            True,
            {"readOnly": True, "recursiveReadOnly": "Enabled"},
        ),
        ({"readOnly": True, "recursiveReadOnly": "Enabled"}, True, {"readOnly": True, "recursiveReadOnly": "Enabled"}),
    ],
)
def test_mounts_are_told(mount: dict[str, Any], possible: bool, expected: dict[str, Any]) -> None:
    made = {"name": "v", "mountPath": "/v"}
    one = pod(containers=[{"name": "c", "image": "app:1", "volumeMounts": [made | mount]}])
    node = NodeFacts("node-1", "192.0.2.7", recursive_read_only=possible)
    for how in (seen(info()), Observed()):
        [told] = pod_status(one, how, node, NOW)["containerStatuses"]
        assert told["volumeMounts"] == [made | expected]


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        (None, None),
        (ProcessUser(5, 0), {"linux": {"uid": 5, "gid": 0}}),
        (ProcessUser(5, 6, (6, 7)), {"linux": {"uid": 5, "gid": 6, "supplementalGroups": [6, 7]}}),
    ],
)
def test_users_are_told(user: ProcessUser | None, expected: Any) -> None:
    [told] = pod_status(pod(), seen(info(user=user)), NODE, NOW)["containerStatuses"]
    assert told.get("user") == expected

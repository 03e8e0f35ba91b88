"""Which pods are deleted for good."""

from datetime import UTC, datetime, timedelta

import pytest

from controlplane.controllers.pod_gc import decide_finished, decide_orphaned, is_unscheduled_terminating
from shared.api.meta import ObjectMeta
from shared.api.pod import Pod, PodSpec, PodStatus

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def pod(name: str, *, age: int = 0, phase: str = "Succeeded", reason: str = "", node: str = "", gone: bool = False):
    created = NOW - timedelta(seconds=age)
    meta = ObjectMeta(
        name=name, namespace="ns", uid=name, creation_timestamp=created, deletion_timestamp=NOW if gone else None
    )
    return Pod(metadata=meta, spec=PodSpec(node_name=node), status=PodStatus(phase=phase, reason=reason))


@pytest.mark.parametrize(
    ("missing_for", "names", "wait"),
    [
        pytest.param(0.0, [], 40.0, id="just-gone"),
        pytest.param(39.0, [], 1.0, id="in-quarantine"),
        pytest.param(40.0, ["a", "b"], 0.0, id="quarantine-over"),
    ],
)
def test_orphaned(missing_for, names, wait):
    gone, left = decide_orphaned([pod("a"), pod("b", gone=True)], missing_for, 40.0)
    assert ([p.metadata.name for p in gone], left) == (names, wait)


@pytest.mark.parametrize(
    ("pods", "keep", "names"),
    [
        pytest.param([pod("a", age=1), pod("b", age=2)], 2, [], id="few"),
        pytest.param([pod("a", age=1), pod("b", age=2), pod("c", age=3)], 1, ["c", "b"], id="oldest-first"),
        pytest.param([pod("a", age=1, reason="Evicted"), pod("b", age=2)], 1, ["a"], id="evicted-first"),
        pytest.param([pod("a", age=9, gone=True), pod("b", age=2)], 1, [], id="going-already"),
        pytest.param([pod("a"), pod("b")], 0, [], id="no-limit"),
    ],
)
def test_finished(pods, keep, names):
    assert [p.metadata.name for p in decide_finished(pods, keep)] == names


@pytest.mark.parametrize(
    ("given", "yes"),
    [
        pytest.param(pod("a", gone=True), True, id="yes"),
        pytest.param(pod("a", gone=True, node="n"), False, id="its-agent-confirms"),
        pytest.param(pod("a"), False, id="stays"),
        pytest.param(None, False, id="gone"),
    ],
)
def test_unscheduled_terminating(given, yes):
    assert is_unscheduled_terminating(given) is yes

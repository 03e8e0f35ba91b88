"""Which pods a node's NoExecute taints send away, and when."""

import pytest

from controlplane.controllers.taint_eviction import Plan, View, decide, tolerated_seconds, tolerates
from shared.api.core import Taint
from shared.api.meta import ObjectMeta
from shared.api.pod import Pod, PodSpec, Toleration

UNREACHABLE = Taint(key="node.kubernetes.io/unreachable", effect="NoExecute")
MINE = Taint(key="mine", value="v", effect="NoExecute")


def exists(key: str = UNREACHABLE.key, seconds: int | None = None, effect: str = "NoExecute") -> Toleration:
    return Toleration(key=key, operator="Exists", effect=effect, toleration_seconds=seconds)


def pod(name: str, *tolerations: Toleration, **meta) -> Pod:
    return Pod(
        metadata=ObjectMeta(name=name, namespace="ns", uid=name, **meta),
        spec=PodSpec(node_name="n", tolerations=tolerations),
    )


@pytest.mark.parametrize(
    ("toleration", "taint", "yes"),
    [
        pytest.param(exists(), UNREACHABLE, True, id="exists"),
        pytest.param(exists(""), UNREACHABLE, True, id="every-key"),
        pytest.param(exists("", effect=""), UNREACHABLE, True, id="everything"),
        pytest.param(exists(effect="NoSchedule"), UNREACHABLE, False, id="another-effect"),
        pytest.param(exists("other"), UNREACHABLE, False, id="another-key"),
        pytest.param(Toleration(key="mine", value="v"), MINE, True, id="equal"),
        pytest.param(Toleration(key="mine", value="w"), MINE, False, id="another-value"),
        pytest.param(Toleration(key="", value="v"), MINE, False, id="equal-needs-a-key"),
        pytest.param(Toleration(key="mine", operator="Gt", value="v"), MINE, False, id="unknown-operator"),
    ],
)
def test_tolerates(toleration, taint, yes):
    assert tolerates(toleration, taint) is yes


@pytest.mark.parametrize(
    ("tolerations", "seconds"),
    [
        pytest.param((), 0.0, id="none"),
        pytest.param((exists(),), 0.0, id="one-taint-of-two"),
        pytest.param((exists(), exists("mine")), None, id="both-for-ever"),
        pytest.param((exists(seconds=300), exists("mine")), 300.0, id="limited"),
        pytest.param((exists(seconds=300), exists("mine", 60)), 60.0, id="the-shortest"),
        pytest.param((exists(seconds=0), exists("mine")), 0.0, id="zero"),
        pytest.param((exists(seconds=-5), exists("mine")), 0.0, id="negative"),
    ],
)
def test_tolerated_seconds(tolerations, seconds):
    assert tolerated_seconds(pod("p", *tolerations), (UNREACHABLE, MINE)) == seconds


def test_pods_go_when_their_time_is_over():
    at_once, soon, late, stays = (
        pod("at-once", exists(seconds=0)),
        pod("soon", exists(seconds=30)),
        pod("late", exists(seconds=300)),
        pod("stays", exists()),
    )
    since = {"at-once": 100.0, "soon": 100.0, "late": 100.0}
    view = View((UNREACHABLE,), (at_once, soon, late, stays), since)
    assert decide(view, 100.0) == Plan((at_once,), 30.0)
    assert decide(view, 130.0) == Plan((at_once, soon), 270.0)
    assert decide(view, 400.0) == Plan((at_once, soon, late), None)


def test_nothing_goes_without_taints_or_twice():
    from datetime import UTC, datetime

    going = pod("p", deletion_timestamp=datetime(2026, 1, 1, tzinfo=UTC))
    assert decide(View((UNREACHABLE,), (going,), {}), 5.0) == Plan()
    assert decide(View((), (pod("q"),), {}), 5.0) == Plan()

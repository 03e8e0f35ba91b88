"""The Events of a node."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from controlplane.controllers.node_events import happened
from shared.api.core import Node, NodeSpec, NodeStatus
from shared.api.meta import Condition, ObjectMeta

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


def node(ready: str = "", *, age: float = 3600, cordoned: bool = False) -> Node:
    return Node(
        metadata=ObjectMeta(name="n", creation_timestamp=NOW - timedelta(seconds=age)),
        spec=NodeSpec(unschedulable=cordoned),
        status=NodeStatus(conditions=(Condition(type="Ready", status=ready),) if ready else ()),
    )


@pytest.mark.parametrize(
    ("old", "new", "reasons"),
    [
        pytest.param(None, node(age=1), ["RegisteredNode"], id="a new node"),
        pytest.param(None, node("True"), [], id="an old node, seen by a new controller"),
        pytest.param(node("False"), node("True"), ["NodeReady"], id="ready"),
        pytest.param(node(), node("True"), ["NodeReady"], id="ready for the first time"),
        pytest.param(node("Unknown"), node("True"), ["NodeReady"], id="back"),
        pytest.param(node("True"), node("False"), ["NodeNotReady"], id="its engine is away"),
        pytest.param(node("True"), node("Unknown"), [], id="lost: who finds out says so"),
        pytest.param(node("True"), node("True", cordoned=True), ["NodeNotSchedulable"], id="cordoned"),
        pytest.param(node("True", cordoned=True), node("True"), ["NodeSchedulable"], id="uncordoned"),
        pytest.param(node("True"), node("True"), [], id="nothing"),
    ],
)
def test_what_is_told(old: Node | None, new: Node, reasons: list[str]) -> None:
    told = list(happened(old, new, NOW))
    assert [reason for reason, _ in told] == reasons
    assert all(message.startswith("Node n ") for _, message in told)

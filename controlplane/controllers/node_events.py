"""What people are told of a node when it changes: the Events at the end of ``kubectl describe node``.

Pure. Reasons and texts are those of the kubelet and of pkg/controller/util/node.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from controlplane.controllers import conditions
from shared.api.core import Node

NEW = timedelta(minutes=1)
"""Until this age a node that is seen for the first time is news; later it is the controller that is new."""


def happened(old: Node | None, new: Node, now: datetime) -> Iterator[tuple[str, str]]:
    """Reason and message of each Event. That a lost node is not ready is for the one to say who finds out."""
    name = new.metadata.name
    if old is None:
        created = new.metadata.creation_timestamp
        if created is not None and now - created < NEW:
            yield "RegisteredNode", f"Node {name} event: Registered Node {name} in Controller"
    else:
        before, after = _ready(old), _ready(new)
        if after == "True" and before != "True":
            yield _status(name, "NodeReady")
        elif after == "False" and before == "True":
            yield _status(name, "NodeNotReady")
        if old.spec.unschedulable != new.spec.unschedulable:
            yield _status(name, "NodeNotSchedulable" if new.spec.unschedulable else "NodeSchedulable")


def _status(name: str, reason: str) -> tuple[str, str]:
    return reason, f"Node {name} status is now: {reason}"


def _ready(node: Node) -> str:
    ready = conditions.find(node.status.conditions, "Ready")
    return ready.status if ready is not None else ""

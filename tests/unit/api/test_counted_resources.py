"""What a pod counts as while its resources are being changed."""

from typing import Any

import msgspec
import pytest

from shared.api.pod import Pod
from shared.api.resizing import counted

ONE, TWO, THREE = ({"cpu": amount} for amount in ("1", "2", "3"))


def pod(wanted: Any, status: Any = None, infeasible: bool = False, init: bool = False) -> Pod:
    container = {"name": "c", "resources": {"requests": wanted, "limits": wanted}}
    told = [{"name": "c", **status}] if status is not None else []
    conditions = [{"type": "PodResizePending", "status": "True", "reason": "Infeasible"}] if infeasible else []
    lists = ("initContainers", "initContainerStatuses") if init else ("containers", "containerStatuses")
    return msgspec.convert(
        {"spec": {lists[0]: [container]}, "status": {lists[1]: told, "conditions": conditions}}, Pod, strict=False
    )


def has(actual: Any, allocated: Any) -> Any:
    return {"resources": {"requests": actual, "limits": actual}, "allocatedResources": allocated}


@pytest.mark.parametrize("init", [False, True])
@pytest.mark.parametrize(
    ("wanted", "status", "infeasible", "requests", "limits"),
    [
        (ONE, None, False, "1", "1"),
        (ONE, {}, False, "1", "1"),
        (ONE, has(ONE, ONE), False, "1", "1"),
        (TWO, has(ONE, ONE), False, "2", "2"),
        (ONE, has(TWO, ONE), False, "2", "2"),
        (ONE, has(ONE, TWO), False, "2", "1"),
        (THREE, has(ONE, TWO), True, "2", "1"),
        (ONE, has(TWO, ONE), True, "2", "2"),
    ],
)
def test_the_largest_counts_but_for_what_can_never_be(
    wanted: Any, status: Any, infeasible: bool, requests: str, limits: str, init: bool
) -> None:
    spec = counted(pod(wanted, status, infeasible, init))
    [container] = spec.init_containers if init else spec.containers
    assert (container.resources.requests["cpu"], container.resources.limits["cpu"]) == (requests, limits)


def test_a_pod_with_nothing_to_resize_is_left_as_it_is() -> None:
    made = pod(ONE, has(ONE, ONE))
    assert counted(made) is made.spec

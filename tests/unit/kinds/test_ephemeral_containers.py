"""Containers that are added to a running pod: what may be said of them, and what may change."""

from typing import Any

import pytest

from controlplane.apiserver.kinds.pod import validate_ephemeral
from tests.kinds import ROWS, defaulted, short

DEBUG = {"name": "debug", "image": "b:1", "stdin": True, "tty": True, "targetContainerName": "c"}
AT = "spec.ephemeralContainers[0]"


def pod(*added: Any, **metadata: Any) -> Any:
    spec = {"containers": [{"name": "c", "image": "i:1"}], "volumes": [{"name": "v", "emptyDir": {}}]}
    return defaulted(
        "Pod", {"metadata": {"name": "x", **metadata}, "spec": spec | {"ephemeralContainers": list(added)}}
    )


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, []),
        ({"name": "c"}, [("Duplicate", f"{AT}.name")]),
        ({"image": ""}, [("Required", f"{AT}.image")]),
        ({"targetContainerName": "nobody"}, [("NotFound", f"{AT}.targetContainerName")]),
        ({"ports": [{"containerPort": 80}]}, [("Forbidden", f"{AT}.ports")]),
        ({"resources": {"limits": {"cpu": "1"}}}, [("Forbidden", f"{AT}.resources")]),
        ({"resources": {}}, []),
        ({"livenessProbe": {"exec": {"command": ["true"]}}}, [("Forbidden", f"{AT}.livenessProbe")]),
        ({"lifecycle": {"preStop": {"exec": {"command": ["true"]}}}}, [("Forbidden", f"{AT}.lifecycle")]),
        ({"restartPolicy": "Always"}, [("Forbidden", f"{AT}.restartPolicy")]),
        (
            {"volumeMounts": [{"name": "v", "mountPath": "/v", "subPath": "x"}]},
            [("Forbidden", f"{AT}.volumeMounts[0].subPath")],
        ),
        ({"volumeMounts": [{"name": "v", "mountPath": "/v"}]}, []),
    ],
)
def test_what_may_be_said(changed: Any, expected: list[tuple[str, str]]) -> None:
    assert short(validate_ephemeral(pod(DEBUG | changed), pod())) == expected


OTHER = {"name": "other", "image": "b:1"}


@pytest.mark.parametrize(
    ("new", "old", "expected"),
    [
        ((DEBUG, OTHER), (DEBUG,), []),
        ((OTHER, DEBUG), (DEBUG,), []),
        ((DEBUG,), (DEBUG,), []),
        ((OTHER,), (DEBUG,), [("Forbidden", "spec.ephemeralContainers")]),
        ((), (DEBUG, OTHER), [("Forbidden", "spec.ephemeralContainers")] * 2),
        ((DEBUG | {"image": "b:2"},), (DEBUG,), [("Forbidden", "spec.ephemeralContainers")]),
    ],
    ids=["one more", "in another order", "the same", "one less", "none left", "another image"],
)
def test_what_may_change(new: Any, old: Any, expected: list[tuple[str, str]]) -> None:
    assert short(validate_ephemeral(pod(*new), pod(*old))) == expected


def test_pods_of_a_nodes_own_take_none() -> None:
    static = {"annotations": {"kubernetes.io/config.mirror": "x"}}
    assert short(validate_ephemeral(pod(DEBUG, **static), pod(**static))) == [("Forbidden", "")]


def test_they_come_through_their_own_subresource_only() -> None:
    assert ("Forbidden", "spec.ephemeralContainers") in short(ROWS["Pod"].validate(pod(DEBUG), None))
    assert short(ROWS["Pod"].validate(pod(DEBUG), pod())) == [("Forbidden", "spec")]

"""What may change of a pod's resources in place, and what of a request for it is taken over."""

from typing import Any

import pytest

from controlplane.apiserver.kinds.pod import qos_class, validate_resize
from controlplane.apiserver.kinds.podspec.resize import resized
from tests.kinds import check, defaulted, short

HALF = {"requests": {"cpu": "500m", "memory": "64Mi"}}
FULL = {"requests": {"cpu": "1", "memory": "64Mi"}, "limits": {"cpu": "1", "memory": "64Mi"}}
AT = "spec.containers[0]"


def pod(resources: Any = None, status: Any = None, meta: Any = None, spec: Any = None, **container: Any) -> Any:
    made = {"name": "c", "image": "i:1", "resources": HALF if resources is None else resources, **container}
    obj = {"metadata": {"name": "x", **(meta or {})}, "spec": {"containers": [made], **(spec or {})}}
    return defaulted("Pod", obj | ({"status": status} if status else {}))


def init(resources: Any, **fields: Any) -> Any:
    return {"initContainers": [{"name": "i", "image": "i:1", "resources": resources, **fields}]}


MORE = {"requests": {"cpu": "2", "memory": "64Mi"}}
RESTARTS = [{"resourceName": "cpu", "restartPolicy": "RestartContainer"}]
RUNNING = {"name": "c", "state": {"running": {}}}
GPU = {"requests": {"cpu": "500m", "memory": "64Mi", "example.com/gpu": "1"}, "limits": {"example.com/gpu": "1"}}


@pytest.mark.parametrize(
    ("new", "old", "expected"),
    [
        (pod(MORE), pod(), []),
        (pod(HALF | {"limits": {"cpu": "1"}}), pod(), []),
        (pod({"requests": {"cpu": "0.5", "memory": "64Mi"}}), pod(), []),
        (pod(FULL), pod(), [("Invalid", "spec")]),
        (pod({}), pod(), [("Invalid", "spec"), ("Forbidden", f"{AT}.resources.requests")]),
        (pod({"requests": {"cpu": "1"}}), pod(), [("Forbidden", f"{AT}.resources.requests")]),
        (
            pod(HALF | {"limits": {"cpu": "1"}}),
            pod(HALF | {"limits": {"cpu": "1", "memory": "1Gi"}}),
            [("Forbidden", f"{AT}.resources.limits")],
        ),
        (pod(GPU), pod(), [("Forbidden", "spec")]),
        (pod({"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}), pod({"requests": {"cpu": "1"}}),
         [("Invalid", f"{AT}.resources.requests")]),
        (pod(resizePolicy=RESTARTS), pod(), [("Forbidden", "spec")]),
        (pod(spec=init(MORE)), pod(spec=init(HALF)), []),
        (pod(spec=init(MORE, restartPolicy="Always")), pod(spec=init(HALF, restartPolicy="Always")), []),
        (
            pod(spec=init(MORE, resizePolicy=RESTARTS)),
            pod(spec=init(HALF, resizePolicy=RESTARTS)),
            [("Forbidden", "spec.initContainers[0]")],
        ),
        (
            pod(MORE, meta={"annotations": {"kubernetes.io/config.mirror": "h"}}),
            pod(meta={"annotations": {"kubernetes.io/config.mirror": "h"}}),
            [("Forbidden", "")],
        ),
        (pod(spec={"resources": MORE}), pod(spec={"resources": HALF}), []),
        (pod(), pod(spec={"resources": HALF}), [("Forbidden", "spec.resources")]),
        (
            pod(spec={"resources": {"requests": {"cpu": "1"}}}),
            pod(spec={"resources": HALF}),
            [("Forbidden", "spec.resources.requests")],
        ),
        (pod(MORE), pod(status={"qosClass": "Burstable", "containerStatuses": [RUNNING]}), [("Forbidden", "spec")]),
        (
            pod(MORE),
            pod(status={"qosClass": "Burstable", "containerStatuses": [RUNNING | {"resources": HALF}]}),
            [],
        ),
    ],
)  # fmt: skip
def test_what_may_change(new: Any, old: Any, expected: list[tuple[str, str]]) -> None:
    assert short(validate_resize(new, old)) == expected


def test_the_words_are_kubernetes_own() -> None:
    found = validate_resize(pod(FULL), pod())
    assert [cause.message for cause in found] == [
        'Invalid value: "Guaranteed": Pod QOS Class may not change as a result of resizing'
    ]


def test_only_resources_are_taken_over() -> None:
    old = pod(spec={"activeDeadlineSeconds": 5})["spec"]
    given = pod(MORE, image="other:2", resizePolicy=RESTARTS, spec={"nodeName": "n"})["spec"]
    given["containers"].append({"name": "more", "image": "i:1"})
    expected = {**old, "containers": [{**old["containers"][0], "resources": MORE, "resizePolicy": RESTARTS}]}
    assert resized(old, given) == expected
    assert resized(old, {"containers": []}) == old


@pytest.mark.parametrize(
    ("policies", "spec", "expected"),
    [
        (RESTARTS, {}, []),
        (RESTARTS * 2, {}, [("Duplicate", f"{AT}.resizePolicy[1]")]),
        ([{"resourceName": "disk", "restartPolicy": "NotRequired"}], {}, [("NotSupported", f"{AT}.resizePolicy")]),
        ([{"resourceName": "memory", "restartPolicy": "Maybe"}], {}, [("NotSupported", f"{AT}.resizePolicy")]),
        ([{"resourceName": "memory"}], {}, [("Required", f"{AT}.resizePolicy")]),
        (RESTARTS, {"restartPolicy": "Never"}, [("Invalid", f"{AT}.resizePolicy")]),
    ],
)
def test_resize_policies(policies: Any, spec: Any, expected: list[tuple[str, str]]) -> None:
    assert check("Pod", pod(resizePolicy=policies, spec=spec)) == expected


def test_no_resize_policy_is_put_in() -> None:
    """Kubernetes has not since 1.33: what is not said means NotRequired."""
    assert "resizePolicy" not in pod()["spec"]["containers"][0]


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        ({"requests": {"cpu": "1"}}, "Burstable"),
        ({"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "1", "memory": "1Gi"}}, "Guaranteed"),
        ({}, "BestEffort"),
    ],
)
def test_resources_of_the_pod_as_a_whole_say_its_class(level: Any, expected: str) -> None:
    assert qos_class(pod({}, spec={"resources": level})["spec"]) == expected

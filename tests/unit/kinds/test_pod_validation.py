"""What is refused of a pod's spec, in a Pod and in a template, with the field named; and what may change later."""

from typing import Any

import pytest

from controlplane.apiserver.kinds.table import BY_GVK
from shared import codec

POD, DEPLOYMENT = BY_GVK["", "v1", "Pod"], BY_GVK["apps", "v1", "Deployment"]


def pod(**spec: Any) -> Any:
    obj = {"metadata": {"name": "p", "namespace": "g"}, "spec": {"containers": [{"name": "c", "image": "i:1"}], **spec}}
    POD.default(obj)
    return obj


def with_container(**fields: Any) -> Any:
    return pod(containers=[{"name": "c", "image": "i:1", **fields}])


def refused(obj: Any, old: Any = None) -> list[tuple[str, str]]:
    return [(cause.reason.removeprefix("FieldValue"), cause.field) for cause in POD.validate(obj, old)]


PROBE = {"exec": {"command": ["x"]}}
CLAIM = {"name": "v", "emptyDir": {}}


def node_term(**expression: Any) -> Any:
    key = "requiredDuringSchedulingIgnoredDuringExecution"
    return {"nodeAffinity": {key: {"nodeSelectorTerms": [{"matchExpressions": [{"key": "k", **expression}]}]}}}


TERM = "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms"
CASES = [
    (with_container(livenessProbe={}), "Required", "spec.containers[0].livenessProbe"),
    (
        with_container(livenessProbe={**PROBE, "tcpSocket": {"port": 1}}),
        "Forbidden",
        "spec.containers[0].livenessProbe.tcpSocket",
    ),
    (
        with_container(livenessProbe={**PROBE, "successThreshold": 2}),
        "Invalid",
        "spec.containers[0].livenessProbe.successThreshold",
    ),
    (
        with_container(readinessProbe={**PROBE, "periodSeconds": -1}),
        "Invalid",
        "spec.containers[0].readinessProbe.periodSeconds",
    ),
    (with_container(readinessProbe={"exec": {}}), "Required", "spec.containers[0].readinessProbe.exec.command"),
    (
        with_container(readinessProbe={"httpGet": {"port": "no such"}}),
        "Invalid",
        "spec.containers[0].readinessProbe.httpGet.port",
    ),
    (
        with_container(readinessProbe={"httpGet": {"port": 1, "scheme": "FTP"}}),
        "NotSupported",
        "spec.containers[0].readinessProbe.httpGet.scheme",
    ),
    (with_container(lifecycle={"preStop": {}}), "Required", "spec.containers[0].lifecycle.preStop"),
    (with_container(ports=[{"containerPort": 0}]), "Required", "spec.containers[0].ports[0].containerPort"),
    (with_container(ports=[{"containerPort": 70000}]), "Invalid", "spec.containers[0].ports[0].containerPort"),
    (
        with_container(ports=[{"containerPort": 1, "protocol": "ICMP"}]),
        "NotSupported",
        "spec.containers[0].ports[0].protocol",
    ),
    (with_container(ports=[{"containerPort": 1, "name": "Bad"}]), "Invalid", "spec.containers[0].ports[0].name"),
    (
        with_container(ports=[{"containerPort": 1, "hostPort": 80}, {"containerPort": 2, "hostPort": 80}]),
        "Duplicate",
        "spec.containers[0].ports[1].hostPort",
    ),
    (with_container(env=[{"value": "x"}]), "Required", "spec.containers[0].env[0].name"),
    (with_container(env=[{"name": "A", "valueFrom": {}}]), "Invalid", "spec.containers[0].env[0].valueFrom"),
    (
        with_container(env=[{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "spec.nope"}}}]),
        "Invalid",
        "spec.containers[0].env[0].valueFrom.fieldRef.fieldPath",
    ),
    (
        with_container(env=[{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels"}}}]),
        "NotSupported",
        "spec.containers[0].env[0].valueFrom.fieldRef.fieldPath",
    ),
    (
        with_container(env=[{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s"}}}]),
        "Required",
        "spec.containers[0].env[0].valueFrom.secretKeyRef.key",
    ),
    (
        with_container(env=[{"name": "A", "valueFrom": {"resourceFieldRef": {"resource": "limits.gpu"}}}]),
        "NotSupported",
        "spec.containers[0].env[0].valueFrom.resourceFieldRef.resource",
    ),
    (with_container(envFrom=[{}]), "Invalid", "spec.containers[0].envFrom[0]"),
    (with_container(envFrom=[{"configMapRef": {}}]), "Required", "spec.containers[0].envFrom[0].configMapRef.name"),
    (with_container(resources={"requests": {"cpu": "-1"}}), "Invalid", "spec.containers[0].resources.requests[cpu]"),
    (with_container(resources={"requests": {"cpus": "1"}}), "Invalid", "spec.containers[0].resources.requests[cpus]"),
    (
        with_container(resources={"limits": {"e.x/gpu": "2"}, "requests": {"e.x/gpu": "1"}}),
        "Invalid",
        "spec.containers[0].resources.requests",
    ),
    (with_container(image=" i "), "Invalid", "spec.containers[0].image"),
    (with_container(terminationMessagePolicy="Mail"), "NotSupported", "spec.containers[0].terminationMessagePolicy"),
    (
        with_container(securityContext={"privileged": True, "allowPrivilegeEscalation": False}),
        "Invalid",
        "spec.containers[0].securityContext",
    ),
    (pod(containers=[{"name": "Bad_", "image": "i"}]), "Invalid", "spec.containers[0].name"),
    (pod(initContainers=[{"name": "c", "image": "i"}]), "Duplicate", "spec.initContainers[0].name"),
    (
        pod(initContainers=[{"name": "i", "image": "i", "livenessProbe": PROBE}]),
        "Forbidden",
        "spec.initContainers[0].livenessProbe",
    ),
    (
        pod(
            volumes=[CLAIM],
            containers=[
                {
                    "name": "c",
                    "image": "i",
                    "volumeMounts": [{"name": "v", "mountPath": "/a"}, {"name": "v", "mountPath": "/a"}],
                }
            ],
        ),
        "Invalid",
        "spec.containers[0].volumeMounts[1].mountPath",
    ),
    (
        pod(
            volumes=[CLAIM],
            containers=[
                {"name": "c", "image": "i", "volumeMounts": [{"name": "v", "mountPath": "/a", "subPath": "../x"}]}
            ],
        ),
        "Invalid",
        "spec.containers[0].volumeMounts[0].subPath",
    ),
    (pod(volumes=[{"name": "v", "hostPath": {}}]), "Required", "spec.volumes[0].hostPath.path"),
    (
        pod(volumes=[{"name": "v", "hostPath": {"path": "/x", "type": "Odd"}}]),
        "NotSupported",
        "spec.volumes[0].hostPath.type",
    ),
    (pod(volumes=[{"name": "v", "configMap": {}}]), "Required", "spec.volumes[0].configMap.name"),
    (pod(volumes=[{"name": "v", "secret": {}}]), "Required", "spec.volumes[0].secret.secretName"),
    (
        pod(volumes=[{"name": "v", "configMap": {"name": "m", "items": [{"key": "k", "path": "/abs"}]}}]),
        "Invalid",
        "spec.volumes[0].configMap.items[0].path",
    ),
    (
        pod(volumes=[{"name": "v", "configMap": {"name": "m", "defaultMode": 4096}}]),
        "Invalid",
        "spec.volumes[0].configMap.defaultMode",
    ),
    (pod(restartPolicy="Maybe"), "NotSupported", "spec.restartPolicy"),
    (pod(dnsPolicy="None"), "Required", "spec.dnsConfig"),
    (pod(activeDeadlineSeconds=0), "Invalid", "spec.activeDeadlineSeconds"),
    (pod(nodeSelector={"a b": "c"}), "Invalid", "spec.nodeSelector"),
    (pod(hostname="Bad.Name"), "Invalid", "spec.hostname"),
    (pod(tolerations=[{"key": "k", "operator": "Sometimes"}]), "NotSupported", "spec.tolerations[0].operator"),
    (pod(tolerations=[{"operator": "Equal"}]), "Invalid", "spec.tolerations[0].operator"),
    (pod(tolerations=[{"key": "k", "effect": "Never"}]), "NotSupported", "spec.tolerations[0].effect"),
    (pod(tolerations=[{"key": "k", "tolerationSeconds": 3}]), "Invalid", "spec.tolerations[0].effect"),
    (pod(affinity=node_term(operator="Near")), "Invalid", f"{TERM}[0].matchExpressions[0].operator"),
    (pod(affinity=node_term(operator="In")), "Required", f"{TERM}[0].matchExpressions[0].values"),
    (pod(affinity=node_term(operator="Exists", values=["a"])), "Forbidden", f"{TERM}[0].matchExpressions[0].values"),
    (pod(ephemeralContainers=[{"name": "e", "image": "i"}]), "Forbidden", "spec.ephemeralContainers"),
    (pod(hostPID=True, shareProcessNamespace=True), "Invalid", "spec.shareProcessNamespace"),
    (
        pod(hostNetwork=True, containers=[{"name": "c", "image": "i", "ports": [{"containerPort": 1, "hostPort": 2}]}]),
        "Invalid",
        "spec.containers[0].ports[0].hostPort",
    ),
]


@pytest.mark.parametrize(("obj", "reason", "field"), [pytest.param(*case, id=f"{case[1]} {case[2]}") for case in CASES])
def test_refused(obj: Any, reason: str, field: str) -> None:
    assert refused(obj) == [(reason, field)]


def test_a_rich_pod_is_accepted() -> None:
    obj = pod(
        initContainers=[{"name": "i", "image": "i", "restartPolicy": "Always", "startupProbe": PROBE}],
        containers=[
            {
                "name": "c",
                "image": "r.example:5000/a/b:1@sha256:" + "a" * 64,
                "ports": [
                    {"containerPort": 80, "name": "http"},
                    {"containerPort": 80, "protocol": "UDP", "hostPort": 80},
                ],
                "env": [
                    {"name": "my.var-1", "value": "x"},
                    {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
                    {"name": "L", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['a/b']"}}},
                    {"name": "M", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory"}}},
                ],
                "envFrom": [{"prefix": "P_", "secretRef": {"name": "s"}}],
                "resources": {"limits": {"cpu": "1", "e.x/gpu": "1"}, "requests": {"cpu": "500m"}},
                "volumeMounts": [{"name": "v", "mountPath": "/v", "subPath": "a/b"}],
                "livenessProbe": {"httpGet": {"port": "http"}},
                "readinessProbe": {"grpc": {"port": 1}},
                "lifecycle": {"preStop": {"sleep": {"seconds": 1}}},
            }
        ],
        volumes=[{"name": "v", "projected": {"sources": [{"configMap": {"name": "m"}}, {"secret": {"name": "s"}}]}}],
        affinity=node_term(operator="NotIn", values=["x"]),
        tolerations=[{"operator": "Exists"}, {"key": "k", "effect": "NoExecute", "tolerationSeconds": 1}],
    )
    assert refused(obj) == []
    container = obj["spec"]["containers"][0]
    assert container["imagePullPolicy"] == "IfNotPresent"
    assert container["resources"]["requests"] == {"cpu": "500m", "e.x/gpu": "1"}


@pytest.mark.parametrize(("seconds", "right"), [(0, True), (30, True), (31, False), (-1, False)])
def test_a_hook_sleeps_no_longer_than_the_grace(seconds: int, right: bool) -> None:
    obj = pod(containers=[{"name": "c", "image": "i", "lifecycle": {"preStop": {"sleep": {"seconds": seconds}}}}])
    field, text = "spec.containers[0].lifecycle.preStop.sleep", "less than terminationGracePeriodSeconds (30)"
    told = [(c.field, c.message.partition("non-negative and ")[2]) for c in POD.validate(obj, None)]
    assert told == ([] if right else [(field, text)])


def test_paths_in_a_template_name_the_template() -> None:
    spec = {
        "selector": {"matchLabels": {"a": "b"}},
        "template": {
            "metadata": {"labels": {"a": "b"}},
            "spec": {"containers": [{"name": "c"}], "restartPolicy": "Never"},
        },
    }
    obj = {"metadata": {"name": "d"}, "spec": spec}
    DEPLOYMENT.default(obj)
    assert {(c.reason, c.field) for c in DEPLOYMENT.validate(obj, None)} == {
        ("FieldValueRequired", "spec.template.spec.containers[0].image"),
        ("FieldValueNotSupported", "spec.template.spec.restartPolicy"),
    }


def test_the_selector_of_a_deployment_never_changes() -> None:
    template = {"metadata": {"labels": {"a": "b", "c": "d"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    old = {"metadata": {"name": "d"}, "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template}}
    DEPLOYMENT.default(old)
    new = codec.copy(old)
    new["spec"]["selector"]["matchLabels"] = {"c": "d"}
    assert [(c.field, c.message.rpartition(": ")[2]) for c in DEPLOYMENT.validate(new, old)] == [
        ("spec.selector", "field is immutable")
    ]


def changed(**spec: Any) -> Any:
    new = pod()
    new["spec"].update(spec)
    return new


@pytest.mark.parametrize(
    ("new", "expected"),
    [
        (with_container(image="other:2", imagePullPolicy="IfNotPresent"), []),
        (changed(activeDeadlineSeconds=5), []),
        (changed(tolerations=[{"key": "k", "operator": "Exists"}]), []),
        (changed(nodeName="n"), [("Forbidden", "spec")]),
        (changed(hostname="h"), [("Forbidden", "spec")]),
        (with_container(command=["x"]), [("Forbidden", "spec")]),
        (
            pod(containers=[{"name": "c", "image": "i:1"}, {"name": "d", "image": "i:1"}]),
            [("Forbidden", "spec.containers")],
        ),
        (changed(schedulingGates=[{"name": "a.b/c"}]), [("Forbidden", "spec.schedulingGates[0].name")]),
        (with_container(image="", imagePullPolicy="IfNotPresent"), [("Required", "spec.containers[0].image")]),
    ],
    ids=lambda value: None,
)
def test_what_may_change_in_a_pod(new: Any, expected: list[tuple[str, str]]) -> None:
    assert refused(new, pod()) == expected


def test_a_deadline_only_shrinks_and_tolerations_only_grow() -> None:
    old = pod(activeDeadlineSeconds=10, tolerations=[{"key": "k", "operator": "Exists"}])
    longer = codec.copy(old)
    longer["spec"]["activeDeadlineSeconds"] = 11
    assert refused(longer, old) == [("Invalid", "spec.activeDeadlineSeconds")]
    fewer = codec.copy(old)
    fewer["spec"]["tolerations"] = []
    assert refused(fewer, old) == [("Forbidden", "spec.tolerations")]


def test_quality_of_service() -> None:
    both = {"limits": {"cpu": "1", "memory": "1Gi"}}
    assert pod()["status"]["qosClass"] == "BestEffort"
    assert with_container(resources=both)["status"]["qosClass"] == "Guaranteed"
    assert with_container(resources={"limits": {"cpu": "1"}})["status"]["qosClass"] == "Burstable"


def test_grace() -> None:
    grace = POD.default_grace_seconds
    assert grace is not None
    assert grace(pod()) == 0
    assert grace(pod(nodeName="n")) == 30
    assert grace(pod(nodeName="n", terminationGracePeriodSeconds=-3)) == 1
    ended = pod(nodeName="n")
    ended["status"]["phase"] = "Failed"
    assert grace(ended) == 0

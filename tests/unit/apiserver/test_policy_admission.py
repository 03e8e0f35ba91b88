"""What the server's own admission makes of limits, classes of priority, runtime and storage, and what it refuses."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from controlplane.apiserver.admission import Context, admit_create, check
from controlplane.apiserver.admission.limit_ranger import ANNOTATION
from controlplane.apiserver.admission.resource_quota import charges
from controlplane.apiserver.identity import User
from shared import codec
from shared.api.errors import Forbidden
from shared.api.kinds import Resource
from shared.api.policies import ResourceQuota
from tests.kinds import ROWS

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Cluster:
    """Objects by kind."""

    def __init__(self, **objects: Any) -> None:
        self._objects = objects

    def list(self, resource: Resource[Any], namespace: str = "") -> Sequence[Any]:
        return self._objects.get(resource.plural, ())

    def labels(self, namespace: str) -> Mapping[str, str]:
        return {}


def admitted(kind: str, obj: Any, **objects: Any) -> Any:
    context, row = Context(User("u"), 300, Cluster(**objects)), ROWS[kind]
    made = codec.copy({"metadata": {"name": "x", "namespace": "g"}, **obj})
    row.default(made)
    admit_create(context, row, made)
    check(context, row, made, None)
    return made


def refused(kind: str, obj: Any, **objects: Any) -> str:
    with pytest.raises(Forbidden) as caught:
        admitted(kind, obj, **objects)
    assert caught.value.name == "x"
    return caught.value.message.partition(" is forbidden: ")[2]


def container(name: str = "c", *, limits: Any = None, **requests: str) -> Any:
    return {"name": name, "image": "i", "resources": {"requests": requests, "limits": limits or {}}}


def pod(*containers: Any, **spec: Any) -> Any:
    return {"spec": {"containers": list(containers) or [container()], **spec}}


def limit_range(*items: Any) -> Any:
    made = {"metadata": {"name": "l"}, "spec": {"limits": list(items)}}
    ROWS["LimitRange"].default(made)
    return made


# --- LimitRanger

DEFAULTS = limit_range({"type": "Container", "default": {"cpu": "1", "memory": "1Gi"}, "defaultRequest": {"cpu": "5m"}})


def test_containers_that_say_nothing_get_the_defaults() -> None:
    made = admitted("Pod", pod(container("a"), container("b", memory="1Mi"), initContainers=[container("i")]),
                    limitranges=[DEFAULTS])  # fmt: skip
    first, second = (each["resources"] for each in made["spec"]["containers"])
    assert first == {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "5m", "memory": "1Gi"}}
    assert second == {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "5m", "memory": "1Mi"}}
    assert made["metadata"]["annotations"][ANNOTATION] == (
        "LimitRanger plugin set: cpu, memory limit for container a; cpu, memory request for container a; "
        "cpu, memory limit for container b; cpu request for container b; "
        "cpu, memory limit for init container i; cpu, memory request for init container i"
    )
    assert made["status"]["qosClass"] == "Burstable"


def test_a_pod_that_says_everything_is_left_alone() -> None:
    full = pod(container(limits={"cpu": "1", "memory": "1"}, cpu="1", memory="1"))
    made = admitted("Pod", full, limitranges=[DEFAULTS])
    assert "annotations" not in made["metadata"]
    assert made["status"]["qosClass"] == "Guaranteed"


@pytest.mark.parametrize(
    ("item", "made", "text"),
    [
        ({"type": "Container", "min": {"cpu": "2"}}, pod(container(cpu="1")),
         "minimum cpu usage per Container is 2, but request is 1"),
        ({"type": "Container", "min": {"cpu": "2"}}, pod(container(cpu="2", limits={"cpu": "1"})),
         "minimum cpu usage per Container is 2, but limit is 1"),
        ({"type": "Container", "max": {"cpu": "2"}}, pod(container(limits={"cpu": "3"})),
         "maximum cpu usage per Container is 2, but limit is 3"),
        ({"type": "Container", "max": {"cpu": "2"}}, pod(container(cpu="3", limits={"cpu": "1"})),
         "maximum cpu usage per Container is 2, but request is 3"),
        ({"type": "Container", "max": {"cpu": "2", "memory": "1Gi"}},
         pod(container(limits={"cpu": "3", "memory": "2Gi"})),
         "[maximum cpu usage per Container is 2, but limit is 3, "
         "maximum memory usage per Container is 1Gi, but limit is 2Gi]"),
        ({"type": "Container", "maxLimitRequestRatio": {"cpu": "2"}}, pod(),
         "cpu max limit to request ratio per Container is 2, but no request is specified or request is 0"),
        ({"type": "Container", "maxLimitRequestRatio": {"cpu": "2"}}, pod(container(cpu="1")),
         "cpu max limit to request ratio per Container is 2, but no limit is specified or limit is 0"),
        ({"type": "Container", "maxLimitRequestRatio": {"cpu": "2"}}, pod(container(cpu="1", limits={"cpu": "2500m"})),
         "cpu max limit to request ratio per Container is 2, but provided ratio is 2.500000"),
        ({"type": "Pod", "max": {"cpu": "2"}}, pod(container(limits={"cpu": "1"}), container("d", limits={"cpu": "2"})),
         "maximum cpu usage per Pod is 2, but limit is 3"),
        ({"type": "Pod", "min": {"memory": "1Gi"}}, pod(),
         "minimum memory usage per Pod is 1Gi.  No request is specified"),
        ({"type": "Pod", "max": {"memory": "1Gi"}}, pod(),
         "maximum memory usage per Pod is 1Gi.  No limit is specified"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_pods_outside_of_limits(item: Any, made: Any, text: str) -> None:
    assert refused("Pod", made, limitranges=[limit_range(item)]) == text


@pytest.mark.parametrize(
    ("storage", "text"),
    [
        ("1Gi", "minimum storage usage per PersistentVolumeClaim is 2Gi, but request is 1Gi"),
        ("9Gi", "maximum storage usage per PersistentVolumeClaim is 8Gi, but request is 9Gi"),
    ],
)
def test_claims_outside_of_limits(storage: str, text: str) -> None:
    bounds = limit_range({"type": "PersistentVolumeClaim", "min": {"storage": "2Gi"}, "max": {"storage": "8Gi"}})
    claim = {"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": storage}}}}
    assert refused("PersistentVolumeClaim", claim, limitranges=[bounds]) == text


# --- Priority


def priority_class(name: str, value: int, **fields: Any) -> Any:
    return {"metadata": {"name": name}, "value": value, "preemptionPolicy": "PreemptLowerPriority", **fields}


HIGH, NEVER = priority_class("high", 1000), priority_class("never", 5, preemptionPolicy="Never")
DEFAULT = priority_class("normal", 10, globalDefault=True)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, ("", 0, "PreemptLowerPriority")),
        ({"priorityClassName": "high"}, ("high", 1000, "PreemptLowerPriority")),
        ({"priorityClassName": "never"}, ("never", 5, "Never")),
        (
            {"priorityClassName": "system-node-critical"},
            ("system-node-critical", 2_000_001_000, "PreemptLowerPriority"),
        ),
        ({"priorityClassName": "high", "priority": 1000}, ("high", 1000, "PreemptLowerPriority")),
    ],
    ids=str,
)
def test_a_class_is_a_number(spec: Any, expected: Any) -> None:
    made = admitted("Pod", pod(**spec), priorityclasses=[HIGH, NEVER])["spec"]
    assert (made.get("priorityClassName", ""), made["priority"], made["preemptionPolicy"]) == expected


def test_the_default_class_is_written_down() -> None:
    made = admitted("Pod", pod(), priorityclasses=[HIGH, DEFAULT])["spec"]
    assert (made["priorityClassName"], made["priority"]) == ("normal", 10)


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ({"priorityClassName": "none"}, "no PriorityClass with name none was found"),
        ({"priorityClassName": "high", "priority": 3},
         "the integer value of priority (3) must not be provided in pod spec; priority admission controller computed "
         "1000 from the given PriorityClass name"),
        ({"priorityClassName": "never", "preemptionPolicy": "PreemptLowerPriority"},
         "the string value of PreemptionPolicy (PreemptLowerPriority) must not be provided in pod spec; priority "
         "admission controller computed Never from the given PriorityClass name"),
    ],
    ids=lambda value: str(value)[:40],
)  # fmt: skip
def test_priorities_that_are_not_the_classes(spec: Any, text: str) -> None:
    assert refused("Pod", pod(**spec), priorityclasses=[HIGH, NEVER]) == text


def test_there_is_one_default_class() -> None:
    second = {"value": 1, "globalDefault": True}
    text = "PriorityClass normal is already marked as default. Only one default can exist"
    assert refused("PriorityClass", second, priorityclasses=[DEFAULT]) == text
    context, row = Context(User("u"), 0, Cluster(priorityclasses=[DEFAULT])), ROWS["PriorityClass"]
    check(context, row, DEFAULT, DEFAULT)
    with pytest.raises(Forbidden):
        check(context, row, {**HIGH, "globalDefault": True}, HIGH)


# --- RuntimeClass

RUNTIME = {
    "metadata": {"name": "kata"}, "handler": "kata", "overhead": {"podFixed": {"cpu": "250m"}},
    "scheduling": {"nodeSelector": {"kata": "yes"}, "tolerations": [{"key": "kata", "operator": "Exists"}]},
}  # fmt: skip


def test_a_runtimes_overhead_nodes_and_tolerations() -> None:
    made = admitted("Pod", pod(runtimeClassName="kata", nodeSelector={"a": "b"}), runtimeclasses=[RUNTIME])["spec"]
    assert made["overhead"] == {"cpu": "250m"}
    assert made["nodeSelector"] == {"a": "b", "kata": "yes"}
    assert made["tolerations"][-1] == {"key": "kata", "operator": "Exists"}


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ({"runtimeClassName": "none"}, 'pod rejected: RuntimeClass "none" not found'),
        ({"runtimeClassName": "kata", "overhead": {"cpu": "1"}},
         "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead"),
        ({"overhead": {"cpu": "1"}},
         "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead"),
        ({"runtimeClassName": "kata", "nodeSelector": {"kata": "no"}},
         "conflict: runtimeClass.scheduling.nodeSelector[kata] = yes; pod.spec.nodeSelector[kata] = no"),
    ],
    ids=lambda value: str(value)[:40],
)  # fmt: skip
def test_pods_that_do_not_fit_their_runtime(spec: Any, text: str) -> None:
    assert refused("Pod", pod(**spec), runtimeclasses=[RUNTIME]) == text


# --- storage


def storage_class(name: str, created: str = "2026-01-01T00:00:00Z", *, default: bool = True, **fields: Any) -> Any:
    annotations = {"storageclass.kubernetes.io/is-default-class": "true"} if default else {}
    return {"metadata": {"name": name, "creationTimestamp": created, "annotations": annotations}, **fields}


def claim(size: str = "1Gi", **spec: Any) -> Any:
    return {"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}, **spec}}


@pytest.mark.parametrize(
    ("classes", "spec", "expected"),
    [
        ([], {}, None),
        ([storage_class("plain", default=False)], {}, None),
        ([storage_class("a"), storage_class("b", "2026-02-01T00:00:00Z"), storage_class("c")], {}, "b"),
        ([storage_class("b"), storage_class("a")], {}, "a"),
        ([storage_class("a")], {"storageClassName": ""}, ""),
        ([storage_class("a")], {"storageClassName": "x"}, "x"),
    ],
)
def test_the_default_storage_class(classes: Any, spec: Any, expected: Any) -> None:
    made = admitted("PersistentVolumeClaim", claim(**spec), storageclasses=classes)
    assert made["spec"].get("storageClassName") == expected
    assert made["metadata"]["finalizers"] == ["kubernetes.io/pvc-protection"]


def test_the_default_ingress_class() -> None:
    marked = {"metadata": {"name": "n", "annotations": {"ingressclass.kubernetes.io/is-default-class": "true"}}}
    made = admitted("Ingress", {"spec": {"rules": [{"host": "h"}]}}, ingressclasses=[marked])
    assert made["spec"]["ingressClassName"] == "n"


@pytest.mark.parametrize(
    ("phase", "grows", "text"),
    [
        ("Pending", True, "Only bound persistent volume claims can be expanded"),
        ("Bound", False, "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc "
         "must support resize"),
        ("Bound", True, ""),
    ],
)  # fmt: skip
def test_claims_grow_where_their_class_lets_them(phase: str, grows: bool, text: str) -> None:
    classes = [storage_class("a", allowVolumeExpansion=grows)]
    context, row = Context(User("u"), 0, Cluster(storageclasses=classes)), ROWS["PersistentVolumeClaim"]
    meta = {"metadata": {"name": "x", "namespace": "g"}}
    old = {**meta, **claim(storageClassName="a"), "status": {"phase": phase}}
    new = {**meta, **claim("2Gi", storageClassName="a"), "status": {"phase": phase}}
    if not text:
        check(context, row, new, old)
        return
    with pytest.raises(Forbidden, match=text):
        check(context, row, new, old)


# --- ResourceQuota


def quota(hard: Any, used: Any, name: str = "q", **spec: Any) -> ResourceQuota:
    tree = {"metadata": {"name": name}, "spec": {"hard": hard, **spec}, "status": {"hard": hard, "used": used}}
    return msgspec.convert(tree, ResourceQuota)


def charged(kind: str, new: Any, *quotas: ResourceQuota, old: Any = None) -> list[tuple[str, Any]]:
    meta = {"metadata": {"name": "x", "namespace": "g"}}
    before = None if old is None else {**meta, **old}
    return [(c.quota.metadata.name, c.used) for c in charges(quotas, ROWS[kind], {**meta, **new}, before, NOW)]


def test_a_creation_is_charged_to_every_quota_that_takes_it_in() -> None:
    one = quota({"pods": "2", "requests.cpu": "2"}, {"pods": "1", "requests.cpu": "500m"}, "one")
    other = quota({"services": "5"}, {"services": "0"}, "other")
    scoped = quota({"pods": "1"}, {"pods": "0"}, "scoped", scopes=["BestEffort"])
    assert charged("Pod", pod(container(cpu="1")), one, other, scoped) == [
        ("one", {"pods": "2", "requests.cpu": "1500m"})
    ]


@pytest.mark.parametrize(
    ("hard", "used", "made", "text"),
    [
        ({"pods": "1", "cpu": "4"}, {"pods": "1", "cpu": "1"}, pod(container(cpu="1")),
         "exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1"),
        ({"pods": "1", "cpu": "1"}, {"pods": "1", "cpu": "500m"}, pod(container(cpu="1")),
         "exceeded quota: q, requested: cpu=1,pods=1, used: cpu=500m,pods=1, limited: cpu=1,pods=1"),
        ({"limits.memory": "1Gi", "cpu": "1"}, {}, pod(container("a", cpu="1")),
         "failed quota: q: must specify limits.memory for: a"),
        ({"pods": "1"}, {}, pod(), "status unknown for quota: q, resources: pods"),
        ({"pods": "5", "requests.example.com/gpu": "1"}, {"pods": "1", "requests.example.com/gpu": "1"},
         pod(container(limits={"example.com/gpu": "1"}, **{"example.com/gpu": "1"})),
         "exceeded quota: q, requested: requests.example.com/gpu=1, used: requests.example.com/gpu=1, limited: "
         "requests.example.com/gpu=1"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_what_does_not_fit(hard: Any, used: Any, made: Any, text: str) -> None:
    with pytest.raises(Forbidden) as caught:
        charged("Pod", made, quota(hard, used))
    assert caught.value.message == f'pods "x" is forbidden: {text}'


def test_objects_count_by_number() -> None:
    held = quota({"count/deployments.apps": "1", "secrets": "2"}, {"count/deployments.apps": "1", "secrets": "0"})
    assert charged("Secret", {}, held) == [("q", {"count/deployments.apps": "1", "secrets": "1"})]
    with pytest.raises(Forbidden, match=r'deployments\.apps "x" is forbidden: exceeded quota: q, requested'):
        charged("Deployment", {}, held)
    assert charged("ConfigMap", {}, held) == []


def test_an_update_is_charged_for_its_growth() -> None:
    held = quota({"services.nodeports": "2", "services": "1"}, {"services.nodeports": "0", "services": "1"})
    plain, exposed = {"spec": {"ports": [{"port": 1}]}}, {"spec": {"type": "NodePort", "ports": [{"port": 1}]}}
    assert charged("Service", exposed, held, old=plain) == [("q", {"services.nodeports": "1", "services": "1"})]
    assert charged("Service", plain, held, old=exposed) == []
    assert charged("Pod", pod(), quota({"pods": "0"}, {"pods": "0"}), old=pod()) == []

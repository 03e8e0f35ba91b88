"""What is refused of the kinds without pods in them, and of any kind's metadata."""

import base64
from typing import Any

import pytest

from controlplane.apiserver.kinds.causes import refusal
from controlplane.apiserver.kinds.metadata import MAX_ANNOTATION_BYTES, validate_metadata
from controlplane.apiserver.kinds.table import BY_GVK, BY_RESOURCE, KINDS
from shared import codec
from shared.api.errors import Cause
from tests.kinds import short

CONFIG_MAP, NAMESPACE = BY_GVK["", "v1", "ConfigMap"], BY_GVK["", "v1", "Namespace"]


def meta(**more: Any) -> Any:
    return {"metadata": {"name": "x", "namespace": "g", **more}}


OWNER = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u"}


@pytest.mark.parametrize(
    ("obj", "expected"),
    [
        (meta(), []),
        (meta(name=""), [("Required", "metadata.name")]),
        (meta(name="a.b-c.1"), []),
        (meta(name="A"), [("Invalid", "metadata.name")]),
        (meta(generateName="ok-"), []),
        (meta(generateName="Bad-"), [("Invalid", "metadata.generateName")]),
        (meta(namespace=""), [("Required", "metadata.namespace")]),
        (meta(namespace="Not_It"), [("Invalid", "metadata.namespace")]),
        (meta(labels={"a/b/c": "x"}), [("Invalid", "metadata.labels")]),
        (meta(labels={"/b": "x"}), [("Invalid", "metadata.labels")]),
        (meta(labels={"e.x/" + "b" * 64: ""}), [("Invalid", "metadata.labels")]),
        (meta(labels={"a": "-"}), [("Invalid", "metadata.labels")]),
        (meta(annotations={"UPPER.example/Key": "any thing"}), []),
        (meta(annotations={"a": "x" * MAX_ANNOTATION_BYTES}), [("TooLong", "metadata.annotations")]),
        (meta(finalizers=["plain"]), [("Invalid", "metadata.finalizers")]),
        (meta(finalizers=["orphan", "e.x/f"]), []),
        (meta(finalizers=["orphan", "foregroundDeletion"]), [("Invalid", "metadata.finalizers")]),
        (meta(ownerReferences=[OWNER]), []),
        (meta(ownerReferences=[{**OWNER, "uid": ""}]), [("Invalid", "metadata.ownerReferences[0].uid")]),
        (meta(ownerReferences=[{**OWNER, "kind": "Event"}]), [("Invalid", "metadata.ownerReferences[0]")]),
        (
            meta(ownerReferences=[{**OWNER, "controller": True}, {**OWNER, "controller": True, "uid": "v"}]),
            [("Invalid", "metadata.ownerReferences")],
        ),
    ],
    ids=str,
)
def test_metadata(obj: Any, expected: list[tuple[str, str]]) -> None:
    assert short(validate_metadata(CONFIG_MAP, obj, None)) == expected


def test_a_cluster_scoped_object_has_no_namespace() -> None:
    assert short(validate_metadata(NAMESPACE, meta(), None)) == [("Forbidden", "metadata.namespace")]


@pytest.mark.parametrize(("kind", "bad"), [("Namespace", "a.b"), ("Service", "1a"), ("Service", "a.b")])
def test_some_kinds_have_stricter_names(kind: str, bad: str) -> None:
    row = BY_GVK["", "v1", kind]
    obj = {"metadata": {"name": bad, **({"namespace": "g"} if row.resource.namespaced else {})}}
    assert short(validate_metadata(row, obj, None)) == [("Invalid", "metadata.name")]


@pytest.mark.parametrize("field", ["name", "uid", "creationTimestamp", "deletionTimestamp"])
def test_system_metadata_never_changes(field: str) -> None:
    old = meta(uid="u", creationTimestamp="2026-11-23T03:13:36Z")
    new = codec.copy(old)
    new["metadata"][field] = "other"
    assert short(validate_metadata(CONFIG_MAP, new, old)) == [("Invalid", f"metadata.{field}")]


def test_no_finalizer_is_added_to_what_is_being_deleted() -> None:
    old = meta(deletionTimestamp="2026-11-23T03:13:36Z", finalizers=["e.x/a"])
    new = meta(deletionTimestamp="2026-11-23T03:13:36Z", finalizers=["e.x/a", "e.x/b"])
    assert short(validate_metadata(CONFIG_MAP, new, old)) == [("Forbidden", "metadata.finalizers")]
    assert short(validate_metadata(CONFIG_MAP, meta(deletionTimestamp="2026-11-23T03:13:36Z"), old)) == []


def created(kind: str, group: str = "", **fields: Any) -> Any:
    row = BY_GVK[group, "v1", kind]
    obj = {"metadata": {"name": "x", **({"namespace": "g"} if row.resource.namespaced else {})}, **fields}
    row.default(obj)
    return short(row.validate(obj, None))


def updated(kind: str, old: Any, new: Any, group: str = "") -> Any:
    row = BY_GVK[group, "v1", kind]
    old, new = ({"metadata": {"name": "x", "namespace": "g"}, **tree} for tree in (old, new))
    for tree in (old, new):
        row.default(tree)
    return short(row.validate(new, old))


PORT = {"port": 80}
HTTP, HTTPS = {"name": "http", "port": 80}, {"name": "https", "port": 443}
B64 = base64.b64encode(b"x").decode()


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"ports": [PORT]}, []),
        ({"ports": [{"port": 0}]}, [("Invalid", "spec.ports[0].port"), ("Invalid", "spec.ports[0].targetPort")]),
        ({"ports": [{**PORT, "protocol": "ICMP"}]}, [("NotSupported", "spec.ports[0].protocol")]),
        ({"ports": [{**PORT, "targetPort": "Bad_"}]}, [("Invalid", "spec.ports[0].targetPort")]),
        ({"ports": [HTTP, HTTPS]}, []),
        ({"ports": [HTTP, {**HTTPS, "name": "http"}]}, [("Duplicate", "spec.ports[1].name")]),
        ({"ports": [HTTP, {**HTTPS, "port": 80}]}, [("Duplicate", "spec.ports[1]")]),
        ({"ports": [{**PORT, "nodePort": 30000}]}, [("Forbidden", "spec.ports[0].nodePort")]),
        ({"ports": [PORT], "type": "Weird"}, [("NotSupported", "spec.type")]),
        ({"ports": [PORT], "clusterIP": "not-an-ip"}, [("Invalid", "spec.clusterIPs[0]")]),
        ({"ports": [PORT], "clusterIP": "None"}, []),
        ({"clusterIP": "None"}, []),
        ({"ports": [PORT], "clusterIP": "None", "type": "NodePort"}, [("Invalid", "spec.clusterIPs[0]")]),
        ({"type": "ExternalName"}, [("Required", "spec.externalName")]),
        ({"ports": [PORT], "sessionAffinity": "Cookie"}, [("NotSupported", "spec.sessionAffinity")]),
        ({"ports": [PORT], "externalIPs": ["127.0.0.1"]}, [("Invalid", "spec.externalIPs[0]")]),
        ({"ports": [PORT], "selector": {"a b": "c"}}, [("Invalid", "spec.selector")]),
        ({"ports": [PORT], "externalTrafficPolicy": "Local"}, [("Invalid", "spec.externalTrafficPolicy")]),
    ],
    ids=str,
)
def test_services(spec: Any, expected: Any) -> None:
    assert created("Service", spec=spec) == expected


def test_a_services_address_never_changes() -> None:
    old, new = ({"spec": {"ports": [PORT], "clusterIP": ip}} for ip in ("10.0.0.1", "10.0.0.2"))
    assert updated("Service", old, new) == [("Invalid", "spec.clusterIPs[0]")]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"type": "kubernetes.io/tls", "data": {"tls.crt": B64}}, [("Required", "data[tls.key]")]),
        ({"type": "kubernetes.io/basic-auth"}, [("Required", "data[username]"), ("Required", "data[password]")]),
        (
            {"type": "kubernetes.io/dockerconfigjson", "data": {".dockerconfigjson": B64}},
            [("Invalid", "data[.dockerconfigjson]")],
        ),
        ({"type": "kubernetes.io/ssh-auth"}, [("Required", "data[ssh-privatekey]")]),
        (
            {"type": "kubernetes.io/service-account-token"},
            [("Required", "metadata.annotations[kubernetes.io/service-account.name]")],
        ),
        ({"data": {"a b": B64}}, [("Invalid", "data[a b]")]),
        ({"data": {"a": base64.b64encode(b"x" * (1 << 20)).decode()}}, []),
        ({"data": {"a": base64.b64encode(b"x" * ((1 << 20) + 1)).decode()}}, [("TooLong", "data")]),
    ],
    ids=lambda value: str(value)[:60],
)
def test_secrets(fields: Any, expected: Any) -> None:
    assert created("Secret", **fields) == expected


def test_no_text_holds_a_secret() -> None:
    row = BY_GVK["", "v1", "Secret"]
    data = {".dockerconfigjson": base64.b64encode(b"hunter2").decode()}
    obj = {"metadata": {"name": "x"}, "type": "kubernetes.io/dockerconfigjson", "data": data}
    assert "hunter2" not in str(list(row.validate(obj, None)))
    assert data[".dockerconfigjson"] not in str(list(row.validate(obj, None)))


def test_string_data_wins_over_data() -> None:
    obj = {"metadata": {"name": "x"}, "data": {"a": B64, "b": B64}, "stringData": {"a": "ü"}}
    BY_GVK["", "v1", "Secret"].default(obj)
    assert obj["data"] == {"a": base64.b64encode("ü".encode()).decode(), "b": B64}
    assert "stringData" not in obj


def test_what_immutable_means() -> None:
    old = {"data": {"a": "1"}, "immutable": True}
    assert updated("ConfigMap", old, {"data": {"a": "2"}, "immutable": True}) == [("Forbidden", "data")]
    assert updated("ConfigMap", old, {"data": {"a": "1"}}) == [("Forbidden", "immutable")]
    assert updated("ConfigMap", old, old) == []
    assert updated("Secret", {"type": "a"}, {"type": "b"}) == [("Invalid", "type")]


TAINT = {"key": "k", "effect": "NoSchedule"}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"taints": [TAINT]}, []),
        ({"taints": [TAINT, TAINT]}, [("Duplicate", "spec.taints[1]")]),
        ({"taints": [{"key": "k"}]}, [("Required", "spec.taints[0].effect")]),
        (
            {"taints": [{"key": "a b", "effect": "Odd"}]},
            [("Invalid", "spec.taints[0].key"), ("NotSupported", "spec.taints[0].effect")],
        ),
        ({"podCIDR": "10.0.0.0/33"}, [("Invalid", "spec.podCIDRs[0]")]),
    ],
    ids=str,
)
def test_nodes(spec: Any, expected: Any) -> None:
    assert created("Node", spec=spec) == expected


def test_a_nodes_range_never_changes() -> None:
    assert updated("Node", {"spec": {"podCIDR": "10.0.0.0/24"}}, {"spec": {"podCIDR": "10.0.1.0/24"}}) == [
        ("Forbidden", "spec.podCIDRs")
    ]
    assert updated("Node", {"spec": {}}, {"spec": {"podCIDR": "10.0.1.0/24"}}) == []


def test_a_node_keeps_its_status_and_allocates_its_capacity() -> None:
    row = BY_GVK["", "v1", "Node"]
    obj = {"metadata": {"name": "n"}, "status": {"capacity": {"cpu": "2000m", "memory": "4096Mi"}}}
    row.default(obj)
    assert row.keeps_status_on_create
    assert obj["status"]["allocatable"] == {"cpu": "2", "memory": "4Gi"}


@pytest.mark.parametrize(
    ("subset", "expected"),
    [
        ({"addresses": [{"ip": "10.0.0.1"}], "ports": [PORT]}, []),
        ({}, [("Required", "subsets[0]")]),
        ({"addresses": [{"ip": "x"}]}, [("Invalid", "subsets[0].addresses[0].ip")]),
        ({"addresses": [{"ip": "127.0.0.1"}]}, [("Invalid", "subsets[0].addresses[0].ip")]),
        ({"addresses": [{"ip": "10.0.0.1"}], "ports": [PORT, HTTP]}, [("Required", "subsets[0].ports[0].name")]),
    ],
    ids=str,
)
def test_endpoints(subset: Any, expected: Any) -> None:
    assert created("Endpoints", subsets=[subset]) == expected


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1"]}], "ports": [PORT]}, []),
        ({"addressType": "IPX", "endpoints": []}, [("NotSupported", "addressType")]),
        ({"addressType": "IPv4", "endpoints": [{"addresses": []}]}, [("Required", "endpoints[0].addresses")]),
        (
            {"addressType": "IPv4", "endpoints": [{"addresses": ["fd00::1"]}]},
            [("Invalid", "endpoints[0].addresses[0]")],
        ),
        ({"addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1"]}] * 1001}, [("TooMany", "endpoints")]),
        ({"addressType": "IPv4", "ports": [PORT, PORT]}, [("Duplicate", "ports[1].name")]),
        ({"addressType": "IPv4", "ports": [HTTP, {**HTTPS, "port": 0}]}, [("Invalid", "ports[1].port")]),
    ],
    ids=lambda value: str(value)[:60],
)
def test_endpoint_slices(fields: Any, expected: Any) -> None:
    assert created("EndpointSlice", "discovery.k8s.io", **fields) == expected


def test_events_are_where_their_object_is() -> None:
    assert created("Event", involvedObject={"namespace": "g", "name": "p"}) == []
    assert created("Event", involvedObject={"namespace": "other"}) == [("Invalid", "involvedObject.namespace")]


def test_leases() -> None:
    assert created("Lease", "coordination.k8s.io", spec={"leaseDurationSeconds": 0}) == [
        ("Invalid", "spec.leaseDurationSeconds")
    ]


CSR = {"request": B64, "signerName": "kubernetes.io/kube-apiserver-client-kubelet", "usages": ["client auth"]}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (CSR, [("Invalid", "spec.request")]),
        ({**CSR, "usages": []}, [("Invalid", "spec.request"), ("Required", "spec.usages")]),
        ({**CSR, "usages": ["world domination"]}, [("Invalid", "spec.request"), ("NotSupported", "spec.usages[0]")]),
        ({**CSR, "signerName": "plain"}, [("Invalid", "spec.request"), ("Invalid", "spec.signerName")]),
        ({**CSR, "expirationSeconds": 10}, [("Invalid", "spec.request"), ("Invalid", "spec.expirationSeconds")]),
    ],
    ids=str,
)
def test_signing_requests(spec: Any, expected: Any) -> None:
    assert created("CertificateSigningRequest", "certificates.k8s.io", spec=spec) == expected


def test_an_approval_stays() -> None:
    row = BY_GVK["certificates.k8s.io", "v1", "CertificateSigningRequest"]
    old = {"status": {"conditions": [{"type": "Approved", "status": "True"}]}}
    both = {"status": {"conditions": [{"type": "Approved", "status": "True"}, {"type": "Denied", "status": "True"}]}}
    assert short(row.validate_status({"status": {}}, old)) == [("Forbidden", "status.conditions")]
    assert short(row.validate_status(both, old)) == [("Invalid", "status.conditions")]


def test_a_namespaces_phase_follows_its_deletion() -> None:
    assert short(NAMESPACE.validate_status({"metadata": {}, "status": {"phase": "Terminating"}}, None)) == [
        ("Invalid", "status.phase")
    ]


def test_counts_of_a_status() -> None:
    row = BY_GVK["apps", "v1", "Deployment"]
    status = {"replicas": 1, "readyReplicas": 2, "collisionCount": 0}
    assert short(row.validate_status({"status": status}, {"status": {"collisionCount": 1}})) == [
        ("Invalid", "status.readyReplicas"),
        ("Invalid", "status.collisionCount"),
    ]


def test_a_refusal_reads_as_kubernetes() -> None:
    causes = [
        Cause("FieldValueRequired", "Required value", "spec.a"),
        Cause("FieldValueInvalid", 'Invalid value: "x": no', "spec.b"),
    ]
    assert (
        refusal("apps", "Deployment", "d", causes[:1]).message
        == 'Deployment.apps "d" is invalid: spec.a: Required value'
    )
    assert refusal("", "Pod", "p", causes).message == (
        'Pod "p" is invalid: [spec.a: Required value, spec.b: Invalid value: "x": no]'
    )


def test_the_table_has_each_kind_once() -> None:
    assert len(BY_GVK) == len(BY_RESOURCE) == len(KINDS) == 60
    short_names = [name for kind in KINDS if not kind.is_view for name in kind.short_names]
    assert len(short_names) == len(set(short_names))

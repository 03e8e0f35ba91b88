"""Ingresses, network policies and service ranges: what is filled in, what is refused, what a table shows."""

from typing import Any

import pytest

from tests.kinds import ROWS, cells, check, defaulted, short

BACKEND = {"service": {"name": "s", "port": {"number": 80}}}


def ingress(host: str = "h.example", backend: Any = BACKEND, **path: Any) -> Any:
    one = {"path": "/", "pathType": "Prefix", "backend": backend, **path}
    return {"spec": {"rules": [{"host": host, "http": {"paths": [one]}}]}}


def service(called: str = "s", **port: Any) -> Any:
    return {"service": {"name": called, "port": port}}


ONE = "spec.rules[0].http.paths[0]"


@pytest.mark.parametrize(
    ("obj", "expected"),
    [
        (ingress(), []),
        ({"spec": {"defaultBackend": BACKEND}}, []),
        ({"spec": {}}, [("Invalid", "spec")]),
        ({"spec": {"rules": [{"http": {"paths": []}}]}}, [("Required", "spec.rules[0].http.paths")]),
        (ingress("10.0.0.1"), [("Invalid", "spec.rules[0].host")]),
        (ingress("UPPER"), [("Invalid", "spec.rules[0].host")]),
        (ingress("*.h.example"), []),
        (ingress("*.*.example"), [("Invalid", "spec.rules[0].host")]),
        (ingress(pathType=None), [("Required", f"{ONE}.pathType")]),
        (ingress(pathType="Odd"), [("NotSupported", f"{ONE}.pathType")]),
        (ingress(path="x"), [("Invalid", f"{ONE}.path")]),
        (ingress(path="/a//b/.."), [("Invalid", f"{ONE}.path")] * 2),
        (ingress(path="", pathType="ImplementationSpecific"), []),
        (ingress(backend={}), [("Invalid", f"{ONE}.backend")]),
        (ingress(backend={**BACKEND, "resource": {"kind": "K", "name": "n"}}), [("Invalid", f"{ONE}.backend")]),
        (ingress(backend={"resource": {"kind": "K"}}), [("Required", f"{ONE}.backend.resource.name")]),
        (ingress(backend=service()), [("Required", f"{ONE}.backend")]),
        (ingress(backend=service(number=80, name="http")), [("Invalid", f"{ONE}.backend")]),
        (ingress(backend=service(number=70000)), [("Invalid", f"{ONE}.backend.service.port.number")]),
        (ingress(backend=service("", number=80)), [("Required", f"{ONE}.backend.service.name")]),
        ({"spec": {"defaultBackend": BACKEND, "tls": [{"hosts": ["*.a", "B"], "secretName": "A b"}]}},
         [("Invalid", "spec.tls[0].hosts[1]"), ("Invalid", "spec.tls[0].secretName")]),
        ({"spec": {"defaultBackend": BACKEND, "ingressClassName": "A b"}}, [("Invalid", "spec.ingressClassName")]),
        ({"metadata": {"name": "x", "annotations": {"kubernetes.io/ingress.class": "a"}},
          "spec": {"defaultBackend": BACKEND, "ingressClassName": "b"}},
         [("Invalid", "annotations.kubernetes.io/ingress.class")]),
    ],
    ids=str,
)  # fmt: skip
def test_ingresses(obj: Any, expected: Any) -> None:
    assert check("Ingress", obj) == expected


def test_an_ingress_status_and_table() -> None:
    row = ROWS["Ingress"]
    bad = {"status": {"loadBalancer": {"ingress": [{"ip": "x"}, {"hostname": "10.0.0.1"}]}}}
    path = "status.loadBalancer.ingress"
    assert short(row.validate_status(bad, None)) == [("Invalid", f"{path}[0].ip"), ("Invalid", f"{path}[1].hostname")]
    status = {"loadBalancer": {"ingress": [{"ip": "192.168.100.100"}, {"hostname": "h"}]}}
    hosts = [{"host": name} for name in "abcd"]
    shown = cells("Ingress", {"spec": {"rules": hosts, "tls": [{}], "ingressClassName": "n"}, "status": status})
    assert shown[1:5] == ["n", "a,b,c + 1 more...", "192.168.100.1...", "80, 443"]
    assert cells("Ingress", {"spec": {}})[1:5] == ["<none>", "*", "", "80"]


def ingress_class(controller: str = "example.com/c", **parameters: Any) -> Any:
    return {"spec": {"controller": controller, **({"parameters": parameters} if parameters else {})}}


@pytest.mark.parametrize(
    ("obj", "old", "expected"),
    [
        (ingress_class(kind="K", name="n"), None, []),
        (ingress_class(""), None, [("Required", "spec.controller")]),
        (ingress_class("nopath"), None, [("Invalid", "spec.controller")]),
        (ingress_class("a.b/" + "x" * 250), None, [("TooLong", "spec.controller")]),
        (ingress_class("a/b"), ingress_class("a/c"), [("Invalid", "spec.controller")]),
        (ingress_class(kind="K", name="n", scope="Odd"), None, [("NotSupported", "spec.parameters.scope")]),
        (ingress_class(kind="K", name="n", namespace="a"), None, [("Forbidden", "spec.parameters.namespace")]),
        (ingress_class(kind="K", name="n", scope="Namespace"), None, [("Required", "spec.parameters.namespace")]),
        (ingress_class(kind="a/b"), None, [("Invalid", "spec.parameters.kind"), ("Required", "spec.parameters.name")]),
    ],
    ids=lambda value: str(value)[:70],
)
def test_ingress_classes(obj: Any, old: Any, expected: Any) -> None:
    assert check("IngressClass", obj, old) == expected


def test_an_ingress_class_table() -> None:
    shown = cells("IngressClass", ingress_class("a/c", kind="K", apiGroup="g", name="n"))
    assert shown[1:3] == ["a/c", "K.g/n"]


def policy(peer: Any = None, port: Any = None, **spec: Any) -> Any:
    rule = {**({} if peer is None else {"from": [peer]}), **({} if port is None else {"ports": [port]})}
    return {"spec": {"podSelector": {}, "ingress": [rule], **spec}}


def block(cidr: str, *parts: str) -> Any:
    return policy({"ipBlock": {"cidr": cidr, **({"except": list(parts)} if parts else {})}})


PEER, PORT = "spec.ingress[0].from[0]", "spec.ingress[0].ports[0]"


@pytest.mark.parametrize(
    ("obj", "expected"),
    [
        (policy(), []),
        (policy({}), [("Required", PEER)]),
        (policy({"podSelector": {}, "namespaceSelector": {}}), []),
        (policy({"podSelector": {}, "ipBlock": {"cidr": "10.0.0.0/8"}}), [("Forbidden", PEER)]),
        (policy({"podSelector": {"matchLabels": {"a": "-"}}}), [("Invalid", f"{PEER}.podSelector.matchLabels")]),
        (block("10.0.0.0/8", "10.1.0.0/16"), []),
        (block(""), [("Required", f"{PEER}.ipBlock.cidr")]),
        (block("10.0.0.0"), [("Invalid", f"{PEER}.ipBlock.cidr")]),
        (block("10.0.0.0/8", "10.0.0.0/8", "11.0.0.0/16", "x"),
         [("Invalid", f"{PEER}.ipBlock.except[{index}]") for index in range(3)]),
        (block("2001:db8::/32", "10.0.0.0/24"), [("Invalid", f"{PEER}.ipBlock.except[0]")]),
        (policy(port={"port": 0}), [("Invalid", f"{PORT}.port")]),
        (policy(port={"port": "web", "endPort": 5}), [("Invalid", f"{PORT}.endPort")]),
        (policy(port={"endPort": 5}), [("Invalid", f"{PORT}.endPort")]),
        (policy(port={"port": 80, "endPort": 79}), [("Invalid", f"{PORT}.endPort")]),
        (policy(port={"port": 80, "protocol": "ICMP"}), [("NotSupported", f"{PORT}.protocol")]),
        (policy(policyTypes=["Ingress", "Odd"]), [("NotSupported", "spec.policyTypes[1]")]),
        (policy(policyTypes=["Ingress"] * 3), [("Invalid", "spec.policyTypes")]),
    ],
    ids=str,
)  # fmt: skip
def test_network_policies(obj: Any, expected: Any) -> None:
    assert check("NetworkPolicy", obj) == expected


@pytest.mark.parametrize(
    ("spec", "types"),
    [({}, ["Ingress"]), ({"egress": [{}]}, ["Ingress", "Egress"]), ({"policyTypes": ["Egress"]}, ["Egress"])],
    ids=str,
)
def test_what_a_network_policy_is_for(spec: Any, types: list[str]) -> None:
    assert defaulted("NetworkPolicy", {"spec": spec})["spec"]["policyTypes"] == types


def test_an_old_bad_range_may_stay() -> None:
    assert check("NetworkPolicy", block("bad"), block("bad")) == []


def ranges(*cidrs: str) -> Any:
    return {"spec": {"cidrs": list(cidrs)}}


@pytest.mark.parametrize(
    ("obj", "old", "expected"),
    [
        (ranges("10.0.0.0/16", "2001:db8::/64"), None, []),
        (ranges(), None, [("Required", "spec.cidrs")]),
        (ranges("a", "b", "c"), None, [("Invalid", "spec.cidrs")]),
        (ranges("10.0.0.1/16"), None, [("Invalid", "spec.cidrs[0]")]),
        (ranges("10.0.0.0/16", "10.1.0.0/16"), None, [("Invalid", "spec.cidrs")]),
        (ranges("10.0.0.0/16", "2001:db8::/64"), ranges("10.0.0.0/16"), []),
        (ranges("10.1.0.0/16"), ranges("10.0.0.0/16"), [("Invalid", "spec.cidrs[0]")]),
        (ranges("10.0.0.0/16"), ranges("10.0.0.0/16", "2001:db8::/64"), [("Invalid", "spec.cidrs")]),
    ],
    ids=str,
)
def test_service_ranges(obj: Any, old: Any, expected: Any) -> None:
    assert check("ServiceCIDR", obj, old) == expected


PARENT = {"group": "g.example", "resource": "services", "namespace": "n", "name": "s"}


@pytest.mark.parametrize(
    ("parent", "old", "expected"),
    [
        (PARENT, None, []),
        (None, None, [("Required", "spec.parentRef")]),
        ({}, None, [("Required", "spec.parentRef.resource"), ("Required", "spec.parentRef.name")]),
        ({**PARENT, "name": "a/b"}, None, [("Invalid", "spec.parentRef.name")]),
        ({**PARENT, "name": "t"}, PARENT, [("Invalid", "spec.parentRef")]),
    ],
    ids=str,
)
def test_ip_addresses(parent: Any, old: Any, expected: Any) -> None:
    before = None if old is None else {"spec": {"parentRef": old}}
    assert check("IPAddress", {"spec": {"parentRef": parent}}, before) == expected


def test_an_ip_addresses_table() -> None:
    assert cells("IPAddress", {"spec": {"parentRef": PARENT}}) == ["x", "services.g.example/n/s"]

"""Protobuf bodies: what kubectl really sends, zero values, and bytes that are nothing."""

from __future__ import annotations

import base64
import struct
from typing import Any

import pytest
from aiohttp.test_utils import TestClient
from hypothesis import given
from hypothesis import strategies as st

from controlplane.apiserver import protobuf
from shared.api.errors import BadRequest

KUBECTL_CREATE_NAMESPACE = bytes.fromhex(
    "6b3873000a0f0a02763112094e616d657370616365121d0a150a0573686f727412001a0022002a0032003800420012001a020a001a002200"
)
"""What kubectl 1.32 and 1.37 post for ``kubectl create namespace short``."""


def _varint(value: int) -> bytes:
    out = bytearray()
    value &= (1 << 64) - 1
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes((*out, value))


def _part(number: int, value: Any) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    if isinstance(value, float):
        return _varint(number << 3 | 1) + struct.pack("<d", value)
    data = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _message(*parts: tuple[int, Any]) -> bytes:
    return b"".join(_part(number, value) for number, value in parts)


def _body(api_version: str, kind: str, raw: bytes) -> bytes:
    return b"k8s\0" + _message((1, _message((1, api_version), (2, kind))), (2, raw), (3, ""), (4, ""))


def _decode(api_version: str, kind: str, *parts: tuple[int, Any]) -> Any:
    warnings: list[str] = []
    tree = protobuf.decode(_body(api_version, kind, _message(*parts)), warnings)
    assert warnings == []
    return tree


def test_what_kubectl_sends() -> None:
    assert protobuf.decode(KUBECTL_CREATE_NAMESPACE, []) == {
        "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "short"}, "spec": {}, "status": {},
    }  # fmt: skip


def test_every_kind_of_value() -> None:
    labels = [_message((1, "k"), (2, "v")), _message((1, "e"))]
    metadata = _message(
        (1, "a"), (8, _message((1, 1_700_000_000), (2, 0))), (10, 0), (7, 0), (13, _message((3, "n"))),
        (11, labels[0]), (11, labels[1]), (14, "x/f"), (14, "y/f"),
    )  # fmt: skip
    tree = _decode("v1", "Secret", (1, metadata), (2, _message((1, "d"), (2, b"\0\xff"))), (3, "Opaque"), (5, 0))
    assert tree["metadata"] == {
        "name": "a", "creationTimestamp": "2023-11-14T22:13:20Z", "deletionGracePeriodSeconds": 0,
        "ownerReferences": [{"name": "n"}], "labels": {"k": "v", "e": ""}, "finalizers": ["x/f", "y/f"],
    }  # fmt: skip
    assert tree["data"] == {"d": base64.b64encode(b"\0\xff").decode()}
    assert (tree["type"], tree["immutable"]) == ("Opaque", False)


def test_pointers_to_zero_stay_and_plain_zeros_go() -> None:
    spec = _message((1, 0), (2, _message()), (3, _message()), (5, 0), (7, 0))
    tree = _decode("apps/v1", "Deployment", (2, spec))
    assert tree["spec"] == {"replicas": 0, "selector": {}, "template": {}}


def test_quantities_ports_and_inlined_sources() -> None:
    resources = _message((1, _message((1, "cpu"), (2, _message((1, "100m"))))))
    probe = _message((1, _message((2, _message((2, _message((1, 1), (2, 0), (3, "web"))))))), (3, 0))
    container = _message((1, "c"), (8, resources), (10, probe), (6, _message((3, 80))))
    volume = _message((1, "v"), (2, _message((2, _message((1, ""))))))
    pod = _decode("v1", "Pod", (2, _message((2, container), (1, volume), (8, _message((1, "n"), (2, "x"))))))
    [found] = pod["spec"]["containers"]
    assert found["resources"] == {"limits": {"cpu": "100m"}}
    assert found["livenessProbe"] == {"httpGet": {"port": "web"}}
    assert found["ports"] == [{"containerPort": 80}]
    assert pod["spec"]["volumes"] == [{"name": "v", "emptyDir": {}}]


def test_negative_numbers() -> None:
    tree = _decode("v1", "DeleteOptions", (1, -1), (5, "All"))
    assert (tree["gracePeriodSeconds"], tree["dryRun"]) == (-1, ["All"])


def test_delete_options_of_any_group() -> None:
    assert _decode("policy/v1", "DeleteOptions", (1, 0))["gracePeriodSeconds"] == 0


def test_fields_that_are_not_known_are_reported() -> None:
    warnings: list[str] = []
    protobuf.decode(_body("v1", "ConfigMap", _message((999, "x"))), warnings)
    assert warnings == ['unknown field "ConfigMap#999"']


@pytest.mark.parametrize(
    "data",
    [
        b"", b"k8s", b"k8s\0", b"nope" + KUBECTL_CREATE_NAMESPACE[4:], KUBECTL_CREATE_NAMESPACE[:-3],
        _body("v1", "Widget", b""), _body("v1", "Namespace", b"\xff"), _body("v1", "Namespace", _message((1, 7))),
        _body("v1", "ConfigMap", _message((1, _message((1, b"\xff\xfe"))))),
    ],
    ids=["empty", "short", "magic alone", "no magic", "cut", "kind", "number", "wrong type", "not text"],
)  # fmt: skip
def test_bytes_that_are_nothing(data: bytes) -> None:
    with pytest.raises(BadRequest):
        protobuf.decode(data, [])


@given(st.binary(max_size=60), st.sampled_from(["Pod", "ConfigMap", "Event", "Node"]))
def test_any_bytes_are_an_object_or_a_bad_request(raw: bytes, kind: str) -> None:
    try:
        tree = protobuf.decode(_body("v1", kind, raw), [])
    except BadRequest:
        return
    assert tree["kind"] == kind


async def test_over_http(http: TestClient) -> None:  # type: ignore[type-arg]
    headers = {"Content-Type": protobuf.MEDIA_TYPE, "Accept": f"{protobuf.MEDIA_TYPE},application/json"}
    async with http.post("/api/v1/namespaces", data=KUBECTL_CREATE_NAMESPACE, headers=headers) as response:
        assert response.status == 201
        assert (await response.json())["metadata"]["name"] == "short"
    async with http.post("/api/v1/namespaces", data=b"k8s\0\xff", headers=headers) as response:
        assert response.status == 400

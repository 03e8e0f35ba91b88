"""Protobuf bodies: what kubectl really sends, zero values, and bytes that are nothing."""

from __future__ import annotations

import base64
import contextlib
import struct
from typing import Any

import pytest
from aiohttp.test_utils import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane.apiserver import protobuf
from controlplane.apiserver.protobuf import wire
from shared import codec
from shared.api.errors import BadRequest, RequestEntityTooLarge, UnsupportedMediaType

KUBECTL_CREATE_NAMESPACE = bytes.fromhex(
    "6b3873000a0f0a02763112094e616d657370616365121d0a150a0573686f727412001a0022002a0032003800420012001a020a001a002200"
)
"""What kubectl 1.32 and 1.37 post for ``kubectl create namespace short``."""

KUBECTL_SENDS: dict[str, tuple[str, Any]] = {
    "certificate approve n": (
        "6b3873000a330a166365727469666963617465732e6b38732e696f2f7631121943657274696669636174655369676e696e6752657175657374"
        "12d6010a1b0a016e12001a0022002a01753201373800420808a5ebdcca06100012500a0200ff121273797374656d3a626f6f7473747261703a"
        "611a0022026731220267322a0b636c69656e742061757468320d0a016b12080a0276310a0276323a0d6578616d706c652e636f6d2f7340901c"
        "1a650a630a08417070726f766564120e4b75626563746c417070726f76651a3554686973204353522077617320617070726f76656420627920"
        "6b75626563746c20636572746966696361746520617070726f76652e220808a3a88fd80610002a003204547275651a002200",
        {
            "apiVersion": "certificates.k8s.io/v1",
            "kind": "CertificateSigningRequest",
            "metadata": {
                "name": "n", "uid": "u", "resourceVersion": "7", "creationTimestamp": "2026-01-02T03:04:05Z",
            },
            "spec": {
                "request": "AP8=", "signerName": "example.com/s", "usages": ["client auth"], "expirationSeconds": 3600,
                "username": "system:bootstrap:a", "groups": ["g1", "g2"], "extra": {"k": ["v1", "v2"]},
            },
            "status": {
                "conditions": [
                    {
                        "type": "Approved", "status": "True", "reason": "KubectlApprove",
                        "message": "This CSR was approved by kubectl certificate approve.",
                        "lastUpdateTime": "2026-11-23T05:50:27Z",
                    }
                ]
            },
        },
    ),
    "create deployment d --image nginx:1 --replicas 0 --port 80": (
        "6b3873000a150a07617070732f7631120a4465706c6f796d656e7412b2010a1b0a016412001a0022002a003200380042005a080a0361707012"
        "01641284010800120a0a080a036170701201641a6c0a1a0a0012001a0022002a003200380042005a080a03617070120164124e12300a056e67"
        "696e7812076e67696e783a312a00320a0a001000185022002a0042006a007200800100880100900100a201001a00320042004a005200580060"
        "0068008201008a01009a0100c2010022020a00280038001a0c0800100018002000280038001a002200",
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "d", "labels": {"app": "d"}},
            "spec": {
                "replicas": 0,
                "selector": {"matchLabels": {"app": "d"}},
                "template": {
                    "metadata": {"labels": {"app": "d"}},
                    "spec": {
                        "containers": [
                            {"name": "nginx", "image": "nginx:1", "ports": [{"containerPort": 80}], "resources": {}}
                        ]
                    },
                },
                "strategy": {},
            },
            "status": {},
        },
    ),
    "create service nodeport w --tcp 80:http": (
        "6b3873000a0d0a02763112075365727669636512650a1b0a017712001a0022002a003200380042005a080a0361707012017712420a1e0a0738"
        "302d6874747012035443501850220a080110001a0468747470280012080a036170701201771a0022084e6f6465506f72743a00420052005a00"
        "600068001a020a001a002200",
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "w", "labels": {"app": "w"}},
            "spec": {
                "ports": [{"name": "80-http", "protocol": "TCP", "port": 80, "targetPort": "http"}],
                "selector": {"app": "w"},
                "type": "NodePort",
            },
            "status": {"loadBalancer": {}},
        },
    ),
    "drain m --grace-period=5 --disable-eviction": (
        "6b3873000a130a027631120d44656c6574654f7074696f6e73120208051a002200",
        {"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 5},
    ),
}  # fmt: skip
"""Bodies of requests that kubectl 1.37 made, and the objects that it would have sent as JSON."""


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


@pytest.mark.parametrize("command", KUBECTL_SENDS)
def test_what_other_commands_send(command: str) -> None:
    body, wanted = KUBECTL_SENDS[command]
    warnings: list[str] = []
    assert protobuf.decode(bytes.fromhex(body), warnings) == wanted
    assert warnings == []


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
        _body("v1", "Namespace", b"\xff"), _body("v1", "Namespace", _message((1, 7))),
        _body("v1", "ConfigMap", _message((1, _message((1, b"\xff\xfe"))))),
        _body("v1", "ConfigMap", _message((1, _message((1, 1.5))))),
        _body("v1", "ConfigMap", _message((2, _message((1, "k"), (2, 1.5))))),
        _body("v1", "ConfigMap", _varint(99 << 3 | 1) + b"abc"), _body("v1", "ConfigMap", _varint(0) + b"a"),
        _body("v1", "ConfigMap", _varint(1 << 3 | 3)), _body("v1", "DeleteOptions", b"\x08" + b"\xff" * 10 + b"\1"),
        _body("v1", "DeleteOptions", _message((1, float("inf")))),
        _body("v1", "ConfigMap", _message((1, _message((8, _message((1, 1 << 60))))))),
        _body("v1", "ConfigMap", _message((1, _message((17, _message((7, _message((1, "{"))))))))),
    ],
    ids=["empty", "short", "magic alone", "no magic", "cut", "number", "wrong type", "not text", "float in text",
         "float in map", "float cut", "field 0", "group", "long number", "infinity", "time", "JSON inside"],
)  # fmt: skip
def test_bytes_that_are_nothing(data: bytes) -> None:
    with pytest.raises(BadRequest):
        protobuf.decode(data, [])


def test_a_kind_without_a_table_is_to_be_sent_as_json() -> None:
    with pytest.raises(UnsupportedMediaType, match=r'"Widget".*send it as JSON'):
        protobuf.decode(_body("example.com/v1", "Widget", b""), [])


def test_a_newer_client_that_leaves_new_fields_empty_is_not_warned_about() -> None:
    warnings: list[str] = []
    protobuf.decode(_body("v1", "ConfigMap", _message((997, ""), (998, 0), (999, b""))), warnings)
    assert warnings == []


def test_warnings_are_few_and_each_is_given_once() -> None:
    warnings: list[str] = []
    raw = _message(*((number, 1) for number in range(100, 2000)), *((100, 1) for _ in range(50)))
    protobuf.decode(_body("v1", "ConfigMap", raw), warnings)
    assert len(warnings) == len(set(warnings)) == 20


@pytest.mark.parametrize(
    "part",
    [
        (2, _message(*((2, b"") for _ in range(100_000)))),
        (1, _message((8, _message(*((1, 0) for _ in range(100_000)))))),
    ],
    ids=["empty containers", "one time"],
)
def test_more_values_than_can_be_read_quickly_are_refused(part: tuple[int, bytes]) -> None:
    with pytest.raises(RequestEntityTooLarge, match="more than 100000 values"):
        protobuf.decode(_body("v1", "Pod", _message(part)), [])


def test_a_large_config_map_is_read() -> None:
    entries = [(2, _message((1, f"key-{index}"), (2, "v" * 20))) for index in range(30_000)]
    assert len(_decode("v1", "ConfigMap", *entries)["data"]) == 30_000


def test_a_quantity_without_text_is_zero() -> None:
    container = _message((1, "c"), (8, _message((1, _message((1, "cpu"), (2, b""))))))
    pod = _decode("v1", "Pod", (2, _message((2, container))))
    assert pod["spec"]["containers"][0]["resources"] == {"limits": {"cpu": "0"}}


@pytest.mark.parametrize(
    ("seconds", "nanos", "text"),
    [
        (-62_135_596_799, 0, "0001-01-01T00:00:01.000000Z"), (-1, 0, "1969-12-31T23:59:59.000000Z"),
        (1, 999_999_999, "1970-01-01T00:00:01.999999Z"), (0, 0, None),
    ],
    ids=["the first year", "before 1970", "below a microsecond", "not set"],
)  # fmt: skip
def test_times(seconds: int, nanos: int, text: str | None) -> None:
    lease = _decode("coordination.k8s.io/v1", "Lease", (2, _message((4, _message((1, seconds), (2, nanos))))))
    assert lease["spec"].get("renewTime") == text


@settings(deadline=None)
@given(st.binary(max_size=80) | st.binary(max_size=80).map(lambda rest: b"k8s\0" + rest))
def test_any_bytes_are_an_object_or_refused(data: bytes) -> None:
    with contextlib.suppress(BadRequest, UnsupportedMediaType):
        codec.encode(protobuf.decode(data, []))


_KINDS = [
    ("v1", "Pod"), ("v1", "ConfigMap"), ("v1", "Event"), ("v1", "Node"), ("v1", "Service"), ("v1", "DeleteOptions"),
    ("apps/v1", "Deployment"), ("coordination.k8s.io/v1", "Lease"), ("policy/v1", "Eviction"), ("v1", "Secret"),
    ("certificates.k8s.io/v1", "CertificateSigningRequest"), ("discovery.k8s.io/v1", "EndpointSlice"),
]  # fmt: skip
_VALUES = st.recursive(
    st.integers(-(1 << 70), 1 << 70) | st.floats() | st.text(max_size=5) | st.binary(max_size=8),
    lambda inner: st.lists(st.tuples(st.integers(1, 25), inner), max_size=5).map(lambda parts: _message(*parts)),
    max_leaves=12,
)


@settings(deadline=None)
@given(st.sampled_from(_KINDS), st.lists(st.tuples(st.integers(1, 12), _VALUES), max_size=4))
def test_any_fields_are_an_object_or_a_bad_request(kind: tuple[str, str], parts: list[tuple[int, Any]]) -> None:
    try:
        tree = protobuf.decode(_body(*kind, _message(*parts)), [])
    except BadRequest:
        return
    assert (tree["apiVersion"], tree["kind"]) == kind
    assert codec.decode(codec.encode(tree)) == tree


@settings(deadline=None)
@given(st.sampled_from(list(KUBECTL_SENDS)), st.data())
def test_a_damaged_body_is_an_object_or_refused(command: str, data: st.DataObject) -> None:
    body = bytearray.fromhex(KUBECTL_SENDS[command][0])
    for at in data.draw(st.lists(st.integers(0, len(body) - 1), min_size=1, max_size=4)):
        body[at] = data.draw(st.integers(0, 255))
    with contextlib.suppress(BadRequest, UnsupportedMediaType):
        codec.encode(protobuf.decode(bytes(body), []))


@settings(deadline=None)
@given(st.integers(-(1 << 63), (1 << 63) - 1))
def test_numbers_of_64_bits(value: int) -> None:
    [(field, found)] = wire.Reader(1).fields(_message((3, value)))
    assert (field, wire.number(found)) == (3, value)


async def test_over_http(http: TestClient) -> None:  # type: ignore[type-arg]
    headers = {"Content-Type": protobuf.MEDIA_TYPE, "Accept": f"{protobuf.MEDIA_TYPE},application/json"}
    async with http.post("/api/v1/namespaces", data=KUBECTL_CREATE_NAMESPACE, headers=headers) as response:
        assert response.status == 201
        assert (await response.json())["metadata"]["name"] == "short"
    async with http.post("/api/v1/namespaces", data=b"k8s\0\xff", headers=headers) as response:
        assert response.status == 400

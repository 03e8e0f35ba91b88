"""Where a proxied request goes, and what changes on its way."""

from __future__ import annotations

import random

import msgspec
import pytest
from multidict import CIMultiDict

from controlplane.apiserver.proxy.location import Name, of_pod, of_service, parse_name
from controlplane.apiserver.proxy.rewriting import (
    answered_headers,
    asks_for_websocket,
    clean_path,
    forwarded_headers,
    rewritten_location,
)
from shared.api.core import Endpoints, Service
from shared.api.errors import BadRequest, ServiceUnavailable
from shared.api.pod import Pod

RNG = random.Random(1)


def pod(name="p", address="10.1.0.2", *ports):
    containers = [{"name": "c", "image": "i", "ports": [{"containerPort": port} for port in ports]}]
    tree = {
        "metadata": {"name": name, "namespace": "default", "uid": f"uid-{name}"},
        "spec": {"nodeName": "n1", "containers": containers},
        "status": {"podIP": address},
    }
    return msgspec.convert(tree, Pod)


def service(*ports):
    return msgspec.convert({"metadata": {"name": "s"}, "spec": {"ports": list(ports)}}, Service)


def endpoints(*subsets):
    return msgspec.convert({"metadata": {"name": "s"}, "subsets": list(subsets)}, Endpoints)


def address(ip, name):
    return {"ip": ip, "targetRef": {"kind": "Pod", "namespace": "default", "name": name}}


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("p", Name("", "p", "")),
        ("p:80", Name("", "p", "80")),
        ("p:web", Name("", "p", "web")),
        ("https:p:443", Name("https", "p", "443")),
        ("http:p:", Name("http", "p", "")),
        (":p:80", Name("", "p", "80")),
    ],
)
def test_names(text, name):
    assert parse_name(text, "pod") == name


@pytest.mark.parametrize("text", ["", ":80", "ftp:p:21", "https::443", "a:b:c:d"])
def test_what_is_no_name(text):
    with pytest.raises(BadRequest, match=f'invalid pod request "{text}"'):
        parse_name(text, "pod")


@pytest.mark.parametrize(
    ("asked", "ports", "host", "tls"),
    [
        ("p:81", (80,), "10.1.0.2:81", False),
        ("p", (8080, 9090), "10.1.0.2:8080", False),
        ("p", (), "10.1.0.2:80", False),
        ("https:p:", (), "10.1.0.2:443", True),
    ],
    ids=["said", "the first declared", "http's", "https'"],
)
def test_a_pods_port(asked, ports, host, tls):
    location = of_pod(parse_name(asked, "pod"), pod("p", "10.1.0.2", *ports))
    assert (location.host, location.tls, location.node) == (host, tls, "n1")
    assert (location.target.uid, location.target.loopback) == ("uid-p", False)


@pytest.mark.parametrize("ip", ["", "127.0.0.1", "169.254.169.254", "224.0.0.1", "0.0.0.0", "::1", "elsewhere"])
def test_a_pod_without_an_address_that_may_be_asked(ip):
    with pytest.raises(BadRequest, match="address not allowed"):
        of_pod(parse_name("p:80", "pod"), pod("p", ip))


@pytest.mark.parametrize("port", ["web", "0", "70000"])
def test_a_pods_port_that_is_none(port):
    with pytest.raises(ServiceUnavailable, match="unknown port"):
        of_pod(Name("", "p", port), pod())


READY = endpoints(
    {"addresses": [address("10.1.0.2", "a"), address("10.1.0.3", "b")], "ports": [{"name": "web", "port": 8080}]},
    {"addresses": [address("10.1.0.2", "a")], "ports": [{"name": "admin", "port": 9090}]},
)
PODS = {"a": pod("a", "10.1.0.2"), "b": pod("b", "10.1.0.3")}
UNREADY = {"notReadyAddresses": [address("10.1.0.2", "a")], "ports": [{"name": "web", "port": 1}]}
SERVICE = service({"name": "web", "port": 80}, {"name": "admin", "port": 81})


def found(asked, service=SERVICE, endpoints=READY, pods=PODS):
    return of_service(parse_name(asked, "service"), service, endpoints, lambda _, name: pods.get(name), RNG)


def test_a_services_port_is_that_of_its_endpoints_by_name_or_number():
    assert {found("s:web").host for _ in range(50)} == {"10.1.0.2:8080", "10.1.0.3:8080"}
    assert found("s:81").host == found("https:s:admin").host == "10.1.0.2:9090"
    assert found("https:s:admin").tls


@pytest.mark.parametrize(
    ("asked", "changes", "words"),
    [
        ("s:99", {}, 'no service port 99 found for service "s"'),
        ("s:web", {"endpoints": None}, 'no endpoints available for service "s"'),
        ("s:web", {"endpoints": endpoints()}, 'no endpoints available for service "s"'),
        ("s:other", {}, 'no endpoints available for service "s"'),
        ("s:web", {"pods": {}}, 'no endpoints available for service "s"'),
        ("s:web", {"pods": {"a": pod("a", "10.9.9.9")}}, 'no endpoints available for service "s"'),
        (
            "s:web",
            {"endpoints": endpoints({"addresses": [{"ip": "10.1.0.2"}], "ports": [{"name": "web", "port": 1}]})},
            'no endpoints available for service "s"',
        ),
        (
            "s:web",
            {"endpoints": endpoints(UNREADY)},
            'no endpoints available for service "s"',
        ),
    ],
    ids=["number", "no object", "empty", "port's name", "pod gone", "another pod's address", "no pod", "not ready"],
)  # fmt: skip
def test_services_without_a_way(asked, changes, words):
    with pytest.raises(ServiceUnavailable, match=words):
        found(asked, **changes)


def test_an_unnamed_port_is_meant_where_none_is_said():
    only = endpoints({"addresses": [address("10.1.0.2", "a")], "ports": [{"port": 8080}]})
    assert found("s", endpoints=only).host == "10.1.0.2:8080"


def test_headers_to_the_backend_hold_nothing_of_this_connection_or_of_our_credentials():
    headers = CIMultiDict(
        [
            ("Host", "localhost:8001"), ("Authorization", "Bearer secret"), ("Connection", "keep-alive, X-Own"),
            ("X-Own", "1"), ("Keep-Alive", "5"), ("TE", "trailers"), ("Transfer-Encoding", "chunked"),
            ("Impersonate-User", "jane"), ("X-Remote-User", "root"), ("Upgrade", "h2c"), ("Cookie", "a=1"),
            ("Accept", "text/html"), ("Accept", "*/*"), ("X-Forwarded-For", "10.0.0.9"),
            ("Sec-WebSocket-Protocol", "base64url.bearer.authorization.k8s.io.c2VjcmV0, chat"),
        ]
    )  # fmt: skip
    sent = forwarded_headers(headers, "192.0.2.7", uri="/api/v1/x")
    assert sorted(sent.items()) == [
        ("Accept", "*/*"), ("Accept", "text/html"), ("Cookie", "a=1"), ("Host", "localhost:8001"),
        ("Sec-WebSocket-Protocol", "chat"), ("X-Forwarded-For", "10.0.0.9, 192.0.2.7"),
        ("X-Forwarded-Uri", "/api/v1/x"),
    ]  # fmt: skip


def test_headers_of_the_answer():
    headers = CIMultiDict([("Connection", "close, X-A"), ("X-A", "1"), ("Set-Cookie", "a"), ("Set-Cookie", "b")])
    assert list(answered_headers(headers).items()) == [("Set-Cookie", "a"), ("Set-Cookie", "b")]


@pytest.mark.parametrize(
    ("path", "cleaned"),
    [
        ("", "/"), ("/", "/"), ("/a/b", "/a/b"), ("/a/b/", "/a/b/"), ("//a///b", "/a/b"), ("/../../x", "/x"),
        ("/a/../b/./c", "/b/c"), ("/a/..", "/"), ("/%2e%2e/x", "/x"), ("/a%2Fb%20c", "/a/b%20c"),
        ("/%ff;v=1@:!", "/%FF;v=1@:%21"), ("/sub%2F", "/sub/"),
    ],
)  # fmt: skip
def test_paths(path, cleaned):
    assert clean_path(path) == cleaned


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("/login", "/p/proxy/login"),
        ("/login/?a=1#b", "/p/proxy/login/?a=1#b"),
        ("http://10.1.0.2:80/x", "/p/proxy/x"),
        ("http://localhost:8001/x", "http://localhost:8001/p/proxy/x"),
        ("http://localhost:8001/p/proxy/x", "http://localhost:8001/p/proxy/x"),
        ("/p/proxy/x", "/p/proxy/x"),
        ("relative/x", "relative/x"),
        ("https://elsewhere.example/x", "https://elsewhere.example/x"),
        ("http://[broken", "http://[broken"),
    ],
)
def test_redirects(location, expected):
    assert (
        rewritten_location(location, prefix="/p/proxy", host="10.1.0.2:80", request_host="localhost:8001") == expected
    )


@pytest.mark.parametrize(
    ("headers", "asks"),
    [
        ({"Connection": "Upgrade", "Upgrade": "websocket"}, True),
        ({"Connection": "keep-alive, Upgrade", "Upgrade": "WebSocket"}, True),
        ({"Connection": "Upgrade", "Upgrade": "h2c"}, False),
        ({"Upgrade": "websocket"}, False),
        ({}, False),
    ],
)
def test_upgrades(headers, asks):
    assert asks_for_websocket(CIMultiDict(headers)) is asks

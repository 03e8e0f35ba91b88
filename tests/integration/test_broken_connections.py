"""Connections that no well-behaved client would make: each is refused or ended, and harms nobody else.

One server process serves them all, so each also shows that the ones before did it no harm.
"""

import json
import socket
import ssl
import time
from contextlib import ExitStack, closing
from datetime import timedelta

import pytest

from shared import pki, tls
from shared.client import kubeconfig
from shared.cluster_pki import load_cluster_ca
from tests.raw import CONFIG_MAPS, MERGE_PATCH, PATIENCE, Line, config_map

HEAD = f"POST {CONFIG_MAPS} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
OBJECT = json.dumps(config_map("half"))
SECRET = "abcdef.0123456789abcdef"


@pytest.fixture(scope="module")
def cluster(cluster):
    cluster.apply(config_map("kept", data={"a": "1"}))
    yield cluster
    cluster.stop()
    log = (cluster.directory / "server.log").read_text()
    for word in ("Traceback", "request failed", "aiohttp", SECRET):
        assert word not in log


@pytest.fixture(autouse=True)
def healthy(cluster):
    """Afterwards the server answers another client, keeps what it had and has nothing of a half-sent request."""
    yield
    with Line(cluster) as line:
        assert line.ask("GET", "/readyz").code == 200
        assert line.ask("GET", f"{CONFIG_MAPS}/kept").tree["data"] == {"a": "1"}
        assert line.ask("GET", f"{CONFIG_MAPS}/half").code == 404


@pytest.fixture
def line(cluster):
    with Line(cluster) as line:
        yield line


def plain(cluster):
    """A connection without TLS."""
    host, _, port = cluster.address.rpartition(":")
    return socket.create_connection((host, int(port)), timeout=PATIENCE)


# --- requests that are none


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ("nonsense\r\n\r\n", ""),
        ("GET / HTTP/9.9.9\r\n\r\n", ""),
        ("GET /readyz HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n", ""),
        (f"GET /readyz HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {SECRET}\x00\r\n\r\n", "Invalid header value"),
        (f"GET /{'a' * 100_000} HTTP/1.1\r\nHost: x\r\n\r\n", ""),
        (f"GET /readyz HTTP/1.1\r\nHost: x\r\nA: {'b' * 100_000}\r\n\r\n", ""),
        ("GET /readyz HTTP/1.1\r\nHost: x\r\n" + "A: b\r\n" * 20_000 + "\r\n", ""),
        (f"{HEAD}Content-Length: -1\r\n\r\n", ""),
        (f"{HEAD}Content-Length: many\r\n\r\n", ""),
        (f"{HEAD}Content-Length: 2\r\nContent-Length: 3\r\n\r\n{{}}", ""),
        (f"{HEAD}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", ""),
        (f"{HEAD}Transfer-Encoding: chunked\r\n\r\nxyz\r\n{{}}\r\n0\r\n\r\n", ""),
        (f"{HEAD}Transfer-Encoding: chunked\r\n\r\n-2\r\n{{}}\r\n0\r\n\r\n", ""),
        (f"{HEAD}Transfer-Encoding: chunked\r\n\r\n{'f' * 30}\r\n{{}}\r\n0\r\n\r\n", ""),
        (f"{HEAD}Transfer-Encoding: chunked\r\n\r\n1\r\n{{}}\r\n0\r\n\r\n", ""),
        (f"{HEAD}Transfer-Encoding: frob\r\n\r\n{{}}", ""),
        (f"{HEAD}Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{{}}", ""),
    ],
    ids=["no request", "no version", "no header", "a null in a header", "a long line", "a long header", "many headers",
         "negative length", "no length", "two lengths", "length and chunks", "no chunk", "a negative chunk",
         "a huge chunk", "a chunk too long", "unknown encoding", "no gzip"],
)  # fmt: skip
def test_what_is_no_http_is_a_bad_request(line, sent, said):
    line.socket.sendall(sent.encode())
    reply = line.answer()
    assert 400 <= reply.code < 500, reply
    assert said in reply.text


def test_long_selectors_fit(line):
    names = ",".join(f"name-of-an-application-{number}" for number in range(1000))
    assert line.ask("GET", f"{CONFIG_MAPS}?labelSelector=app%20in%20({names})").tree["items"] == []


# --- requests that end too early


HALVES = {
    "nothing": "",
    "half a head": HEAD,
    "half a line": HEAD[:10],
    "no body": f"{HEAD}Content-Length: {len(OBJECT)}\r\n\r\n",
    "half a body": f"{HEAD}Content-Length: {len(OBJECT) + 1}\r\n\r\n{OBJECT}",
    "half a chunk": f"{HEAD}Transfer-Encoding: chunked\r\n\r\n{len(OBJECT) + 1:x}\r\n{OBJECT}",
    "no last chunk": f"{HEAD}Transfer-Encoding: chunked\r\n\r\n{len(OBJECT):x}\r\n{OBJECT}\r\n",
}


@pytest.mark.parametrize("half", HALVES)
def test_a_client_goes_away_in_the_middle(line, half):
    line.socket.sendall(HALVES[half].encode())


@pytest.mark.parametrize("half", HALVES)
def test_a_client_says_no_more_in_the_middle(line, half):
    """It ends its side of the connection: the server needs no patience, it ends the other."""
    line.socket.sendall(HALVES[half].encode())
    rest = line.socket.unwrap()
    assert b" 201 " not in rest.recv(65536)
    rest.close()


def test_those_who_hang_do_not_keep_others_waiting(cluster, line):
    with ExitStack() as hanging:
        for half in list(HALVES.values()) * 20:
            hanging.enter_context(Line(cluster)).socket.sendall(half.encode())
        for _ in range(20):
            hanging.enter_context(closing(plain(cluster)))  # not even a handshake
        began = time.monotonic()
        for number in range(20):
            assert line.ask("POST", CONFIG_MAPS, config_map(f"quick{number}")).code == 201
            assert line.ask("DELETE", f"{CONFIG_MAPS}/quick{number}").code == 200
        assert time.monotonic() - began < PATIENCE / 4


# --- who does not read


def test_a_watch_that_is_not_read_takes_little_memory_and_hurts_nobody(cluster, line):
    """The other watch gets every event at once; the slow one is cut off when it holds as much as the ring, 32 MB."""
    watch = f"GET {CONFIG_MAPS}?watch=1&resourceVersion={{}} HTTP/1.1\r\nHost: x\r\n\r\n"
    version = line.ask("POST", CONFIG_MAPS, config_map("big")).tree["metadata"]["resourceVersion"]
    with Line(cluster) as slow, Line(cluster) as good:
        for each in (slow, good):
            each.socket.sendall(watch.format(version).encode())
        before = memory(cluster)
        stream = good.socket.makefile("rb")
        for number in range(150):
            patch = {"data": {"number": str(number), "filler": "x" * 1_000_000}}
            assert line.ask("PATCH", f"{CONFIG_MAPS}/big", patch, MERGE_PATCH).code == 200
            assert any(f'"number":"{number}"'.encode() in piece for piece in iter(stream.readline, b""))
        assert memory(cluster) - before < 165 << 20, "205 MB without the limit, 90 MB with no watch at all"
        assert line.ask("DELETE", f"{CONFIG_MAPS}/big").code == 200


def memory(cluster):
    """Bytes of the server's process."""
    with open(f"/proc/{cluster.process.pid}/statm") as statm:
        return int(statm.read().split()[1]) * 4096


# --- TLS


def test_plain_http_is_told_that_this_is_https(cluster):
    with plain(cluster) as connection:
        connection.sendall(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.0 400 Bad Request\r\n")
    assert answer.endswith(b"Client sent an HTTP request to an HTTPS server.\n")


def test_what_is_no_tls_is_hung_up_on(cluster):
    with plain(cluster) as connection:
        connection.sendall(b"\x00" * 1000)
        assert connection.recv(65536)[:1] in (b"", b"\x15"), "the end, or an alert"


def shows(cluster, pair):
    """What the server says to a client with the certificate ``pair``."""
    with Line(cluster, tls.client_context(load_cluster_ca(cluster.directory / "data").pem, pair)) as line:
        return line.ask("GET", f"{CONFIG_MAPS}/kept")


def test_a_certificate_of_another_ca(cluster):
    with pytest.raises(ssl.SSLError, match="unknown ca"):
        shows(cluster, pki.client_certificate(pki.create_ca(), pki.ADMIN_NAME, [pki.ADMIN_GROUP]))


def test_an_expired_certificate(cluster):
    ca = load_cluster_ca(cluster.directory / "data")
    pair = pki.client_certificate(ca, pki.ADMIN_NAME, [pki.ADMIN_GROUP], lifetime=timedelta(seconds=-1))
    with pytest.raises(ssl.SSLError, match="certificate expired"):
        shows(cluster, pair)


def test_a_certificate_for_nobody(cluster):
    ca = load_cluster_ca(cluster.directory / "data")
    assert shows(cluster, pki.client_certificate(ca, "somebody", [])).code == 403


def test_no_certificate(cluster):
    assert shows(cluster, None).code == 401


def test_an_old_version_of_tls(cluster):
    context = kubeconfig.load(cluster.kubeconfig).ssl_context()
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises(ssl.SSLError, match="protocol version"):
        Line(cluster, context).ask("GET", "/readyz")

"""The proxy subresources on real pods: kubectl, kubectl proxy, the Python client, and clients that stream."""

from __future__ import annotations

import asyncio
import json
import ssl
import subprocess
from contextlib import asynccontextmanager, closing, contextmanager

import aiohttp
import pytest
from aiohttp import web
from kubernetes import client as kubernetes
from kubernetes import config
from yarl import URL

from shared.client import kubeconfig
from tests.cluster import eventually, free_port, is_ready
from tests.docker_cluster import IMAGE
from tests.raw import Line

SCRIPT = "mkdir -p /www/sub; echo hello > /www/index.html; echo deep > /www/sub/index.html; httpd -f -p 8080 -h /www"
PODS, SERVICES = "/api/v1/namespaces/default/pods", "/api/v1/namespaces/default/services"
HOST_POD = "h"
"""On the host's network, where the test's own servers are: it stands for pods that do what busybox cannot."""


@pytest.fixture(scope="module")
def host(docker_cluster):
    container = {"name": "c", "image": IMAGE, "command": ["sh", "-c", SCRIPT], "ports": [{"containerPort": 8080}]}
    probe = {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1}
    docker_cluster.cluster.apply(
        {
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "labels": {"app": "web"}},
            "spec": {"terminationGracePeriodSeconds": 0, "containers": [container | {"readinessProbe": probe}]},
        },
        {
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"},
            "spec": {"selector": {"app": "web"}, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]},
        },
        {
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "idle"},
            "spec": {"selector": {"app": "nobody"}, "ports": [{"port": 80}]},
        },
    )  # fmt: skip
    docker_cluster.run_pod(HOST_POD, hostNetwork=True)
    eventually(lambda: is_ready(docker_cluster.cluster.get("pod", "web")), "pod web ready", interval=0.05)
    eventually(lambda: docker_cluster.cluster.endpoints("web", 1), "an endpoint of web", interval=0.05)
    return docker_cluster


@pytest.fixture
def line(host):
    with Line(host.cluster) as line:
        yield line


@pytest.fixture
async def admin(host):
    """A client that has the API server as its base."""
    context = kubeconfig.load(host.cluster.kubeconfig).ssl_context()
    connector = aiohttp.TCPConnector(ssl=context)
    async with aiohttp.ClientSession(f"https://{host.cluster.address}", connector=connector) as session:
        yield session


@asynccontextmanager
async def backend(*handlers, tls=None):
    """A server of the test's; the path of the proxy that leads to it. ``handlers`` are of "METHOD /path"s."""
    app = web.Application(client_max_size=1 << 30)
    for handler in handlers:
        app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "0.0.0.0", port, ssl_context=tls).start()
    try:
        yield f"{PODS}/{'https:' if tls else ''}{HOST_POD}:{port}/proxy"
    finally:
        await runner.cleanup()


# --- kubectl and the Python client


def test_kubectl_reads_through_pods_and_services(host):
    get = host.cluster.kubectl
    for path in (f"{PODS}/web:8080/proxy/", f"{PODS}/web/proxy/", f"{PODS}/http:web:8080/proxy/"):
        assert get("get", "--raw", path).stdout == "hello\n", path
    for path in (f"{SERVICES}/web:80/proxy/", f"{SERVICES}/web:http/proxy/", f"{SERVICES}/http:web:80/proxy/"):
        assert get("get", "--raw", path).stdout == "hello\n", path
    assert get("get", "--raw", f"{SERVICES}/web:80/proxy/sub/").stdout == "deep\n"


@contextmanager
def kubectl_proxy(host):
    """A running ``kubectl proxy``; its URL."""
    command = host.kubectl("proxy", "--port=0")
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=host.environ) as process:
        try:
            yield "http://" + process.stdout.readline().split()[-1]
        finally:
            process.terminate()


async def test_a_browser_behind_kubectl_proxy_is_led_along(host):
    with kubectl_proxy(host) as url:
        async with aiohttp.ClientSession() as session:
            async with session.get(f"{url}{SERVICES}/web:80/proxy") as answer:
                assert (await answer.text(), answer.url.path) == ("hello\n", f"{SERVICES}/web:80/proxy/")
            async with session.get(f"{url}{PODS}/web:8080/proxy/sub", allow_redirects=False) as answer:
                assert answer.status == 302
                assert answer.headers["Location"].endswith(f"{PODS}/web:8080/proxy/sub/")
            async with session.get(f"{url}{PODS}/web:8080/proxy/sub") as answer:
                assert await answer.text() == "deep\n"


def test_the_python_client(host):
    with closing(config.new_client_from_config(str(host.cluster.kubeconfig))) as api:
        core = kubernetes.CoreV1Api(api)
        assert core.connect_get_namespaced_pod_proxy("web:8080", "default") == "hello\n"
        assert core.connect_get_namespaced_pod_proxy_with_path("web:8080", "default", "sub/") == "deep\n"
        assert core.connect_get_namespaced_service_proxy("web:http", "default") == "hello\n"


# --- what a backend sees, and what its client gets


async def test_every_method_path_query_and_body_arrives(host, admin):
    async def echo(request: web.Request) -> web.Response:
        body = (await request.read()).decode()
        seen = [request.method, request.raw_path, body, request.headers.get("X-Mine"), request.headers["Host"]]
        headers = {"X-Seen": json.dumps(seen), "X-Forwarded": request.headers["X-Forwarded-Uri"]}
        assert request.headers.get("Content-Length", "0") == str(len(body)), "it is not sent in chunks"
        assert "Authorization" not in request.headers
        assert "Impersonate-User" not in request.headers
        return web.Response(status=207, reason="So It Is", headers=headers, text=body)

    secret = {"X-Mine": "1", "Authorization": "Bearer none-of-yours"}
    async with backend(echo) as path:
        for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
            body = f"body of {method}" if method in ("POST", "PUT", "PATCH", "DELETE") else None
            url = URL(f"https://{host.cluster.address}{path}/a%20b/c?x=1&x=2&y=%2F", encoded=True)
            async with admin.request(method, url, data=body, headers=secret) as answer:
                seen = [method, "/a%20b/c?x=1&x=2&y=%2F", body or "", "1", host.cluster.address]
                assert json.loads(answer.headers["X-Seen"]) == seen
                assert answer.headers["X-Forwarded"] == f"{path}/a%20b/c"
                assert (answer.status, answer.reason) == (207, "So It Is")
                assert await answer.text() == ("" if method == "HEAD" else body or "")


async def test_bodies_stream_both_ways_without_being_gathered(host, admin):
    """Each piece is answered before the next one is sent: nothing on the way waits for an end."""
    size, piece = 64, b"z" * 65536

    async def echo(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        async for data in request.content.iter_any():
            await response.write(data)
        return response

    turns = asyncio.Queue(1)

    async def pieces():
        for _ in range(size):
            yield piece
            async with asyncio.timeout(20):
                await turns.get()

    async with backend(echo) as path, admin.post(f"{path}/echo", data=pieces()) as answer:
        for _ in range(size):
            async with asyncio.timeout(20):
                assert await answer.content.readexactly(len(piece)) == piece
            await turns.put(None)
        assert await answer.content.read() == b""


async def test_many_at_once_get_each_its_own_answer(host, admin):
    async def echo(request: web.Request) -> web.Response:
        return web.Response(body=await request.read())

    async with backend(echo) as path:

        async def ask(number: int) -> bool:
            body = b"%d." % number * 20_000
            async with admin.post(f"{path}/", data=body) as answer:
                return await answer.read() == body

        for _ in range(3):
            assert all(await asyncio.gather(*(ask(number) for number in range(40))))
    await no_streams(host)


async def test_tls_of_a_pod_needs_no_known_authority(host, admin, tmp_path):
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "1",
    ]
    command += ["-subj", "/CN=nobody", "-keyout", f"{tmp_path}/key", "-out", f"{tmp_path}/cert"]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "cert", tmp_path / "key")

    async def secure(request: web.Request) -> web.Response:
        return web.Response(text="secure" if request.secure else "plain")

    async with backend(secure, tls=context) as path, admin.get(f"{path}/") as answer:
        assert await answer.text() == "secure"


async def test_a_websocket_passes(host, admin):
    async def shout(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(protocols=("loud",))
        await socket.prepare(request)
        async for message in socket:
            await socket.send_str(message.data.upper())
        return socket

    async with backend(shout) as path, admin.ws_connect(f"{path}/ws", protocols=("loud",)) as socket:
        assert socket.protocol == "loud"
        for words in ("one", "two" * 50_000):
            await socket.send_str(words)
            assert await socket.receive_str(timeout=20) == words.upper()
        await socket.close()
        assert socket.close_code == 1000
    await no_streams(host)


async def test_a_backend_that_does_not_answer_is_unavailable(host, admin):
    async def hang_up(request: web.Request) -> web.Response:
        request.transport.abort()
        return web.Response()

    async with backend(hang_up) as path, admin.get(f"{path}/") as answer:
        status = await answer.json()
        assert (answer.status, status["reason"]) == (503, "ServiceUnavailable")
        assert status["message"].startswith("error trying to reach service: ")


async def test_a_backend_that_speaks_no_tls_is_unavailable(host, admin):
    async def plain(request: web.Request) -> web.Response:
        return web.Response()

    async with backend(plain) as path, admin.get(path.replace(HOST_POD, f"https:{HOST_POD}") + "/") as answer:
        assert answer.status == 503
        assert (await answer.json())["message"].startswith("error trying to reach service: ")


async def test_an_answer_that_breaks_off_is_no_whole_one(host, admin):
    async def half(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"half")
        request.transport.abort()
        return response

    async with backend(half) as path, admin.get(f"{path}/") as answer:
        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.read()


async def test_a_client_that_leaves_ends_it_for_the_backend(host, admin):
    ended = asyncio.Event()

    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b"x" * 65536)
        except ConnectionError:
            ended.set()
        return response

    async with backend(endless) as path:
        async with admin.get(f"{path}/") as answer:
            await answer.content.readexactly(1 << 20)
        async with asyncio.timeout(20):
            await ended.wait()
    await no_streams(host)


async def test_a_client_that_does_not_read_holds_the_backend_back(host, admin):
    sent, held = 0, asyncio.Event()

    async def endless(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while sent < 256 << 20:
                async with asyncio.timeout(2):
                    await response.write(b"x" * 65536)
                sent += 65536
        except TimeoutError:
            held.set()
        request.transport.abort()
        return response

    async with backend(endless) as path, admin.get(f"{path}/"):
        async with asyncio.timeout(60):
            await held.wait()
    assert sent < 64 << 20
    await no_streams(host)


async def no_streams(host) -> None:
    """The server has given back every stream."""

    def none() -> bool:
        return "\nlongboat_streams 0.0\n" in host.cluster.kubectl("get", "--raw", "/metrics").stdout

    await asyncio.to_thread(eventually, none, "no stream is open", 20, 0.1)


# --- refusals


@pytest.mark.parametrize(
    ("path", "code", "words"),
    [
        (f"{PODS}/none:80/proxy/", 404, 'pods "none" not found'),
        (f"{PODS}/web:7/proxy/", 503, "error trying to reach service: dial tcp 10."),
        (f"{PODS}/ftp:web:21/proxy/", 400, 'invalid pod request "ftp:web:21"'),
        (f"{SERVICES}/none:80/proxy/", 404, 'services "none" not found'),
        (f"{SERVICES}/idle:80/proxy/", 503, 'no endpoints available for service "idle"'),
        (f"{SERVICES}/web:99/proxy/", 503, 'no service port 99 found for service "web"'),
        ("/api/v1/nodes/none/proxy/healthz", 404, 'nodes "none" not found'),
        ("/api/v1/nodes/host-1:22/proxy/", 400, "port 22 of a node is not reached through its proxy"),
        ("/api/v1/nodes/host-1/proxy/run/x", 404, "/run/x is nothing that an agent serves"),
        (f"{PODS}/web%2Fproxy/x", 404, "the server could not find the requested resource"),
    ],
)
def test_refusals(line, path, code, words):
    reply = line.ask("GET", path)
    assert (reply.code, reply.tree["kind"]) == (code, "Status")
    assert reply.message.startswith(words)


def test_a_node_tells_its_health_its_figures_and_its_pods(line):
    assert line.ask("GET", "/api/v1/nodes/host-1/proxy/healthz").text == "ok"
    metrics = line.ask("GET", "/api/v1/nodes/host-1/proxy/metrics").text
    assert "\nlongboat_agent_tunnel_connected 1.0\n" in metrics
    pods = line.ask("GET", "/api/v1/nodes/host-1:10250/proxy/pods").tree
    assert pods["kind"] == "PodList"
    assert {"web", HOST_POD} <= {pod["metadata"]["name"] for pod in pods["items"]}


def test_a_method_is_allowed_by_its_own_verb(host):
    """create of pods/proxy lets nobody get, and the other way round (RBAC as upstream)."""
    cluster = host.cluster
    cluster.kubectl("create", "serviceaccount", "poster")
    cluster.kubectl("create", "role", "poster", "--verb=create", "--resource=pods/proxy")
    cluster.kubectl("create", "rolebinding", "poster", "--role=poster", "--serviceaccount=default:poster")
    token = cluster.kubectl("create", "token", "poster").stdout.strip()
    context = ssl.create_default_context(cadata=kubeconfig.load(cluster.kubeconfig).ca_pem.decode())
    with Line(cluster, context) as line:
        bearer = {"Authorization": f"Bearer {token}"}
        assert line.ask("GET", f"{PODS}/web:8080/proxy/", **bearer).code == 403
        assert line.ask("POST", f"{PODS}/web:8080/proxy/", b"", **bearer).code == 501, "busybox knows no POST here"
        assert line.ask("POST", f"{SERVICES}/web:80/proxy/", b"", **bearer).code == 403

"""Agent and server over real TLS and WebSockets, on the real API and store: join, renewal, logs, node, heartbeat."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import web

from agent import identity
from agent.certificate import CertificateRenewer
from agent.heartbeat import Heartbeat
from agent.join import JoinError, ensure_identity, server_chain
from agent.node import NodeError, NodeRegistration
from agent.runtime.base import EngineInfo, RuntimeUnavailable
from agent.tunnel import Tunnel
from controlplane.apiserver.api import ApiServer
from controlplane.apiserver.app import build_app
from controlplane.apiserver.authn import Authenticator
from controlplane.apiserver.authz import Authorizer, StaticRules
from controlplane.apiserver.heartbeats import HeartbeatSettings, NodeHeartbeats
from controlplane.apiserver.heartbeats import add_routes as add_heartbeat_routes
from controlplane.apiserver.kinds.table import KINDS
from controlplane.apiserver.local_client import LocalClient
from controlplane.apiserver.lookups import Lookups
from controlplane.apiserver.node_authz import NodeAuthority
from controlplane.apiserver.streams.hub import TunnelHub
from controlplane.apiserver.streams.hub import add_routes as add_tunnel_routes
from controlplane.apiserver.streams.logs import LogHandler
from controlplane.apiserver.streams.logs import add_routes as add_log_routes
from controlplane.controllers import system_namespaces
from controlplane.store.sqlite import SqliteStore
from shared import join, pki
from shared.api.errors import (
    BadRequest,
    Forbidden,
    NotFound,
    ServiceUnavailable,
    Timeout,
    TooManyRequests,
    Unauthorized,
)
from shared.api.kinds import CERTIFICATE_SIGNING_REQUESTS, NODES, PODS, SECRETS
from shared.client.http import HttpClient
from shared.cluster_pki import ensure_cluster_pki
from shared.streams import STREAM_PROTOCOL, TUNNEL_PROTOCOL
from shared.work.backoff import Backoff
from shared.work.clock import FakeClock, SystemClock
from shared.work.supervisor import Supervisor

SIGNED_FOR = timedelta(days=30)


class Cluster:
    """A server in this process."""

    def __init__(self, url, certificates, api, hub, supervisor):
        self.url, self.certificates, self.api, self.hub, self.supervisor = url, certificates, api, hub, supervisor
        self.local = LocalClient(api)
        self.signing = asyncio.Event()
        self.signing.set()
        self.denied = False

    async def token(self, ttl=timedelta(hours=1)):
        token = join.new_token(self.certificates.ca_digest)
        secret = join.token_secret(token.id, token.secret, datetime.now(UTC) + ttl)
        await self.local.create(SECRETS, secret, "kube-system")
        return token

    def client(self, user=None, groups=("system:masters",)):
        pair = pki.client_certificate(self.certificates.ca, user or "longboat:admin", groups)
        return HttpClient(self.url, pki.client_context(self.certificates.ca_pem, pair))

    def node(self, name="n1"):
        return self.client(f"system:node:{name}", ("system:nodes",))

    async def sign(self):
        """What the certificate controller does, while ``signing`` is set."""
        first = await self.local.list(CERTIFICATE_SIGNING_REQUESTS)
        async for event in self.local.watch(CERTIFICATE_SIGNING_REQUESTS, resource_version=first.resource_version):
            csr = event.object
            if event.type != "ADDED" or csr.spec.signer_name != "kubernetes.io/kube-apiserver-client-kubelet":
                continue
            await self.signing.wait()
            if self.denied:
                status = {"conditions": [{"type": "Denied", "status": "True", "reason": "No", "message": "not you"}]}
            else:
                request = base64.b64decode(csr.spec.request)
                name, _ = pki.csr_subject(request)
                pem = pki.sign_csr(
                    self.certificates.ca, request, expected_cn=name, expected_org="system:nodes", lifetime=SIGNED_FOR
                )
                status = {"certificate": base64.b64encode(pem).decode()}
            subresource = "approval" if self.denied else "status"
            await self.local.patch(
                CERTIFICATE_SIGNING_REQUESTS, csr.metadata.name, {"status": status}, subresource=subresource
            )


@asynccontextmanager
async def running(directory, **hub_options):
    store = await SqliteStore.open(directory)
    certificates = ensure_cluster_pki(directory, "127.0.0.1")
    api = ApiServer(store, KINDS)
    hub = TunnelHub(**hub_options)
    async with Supervisor() as supervisor:
        supervisor.service("watch cache", api.run())
        await api.ready()
        await system_namespaces.ensure(LocalClient(api))
        pods = api.cache.find("", "pods")

        def pods_of_node(node):
            return [entry.object for entry in pods.entries("") if entry.object.spec.node_name == node]

        lookups = Lookups(api, pods_of_node)
        beats = NodeHeartbeats(store, lookups, HeartbeatSettings(interval=0.1))
        app = build_app(
            api,
            Authenticator(lookups.bootstrap_secret),
            Authorizer(StaticRules(), NodeAuthority(lookups)),
            [
                lambda app: add_heartbeat_routes(app, beats),
                lambda app: add_tunnel_routes(app, hub),
                lambda app: add_log_routes(app, LogHandler(lookups, hub)),
            ],
        )
        runner = web.AppRunner(app, shutdown_timeout=2)
        await runner.setup()
        context = pki.server_context(certificates.server_certificate, certificates.server_key, certificates.ca_pem)
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
        await site.start()
        port = site._server.sockets[0].getsockname()[1]
        cluster = Cluster(f"https://127.0.0.1:{port}", certificates, api, hub, supervisor)
        supervisor.service("signer", cluster.sign())
        try:
            yield cluster
        finally:
            await runner.cleanup()
            supervisor.stop()
            api.close()
    await store.close()


@pytest.fixture
async def cluster(tmp_path):
    (tmp_path / "server").mkdir()
    async with running(tmp_path / "server") as found:
        yield found


@pytest.fixture
def home(tmp_path):
    return tmp_path / "agent"


async def until(condition, seconds=10.0):
    """Wait for something that another task brings about."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


# --- joining


async def test_join_and_start_again_without_a_token(cluster, home):
    told = []
    joined = await ensure_identity(home, cluster.url, str(await cluster.token()), "n1", progress=told.append)
    assert len(told) == 2
    assert joined.ca_pem == cluster.certificates.ca_pem
    assert await ensure_identity(home, "", "", "") == joined
    async with HttpClient(joined.server_url, joined.ssl_context()) as client:
        await client.create(NODES, {"kind": "Node", "apiVersion": "v1", "metadata": {"name": "n1"}})
        with pytest.raises(Forbidden, match='User "system:node:n1" cannot list resource "pods"'):
            await client.list(PODS)


async def test_the_ca_is_in_the_handshake(cluster):
    chain = await server_chain(cluster.url)
    assert [pki.ca_digest(pki.der_to_pem(der)) for der in chain][-1] == cluster.certificates.ca_digest


async def test_another_cas_token_is_refused_before_anything_is_told(cluster, home):
    token = await cluster.token()
    other = join.JoinToken(token.id, token.secret, "0" * 64)
    with pytest.raises(JoinError, match="the server's CA does not match the token"):
        await ensure_identity(home, cluster.url, str(other), "n1")
    assert not (await cluster.local.list(CERTIFICATE_SIGNING_REQUESTS)).items


@pytest.mark.parametrize("wrong", ["unknown", "expired", "revoked"])
async def test_a_token_that_does_not_hold_says_how_to_get_one(cluster, home, wrong):
    token = await cluster.token(timedelta(seconds=-1) if wrong == "expired" else timedelta(hours=1))
    if wrong == "unknown":
        token = join.JoinToken(token.id, "0" * 16, token.ca_digest)
    if wrong == "revoked":
        await cluster.local.delete(SECRETS, join.secret_name(token.id), "kube-system")
    with pytest.raises(JoinError, match=r"does not accept the token .*longboat token create"):
        await ensure_identity(home, cluster.url, str(token), "n1")
    assert not (home / "agent.json").exists()


async def test_nobody_signs_in_time(cluster, home):
    cluster.signing.clear()
    with pytest.raises(JoinError, match="was not approved and signed within"):
        await ensure_identity(home, cluster.url, str(await cluster.token()), "n1", timeout=1)


async def test_a_denied_request_ends_at_once(cluster, home):
    cluster.denied = True
    with pytest.raises(JoinError, match="denied: not you"):
        await ensure_identity(home, cluster.url, str(await cluster.token()), "n1")


async def test_no_server_there(home, unused_tcp_port):
    token = join.new_token("0" * 64)
    with pytest.raises(JoinError, match="cannot be reached"):
        await ensure_identity(home, f"https://127.0.0.1:{unused_tcp_port}", str(token), "n1", timeout=0.5)


@pytest.mark.parametrize(
    ("server", "token", "words"),
    [("", "", "give --token"), ("https://h", "nonsense", "--token: this is not a join token"), ("", "T", "--server")],
    ids=["no-token", "bad-token", "no-server"],
)
async def test_what_is_missing_is_named(home, server, token, words):
    text = str(join.new_token("0" * 64)) if token == "T" else token
    with pytest.raises(JoinError, match=words):
        await ensure_identity(home, server, text, "n1")


async def test_a_data_directory_belongs_to_one_node(cluster, home):
    await ensure_identity(home, cluster.url, str(await cluster.token()), "n1")
    with pytest.raises(JoinError, match="belongs to node n1"):
        await ensure_identity(home, "", "", "n2")


async def test_a_server_that_moved_is_remembered(cluster, home):
    await ensure_identity(home, cluster.url, str(await cluster.token()), "n1")
    assert (await ensure_identity(home, "https://elsewhere:1", "", "")).server_url == "https://elsewhere:1"
    assert (await ensure_identity(home, "", "", "")).server_url == "https://elsewhere:1"


async def test_an_expired_certificate_needs_a_token_and_takes_one(cluster, home):
    first = await ensure_identity(home, cluster.url, str(await cluster.token()), "n1")
    late = FakeClock(datetime.now(UTC) + SIGNED_FOR + timedelta(days=1))
    with pytest.raises(JoinError, match=r"expired on .*longboat node add"):
        await ensure_identity(home, "", "", "", clock=late)
    again = await ensure_identity(home, cluster.url, str(await cluster.token()), "", clock=late)
    assert (again.node_name, again.pair) == ("n1", identity.load(home).pair)
    assert again.pair != first.pair


async def test_a_token_of_another_cluster_joins_that_one(cluster, home, tmp_path):
    await ensure_identity(home, cluster.url, str(await cluster.token()), "n1")
    (tmp_path / "other").mkdir()
    async with running(tmp_path / "other") as other:
        moved = await ensure_identity(home, other.url, str(await other.token()), "n1")
        assert moved.ca_pem == other.certificates.ca_pem


async def test_renewal_shows_the_new_certificate_at_once(cluster, home):
    known = await ensure_identity(home, cluster.url, str(await cluster.token()), "n1")
    async with HttpClient(known.server_url, known.ssl_context()) as client:
        renewer = CertificateRenewer(known, client)
        start, end = pki.validity(known.pair.certificate)
        assert 0.61 < (renewer.due() - start) / (end - start) < 0.72
        assert await renewer.renew()
        assert renewer.identity.pair != known.pair
        assert identity.load(home).pair == renewer.identity.pair
        await client.create(NODES, {"kind": "Node", "apiVersion": "v1", "metadata": {"name": "n1"}})


async def test_a_renewal_that_is_due_happens_by_itself(cluster, home):
    known = await ensure_identity(home, cluster.url, str(await cluster.token()), "n1")
    late = FakeClock(datetime.now(UTC) + SIGNED_FOR * 0.8)
    async with HttpClient(known.server_url, known.ssl_context()) as client:
        renewer = CertificateRenewer(known, client, clock=late)
        task = cluster.supervisor.spawn("renewer", renewer.run())
        await until(lambda: renewer.identity.pair != known.pair)
        task.cancel()


async def test_a_renewal_that_fails_is_no_end(cluster, home):
    known = await ensure_identity(home, cluster.url, str(await cluster.token()), "n1")
    cluster.denied = True
    async with HttpClient(known.server_url, known.ssl_context()) as client:
        assert not await CertificateRenewer(known, client).renew()
    assert identity.load(home) == known


# --- who is let in


async def test_without_credentials_only_health_and_version(cluster):
    async with HttpClient(cluster.url, pki.client_context(cluster.certificates.ca_pem)) as client:
        assert json.loads(await client.request("GET", "/version"))
        for path in ("/api", "/api/v1/pods", "/metrics", "/apis/longboat.dev/v1/nodes/n1/heartbeat"):
            with pytest.raises(Unauthorized):
                await client.request("GET", path)


async def test_a_certificate_of_another_ca_does_not_get_through_the_handshake(cluster):
    stranger = pki.client_certificate(pki.create_ca(), "longboat:admin", ["system:masters"])
    async with HttpClient(cluster.url, pki.client_context(cluster.certificates.ca_pem, stranger)) as client:
        with pytest.raises(ServiceUnavailable):
            await client.request("GET", "/api")


async def test_the_servers_own_certificate_is_no_client_certificate(cluster):
    pair = pki.KeyPair(
        cluster.certificates.server_certificate.read_bytes(), cluster.certificates.server_key.read_bytes()
    )
    async with HttpClient(cluster.url, pki.client_context(cluster.certificates.ca_pem, pair)) as client:
        with pytest.raises((ServiceUnavailable, Unauthorized)):
            await client.request("GET", "/api")


# --- the node and its heartbeat


class Engine:
    def __init__(self):
        self.down = ""

    async def info(self):
        if self.down:
            raise RuntimeUnavailable(self.down)
        return EngineInfo(
            "20.10", "1.41", "linux", "x86_64", "6.1", "Debian", 2, 4 << 30, "overlay2", "2", "/nonexistent"
        )


@pytest.fixture
async def registration(cluster, home):
    home.mkdir()
    async with cluster.node() as client:
        yield NodeRegistration(
            client, "n1", Engine(), server_url=cluster.url, data_dir=home, labels={"rack": "7"}, version="0.1"
        )


async def ready_of(cluster):
    node = await cluster.local.get(NODES, "n1")
    return next(((c.status, c.message) for c in node.status.conditions if c.type == "Ready"), None)


async def test_a_node_registers_and_tells_what_it_is(cluster, registration):
    await registration.register()
    node = await cluster.local.get(NODES, "n1")
    assert node.metadata.labels == {
        "rack": "7", "kubernetes.io/hostname": "n1", "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64",
    }  # fmt: skip
    assert node.status.capacity["pods"] == "110"
    assert {a.type for a in node.status.addresses} == {"InternalIP", "Hostname"}
    assert (await ready_of(cluster))[0] == "False"
    registration.network_is("")
    assert await registration.sync()
    assert (await ready_of(cluster))[0] == "True"
    assert not await registration.sync()


async def test_registering_again_repairs_labels_and_leaves_the_rest(cluster, registration):
    await registration.register()
    await cluster.local.patch(NODES, "n1", {"metadata": {"labels": {"rack": "9", "mine": "x"}}})
    await registration.register()
    labels = (await cluster.local.get(NODES, "n1")).metadata.labels
    assert (labels["rack"], labels["mine"]) == ("7", "x")


async def test_an_engine_that_is_down_makes_the_node_not_ready(cluster, registration):
    await registration.register()
    registration.network_is("")
    registration._engine.down = "connection refused"
    await registration.sync()
    assert await ready_of(cluster) == ("False", "container runtime is down: connection refused")
    registration._engine.down = ""
    await registration.sync()
    assert (await ready_of(cluster))[0] == "True"


async def test_a_node_that_the_server_called_unknown_says_that_it_is_ready(cluster, registration):
    await registration.register()
    registration.network_is("")
    await registration.sync()
    unknown = {"status": {"conditions": [{"type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown"}]}}
    await cluster.local.patch(NODES, "n1", unknown, subresource="status")
    async with cluster.node() as client:
        heartbeat = Heartbeat(client, "n1", on_missing=registration.register, on_ready=registration.server_says)
        task = cluster.supervisor.spawn("node", registration.run())
        assert await heartbeat.beat()
        assert heartbeat.interval == pytest.approx(0.1)
        async with asyncio.timeout(5):
            while (await ready_of(cluster))[0] != "True":
                await asyncio.sleep(0.01)
        task.cancel()


async def test_a_node_that_was_deleted_registers_with_the_next_heartbeat(cluster, registration):
    await registration.register()
    await cluster.local.delete(NODES, "n1")
    async with cluster.node() as client:
        heartbeat = Heartbeat(client, "n1", on_missing=registration.register)
        assert not await heartbeat.beat()
        assert await heartbeat.beat()
    assert await cluster.local.get(NODES, "n1")


async def test_a_node_may_beat_for_itself_only(cluster, registration):
    await registration.register()
    async with cluster.node("n2") as client:
        with pytest.raises(Forbidden, match="nodes/heartbeat"):
            await client.request("POST", "/apis/longboat.dev/v1/nodes/n1/heartbeat", body=b"{}")


async def test_the_pod_cidr_is_waited_for(cluster, registration):
    await registration.register()
    told = []
    with pytest.raises(NodeError, match="no pod CIDR within"):
        await registration.wait_for_pod_cidr(2, told.append)
    assert told == ["waiting for a pod CIDR for node n1"]
    await cluster.local.patch(NODES, "n1", {"spec": {"podCIDR": "10.42.0.0/24", "podCIDRs": ["10.42.0.0/24"]}})
    assert await registration.wait_for_pod_cidr(5) == "10.42.0.0/24"


# --- logs through the tunnel


class Logs:
    """A source that answers by the container's name."""

    def __init__(self):
        self.asked, self.open, self.sent = [], 0, 0
        self.more = asyncio.Event()

    async def logs(self, namespace, name, uid, container, options):
        self.asked.append((namespace, name, uid, container, options))
        self.open += 1
        try:
            if container == "refused":
                raise BadRequest("no such log")
            if container == "broken":
                yield b"some"
                raise OSError("disk")
            if container == "endless":
                while True:
                    self.sent += 1
                    yield b"x" * 65536
            yield b"line one\n"
            if options.follow:
                await self.more.wait()
                yield b"line two\n"
            if container == "large":
                for number in range(40):
                    yield bytes([65 + number % 26]) * 100_000
        finally:
            self.open -= 1


CONTAINERS = ("main", "refused", "broken", "endless", "large")


@pytest.fixture
async def tunnel(cluster):
    """A connected agent of n1, and a pod of its."""
    pod = {
        "kind": "Pod", "apiVersion": "v1", "metadata": {"name": "p", "namespace": "default"},
        "spec": {"nodeName": "n1", "containers": [{"name": name, "image": "i"} for name in CONTAINERS]},
    }  # fmt: skip
    await cluster.local.create(PODS, pod, "default")
    started = [{"name": n, "image": "i", "imageID": "", "ready": True, "restartCount": 0,
                "state": {"running": {}}} for n in CONTAINERS]  # fmt: skip
    status = {"status": {"phase": "Running", "containerStatuses": started}}
    await cluster.local.patch(PODS, "p", status, "default", subresource="status")
    logs = Logs()
    async with cluster.node() as client, Supervisor() as supervisor:
        agent = Tunnel(client, "n1", logs, supervisor, backoff=Backoff(0.05, 0.2))
        supervisor.service("tunnel", agent.run())
        await until(lambda: cluster.hub.connected("n1"))
        yield logs, client
        supervisor.stop()


PATH = "/api/v1/namespaces/default/pods/p/log"


async def test_a_log_comes_through(cluster, tunnel):
    logs, _ = tunnel
    async with cluster.client() as admin:
        data = await admin.request(
            "GET", PATH, accept="*/*",
            params={"container": "main", "tailLines": "5", "timestamps": "true", "sinceTime": "2026-01-01T00:00:00Z"},
        )  # fmt: skip
    assert data == b"line one\n"
    namespace, name, uid, container, options = logs.asked[0]
    assert (namespace, name, container) == ("default", "p", "main")
    assert uid == (await cluster.local.get(PODS, "p", "default")).metadata.uid
    assert (options.tail_lines, options.timestamps, options.follow, options.previous) == (5, True, False, False)
    assert options.since == datetime(2026, 1, 1, tzinfo=UTC)


async def test_a_large_log_is_whole(cluster, tunnel):
    async with cluster.client() as admin:
        data = await admin.request("GET", PATH, params={"container": "large"}, accept="*/*")
    assert len(data) == 9 + 40 * 100_000
    assert data.endswith(b"N" * 100_000)


async def test_limit_bytes_holds_whatever_the_agent_sends(cluster, tunnel):
    logs, _ = tunnel
    async with cluster.client() as admin:
        data = await admin.request("GET", PATH, params={"container": "endless", "limitBytes": "100001"}, accept="*/*")
    assert len(data) == 100_001
    await until(lambda: logs.open == 0)


async def test_follow_goes_on_until_the_source_ends(cluster, tunnel):
    logs, _ = tunnel
    async with cluster.client() as admin, admin.stream(PATH, params={"container": "main", "follow": "true"}) as pieces:
        assert await anext(pieces) == b"line one\n"
        logs.more.set()
        assert [piece async for piece in pieces] == [b"line two\n"]


async def test_a_client_that_leaves_ends_the_agents_work(cluster, tunnel):
    logs, _ = tunnel
    async with cluster.client() as admin, admin.stream(PATH, params={"container": "main", "follow": "1"}) as pieces:
        await anext(pieces)
        assert logs.open == 1
    await until(lambda: logs.open == 0)


async def test_a_slow_reader_slows_the_agent_down(cluster, tunnel):
    """Nothing buffers without end: a source that could send gigabytes is not read on."""
    logs, _ = tunnel
    async with cluster.client() as admin, admin.stream(PATH, params={"container": "endless"}) as pieces:
        await anext(pieces)
        before = -1
        async with asyncio.timeout(20):
            while before != logs.sent:  # until it stands still
                before = logs.sent
                await asyncio.sleep(0.3)
        assert before * 65536 < 64 << 20
    await until(lambda: logs.open == 0)


async def test_a_refusal_of_the_agent_is_the_answer(cluster, tunnel):
    async with cluster.client() as admin:
        with pytest.raises(BadRequest, match="no such log"):
            await admin.request("GET", PATH, params={"container": "refused"}, accept="*/*")


async def test_a_log_that_breaks_is_not_taken_for_whole(cluster, tunnel):
    async with cluster.client() as admin:
        with pytest.raises(ServiceUnavailable, match="broke"):
            await admin.request("GET", PATH, params={"container": "broken"}, accept="*/*")


async def test_what_kubernetes_refuses_is_refused(cluster, tunnel):
    async with cluster.client() as admin:
        with pytest.raises(BadRequest, match=r"choose one of: \[main refused broken endless large\]"):
            await admin.request("GET", PATH)
        with pytest.raises(NotFound, match='pods "q" not found'):
            await admin.request("GET", PATH.replace("/p/", "/q/"))


async def test_a_hundred_streams_at_a_time_and_no_more(cluster, tunnel):
    logs, _ = tunnel
    async with cluster.client() as admin:
        query = {"container": "main", "follow": "true"}

        async def one():
            async with admin.stream(PATH, params=query) as pieces:
                return b"".join([piece async for piece in pieces])

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one()) for _ in range(100)]
            await until(lambda: logs.open == 100, 30)
            with pytest.raises(TooManyRequests):
                await admin.request("GET", PATH, params=query)
            logs.more.set()
        assert {task.result() for task in tasks} == {b"line one\nline two\n"}


async def test_a_node_without_its_agent_is_unavailable(cluster, tunnel):
    pod = {
        "kind": "Pod", "apiVersion": "v1", "metadata": {"name": "lost", "namespace": "default"},
        "spec": {"nodeName": "n9", "containers": [{"name": "c", "image": "i"}]},
    }  # fmt: skip
    await cluster.local.create(PODS, pod, "default")
    ran = [{"name": "c", "image": "i", "imageID": "", "ready": True, "restartCount": 0, "state": {"running": {}}}]
    await cluster.local.patch(PODS, "lost", {"status": {"containerStatuses": ran}}, "default", subresource="status")
    async with cluster.client() as admin:
        with pytest.raises(ServiceUnavailable, match='the agent of node "n9" is not connected'):
            await admin.request("GET", PATH.replace("/p/", "/lost/"))


async def test_an_agent_that_does_not_dial_back_is_a_timeout(cluster):
    cluster.hub._timeout = 0.2
    async with (
        cluster.node() as client,
        client.websocket("/apis/longboat.dev/v1/nodes/n1/tunnel", protocol=TUNNEL_PROTOCOL),
    ):
        await until(lambda: cluster.hub.connected("n1"))
        with pytest.raises(Timeout, match=r"did not answer within 0\.2 s"):
            async with cluster.hub.stream("n1", "log", {}):
                pytest.fail("nobody dialled back")


async def test_an_agent_that_goes_away_meanwhile_is_told_at_once(cluster):
    async with cluster.node() as client:
        async with client.websocket("/apis/longboat.dev/v1/nodes/n1/tunnel", protocol=TUNNEL_PROTOCOL) as control:
            await until(lambda: cluster.hub.connected("n1"))

            async def ask():
                async with cluster.hub.stream("n1", "log", {}):
                    pytest.fail("nobody dialled back")

            task = asyncio.ensure_future(ask())
            await control.receive()
        with pytest.raises(ServiceUnavailable, match="has just gone"):
            await task
    await until(lambda: not cluster.hub.connected("n1"))


async def test_a_stream_is_given_to_the_node_that_was_asked_and_once(cluster):
    async with (
        cluster.node("n1") as one,
        cluster.node("n2") as two,
        one.websocket("/apis/longboat.dev/v1/nodes/n1/tunnel", protocol=TUNNEL_PROTOCOL) as control,
    ):
        await until(lambda: cluster.hub.connected("n1"))

        async def ask():
            async with cluster.hub.stream("n1", "log", {}) as stream:
                return [piece async for piece in stream]

        task = asyncio.ensure_future(ask())
        id = json.loads((await control.receive()).data)["stream"]

        async def refused(client, node, error):
            with pytest.raises(error):
                async with client.websocket(f"/apis/longboat.dev/v1/nodes/{node}/streams/{id}", protocol="any"):
                    pytest.fail("let in")

        await refused(two, "n1", Forbidden)
        await refused(two, "n2", NotFound)
        async with one.websocket(f"/apis/longboat.dev/v1/nodes/n1/streams/{id}", protocol=STREAM_PROTOCOL) as socket:
            await socket.send_bytes(b"data")
            await refused(one, "n1", NotFound)
            await socket.send_str('{"type":"end"}')
            assert await task == [b"data"]


async def test_an_unknown_kind_of_stream_is_refused(cluster, tunnel):
    with pytest.raises(BadRequest, match="does not serve streams of kind 'teleport'"):
        async with cluster.hub.stream("n1", "teleport", {}):
            pytest.fail("served")


async def test_the_tunnel_comes_back_after_reconnect(cluster, tunnel):
    _, client = tunnel
    before = cluster.hub._tunnels["n1"]
    await client.reconnect()
    await until(lambda: cluster.hub._tunnels.get("n1") not in (None, before))
    async with cluster.client() as admin:
        assert await admin.request("GET", PATH, params={"container": "main"}, accept="*/*") == b"line one\n"


async def test_nobody_opens_anothers_tunnel(cluster):
    async with cluster.node("n2") as client:
        with pytest.raises(Forbidden):
            async with client.websocket("/apis/longboat.dev/v1/nodes/n1/tunnel", protocol=TUNNEL_PROTOCOL):
                pytest.fail("let in")


def test_clocks_are_real_by_default():
    assert isinstance(pki.create_ca().clock, SystemClock)
    assert ssl.HAS_TLSv1_3

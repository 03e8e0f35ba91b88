"""A server in this process, over real TLS, for agents and clients that are tested against it."""

from __future__ import annotations

import asyncio
import base64
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

from aiohttp import web

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
from shared.api.kinds import CERTIFICATE_SIGNING_REQUESTS, SECRETS
from shared.client.http import HttpClient
from shared.cluster_pki import ensure_cluster_pki
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


async def until(condition, seconds=10.0):
    """Wait for something that another task brings about."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)

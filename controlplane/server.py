"""One server process: wiring only. The store, the API on top of it, and what the leader runs.

Everything essential is a service of one Supervisor: if one fails, the process ends, and its own supervisor starts
it again. SIGTERM and SIGINT end it in order: watches, HTTP, controllers, store.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import socket
import ssl
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack

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
from controlplane.controllers.base import Context
from controlplane.controllers.events import Recorder
from controlplane.controllers.informers import SharedInformers
from controlplane.controllers.runner import Runner
from controlplane.controllers.table import controllers
from controlplane.controllers.taint_eviction import NODE, by_node
from controlplane.scheduler.loop import Scheduler
from controlplane.settings import ServerSettings, split_address
from controlplane.store.sqlite import SqliteStore
from shared import pki
from shared.addresses import outward_address
from shared.api.kinds import PODS
from shared.client.kubeconfig import ADMIN_KUBECONFIG, ensure_admin_kubeconfig
from shared.cluster_pki import ClusterPki, ensure_cluster_pki
from shared.work.clock import Clock, SystemClock
from shared.work.supervisor import Supervisor

logger = logging.getLogger(__name__)

CERTIFICATE_CHECK = 6 * 3600.0
"""Seconds between looks at the server certificate's age."""

START_TIMEOUT = 60.0
SHUTDOWN_TIMEOUT = 5.0


class ServerError(Exception):
    """The server cannot start; the message says why and what to do."""


async def run_server(settings: ServerSettings, clock: Clock = SystemClock()) -> None:
    """Serve until SIGTERM or SIGINT. Raises ServerError, DataDirError, PkiError, OSError."""
    host, port = split_address(settings.listen, "--listen")
    listener = _listen(host, port)
    advertise = settings.advertise or f"{outward_address() or '127.0.0.1'}:{port}"
    advertised_host, _ = split_address(advertise, "--advertise")
    async with AsyncExitStack() as stack:
        stack.callback(listener.close)
        store = await SqliteStore.open(
            settings.data_dir,
            clock=clock,
            history_revisions=settings.history_revisions,
            size_limit_bytes=settings.store_limit,
        )
        stack.push_async_callback(store.close)
        names = {advertised_host, host} - {"0.0.0.0", "::"}  # noqa: S104 - those that are no address
        certificates = ensure_cluster_pki(settings.data_dir, names, clock)
        ensure_admin_kubeconfig(settings.data_dir / ADMIN_KUBECONFIG, certificates, f"https://{advertise}", clock)
        api = ApiServer(
            store,
            KINDS,
            clock=clock,
            history=settings.history_revisions,
            toleration_seconds=settings.unreachable_toleration,
        )
        api.health.add("store", lambda: store.failure or None)
        supervisor = await stack.enter_async_context(Supervisor())
        supervisor.service("watch cache", api.run())
        async with asyncio.timeout(START_TIMEOUT):
            await api.ready()
            await system_namespaces.ensure(LocalClient(api))
        app = _wire(settings, api, certificates, supervisor, clock)
        context = pki.server_context(certificates.server_certificate, certificates.server_key, certificates.ca_pem)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_TIMEOUT, handle_signals=False)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.SockSite(runner, listener, ssl_context=context, backlog=1024).start()

        def renew() -> ClusterPki:
            found = ensure_cluster_pki(settings.data_dir, names, clock)
            ensure_admin_kubeconfig(settings.data_dir / ADMIN_KUBECONFIG, found, f"https://{advertise}", clock)
            return found

        supervisor.service("certificates", _keep_certificates(renew, context))
        # What is loaded by now lives as long as the process: the collector need not look at it again.
        gc.collect()
        gc.freeze()
        logger.info("ready", extra={"address": f"https://{advertise}"})
        await _signalled()
        logger.info("stopping")
        api.close()
        await runner.cleanup()
        supervisor.stop()


def _wire(
    settings: ServerSettings, api: ApiServer, certificates: ClusterPki, supervisor: Supervisor, clock: Clock
) -> web.Application:
    client = LocalClient(api)
    informers = SharedInformers(client)
    recorder = Recorder(client, clock)
    context = Context(client, informers, clock, recorder)
    pods = informers.cache(PODS)
    pods.add_index(NODE, by_node)
    supervisor.service("event recorder", recorder.run())
    rows = controllers(context, recorder, certificates.ca, cluster_cidr=settings.cluster_cidr)
    Runner(rows, context, supervisor).start()
    scheduler = Scheduler(Context(client, informers, clock, recorder.named("default-scheduler")))
    supervisor.service("scheduler", scheduler.run())
    informers.start(supervisor)

    lookups = Lookups(api, lambda node: pods.by_index(NODE, node))
    heartbeats = NodeHeartbeats(
        api.store,
        lookups,
        HeartbeatSettings(settings.heartbeat_interval, settings.heartbeat_factor, settings.heartbeat_rate),
        clock,
    )
    hub = TunnelHub()
    logs = LogHandler(lookups, hub)
    extra: Sequence[Callable[[web.Application], None]] = (
        lambda app: add_heartbeat_routes(app, heartbeats),
        lambda app: add_tunnel_routes(app, hub),
        lambda app: add_log_routes(app, logs),
    )
    authorizer = Authorizer(StaticRules(), NodeAuthority(lookups))
    return build_app(api, Authenticator(lookups.bootstrap_secret, clock), authorizer, extra)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise ServerError(f"--listen {host}:{port}: {error.strerror}; is another server running there?") from error
    return listener


async def _keep_certificates(renew: Callable[[], ClusterPki], context: ssl.SSLContext) -> None:
    """Make the server's and the administrator's certificates again before they end; new connections show the new."""
    while True:
        await asyncio.sleep(CERTIFICATE_CHECK)
        found = await asyncio.to_thread(renew)
        context.load_cert_chain(found.server_certificate, found.server_key)


async def _signalled() -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await stop.wait()

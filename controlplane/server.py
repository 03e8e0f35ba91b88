"""One server process: wiring only. The store, the API on top of it, and, once that is ready, what the leader runs.

Everything essential is a service of one Supervisor: if one fails, the process ends, and its own supervisor starts
it again. SIGTERM and SIGINT end it in order: watches, HTTP, controllers, store.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import signal
import socket
import ssl
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack

from aiohttp import web

from controlplane.apiserver import connections, schema
from controlplane.apiserver.accounts.keys import SigningKeys
from controlplane.apiserver.accounts.requests import TokenRequests
from controlplane.apiserver.accounts.reviews import TokenReviews
from controlplane.apiserver.accounts.tokens import AccountTokens
from controlplane.apiserver.aggregation.availability import Availability
from controlplane.apiserver.aggregation.certificates import FrontProxy
from controlplane.apiserver.aggregation.content import Content
from controlplane.apiserver.aggregation.handler import Aggregator
from controlplane.apiserver.aggregation.registration import Registration
from controlplane.apiserver.aggregation.routes import Routes
from controlplane.apiserver.aggregation.trust import Trust
from controlplane.apiserver.api import ApiServer
from controlplane.apiserver.app import build_app
from controlplane.apiserver.audit import policy as audit_policy
from controlplane.apiserver.audit.auditor import Auditor
from controlplane.apiserver.audit.log import AuditLog
from controlplane.apiserver.authn import Authenticator
from controlplane.apiserver.authz import Authorizer, StaticRules
from controlplane.apiserver.heartbeats import HeartbeatSettings, NodeHeartbeats
from controlplane.apiserver.heartbeats import add_routes as add_heartbeat_routes
from controlplane.apiserver.kinds.table import KINDS
from controlplane.apiserver.local_client import LocalClient
from controlplane.apiserver.lookups import Lookups
from controlplane.apiserver.node_authz import NodeAuthority
from controlplane.apiserver.oidc.config import OidcError, issuers
from controlplane.apiserver.oidc.keys import ProviderKeys
from controlplane.apiserver.oidc.tokens import OidcTokens, Provider
from controlplane.apiserver.openapi import serving as openapi
from controlplane.apiserver.overload import Overload
from controlplane.apiserver.policies.mutating import MutatingPolicies
from controlplane.apiserver.policies.validating import ValidatingPolicies
from controlplane.apiserver.proxy.handler import ProxyHandler
from controlplane.apiserver.rbac.authority import RbacAuthority
from controlplane.apiserver.rbac.escalation import Escalation
from controlplane.apiserver.rbac.reviews import Reviews
from controlplane.apiserver.reach.endpoints import Endpoints
from controlplane.apiserver.streams.hub import TunnelHub
from controlplane.apiserver.streams.hub import add_routes as add_tunnel_routes
from controlplane.apiserver.streams.logs import LogHandler
from controlplane.apiserver.streams.logs import add_routes as add_log_routes
from controlplane.apiserver.streams.port_forward import PortForwards
from controlplane.apiserver.streams.remote_command import RemoteCommands
from controlplane.apiserver.tokens import BootstrapTokens
from controlplane.apiserver.usage.handler import Metrics
from controlplane.apiserver.usage.latest import LatestUsage
from controlplane.apiserver.webhooks import configuration
from controlplane.apiserver.webhooks.admission import WebhookAdmission
from controlplane.apiserver.webhooks.caller import Caller
from controlplane.apiserver.webhooks.conversion import ConversionWebhooks
from controlplane.apiserver.webhooks.proofs import Proofs
from controlplane.controllers import system_namespaces
from controlplane.controllers.kubernetes_service import Address, reachable
from controlplane.controllers.taint_eviction import NODE, by_node
from controlplane.leader import Leader
from controlplane.settings import ServerSettings, split_address
from controlplane.store.sqlite import SqliteStore
from shared import footprint, pki
from shared.addresses import outward_address
from shared.api.kinds import PODS
from shared.api.pod import Pod
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
    footprint.small_connections()
    connections.explain_failed_handshakes()
    host, port = split_address(settings.listen, "--listen")
    providers = _providers(settings)
    proofs = _proofs(settings, clock)
    listener = _listen(host, port)
    advertise = settings.advertise or f"{outward_address() or '127.0.0.1'}:{port}"
    advertised_host, advertised_port = split_address(advertise, "--advertise")
    reached = reachable(advertised_host, host, outward_address())
    address = Address(ipaddress.IPv4Network(settings.service_cidr), reached, advertised_port)
    async with AsyncExitStack() as stack:
        stack.callback(listener.close)
        store = await SqliteStore.open(
            settings.data_dir,
            clock=clock,
            history_revisions=settings.history_revisions,
            size_limit_bytes=settings.store_limit,
        )
        stack.push_async_callback(store.close)
        auditor = _auditor(settings, stack, clock)
        keys: SigningKeys | None = None
        names = {advertised_host, host} - {"0.0.0.0", "::"} | address.names  # noqa: S104 - those that are no address

        def renew() -> ClusterPki:
            found = ensure_cluster_pki(settings.data_dir, names, clock)
            ensure_admin_kubeconfig(settings.data_dir / ADMIN_KUBECONFIG, found, f"https://{advertise}", clock)
            if keys is not None:
                keys.refresh()
            return found

        api = ApiServer(
            store,
            KINDS,
            clock=clock,
            history=settings.history_revisions,
            toleration_seconds=settings.unreachable_toleration,
            service_cidr=address.cidr,
        )
        api.health.add("store", lambda: store.failure or None)
        supervisor = await stack.enter_async_context(Supervisor())
        supervisor.service("watch cache", api.run())
        issued = supervisor.service("certificates to begin with", asyncio.to_thread(renew))
        client = LocalClient(api)
        async with asyncio.timeout(START_TIMEOUT):
            await api.ready()
            await system_namespaces.ensure(client)
            certificates: ClusterPki = await issued
            keys = await asyncio.to_thread(SigningKeys, settings.data_dir, clock)
        leading = await stack.enter_async_context(Supervisor())
        leader = Leader(client, certificates.ca, leading, clock, cluster_cidr=settings.cluster_cidr, address=address)
        origin = f"https://{advertise}"
        app, registration = _wire(
            settings, api, leader, keys, origin, clock, auditor, providers, certificates.ca_pem, proofs
        )
        context = pki.server_context(certificates.server_certificate, certificates.server_key, certificates.ca_pem)
        runner = connections.runner(app, SHUTDOWN_TIMEOUT)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.SockSite(runner, listener, ssl_context=context, backlog=1024).start()
        logger.info("ready", extra={"address": f"https://{advertise}"})
        for provider in providers:
            supervisor.service(f"keys of {provider.issuer.url}", provider.keys.run())
        supervisor.service("certificates", _keep_certificates(renew, context))
        leading.service("leader", _lead(leader))
        leading.service("API registration", registration.run())
        await _signalled()
        logger.info("stopping")
        leading.stop()  # before the watches end, which controllers would take for trouble
        api.close()
        await runner.cleanup()
        supervisor.stop()


def _wire(
    settings: ServerSettings,
    api: ApiServer,
    leader: Leader,
    keys: SigningKeys,
    server: str,
    clock: Clock,
    auditor: Auditor | None,
    providers: Sequence[Provider],
    client_ca: bytes,
    proofs: Mapping[str, Proofs],
) -> tuple[web.Application, Registration]:
    pods = leader.informers.cache(PODS)
    pods.add_index(NODE, by_node)

    def pods_of_node(node: str) -> Iterable[Pod]:
        if pods.synced.is_set():
            return pods.by_index(NODE, node)
        # Just started: an agent that asks meanwhile must not be told that a Secret is none of its business.
        found = api.cache.find(PODS.group, PODS.plural)
        return [pod for entry in found.entries() if (pod := entry.object).spec.node_name == node] if found else []

    lookups = Lookups(api, pods_of_node)
    heartbeats = NodeHeartbeats(
        api.store,
        lookups,
        HeartbeatSettings(settings.heartbeat_interval, settings.heartbeat_factor, settings.heartbeat_rate),
        clock,
    )
    usage = LatestUsage(clock)
    hub = TunnelHub(on_usage=usage.take)
    logs = LogHandler(lookups, hub)
    accounts = AccountTokens(keys, lookups, settings.service_account_issuer, clock)
    oidc = OidcTokens(providers, clock)
    endpoints = Endpoints(api, lookups, hub)
    caller = Caller(endpoints)
    rbac = RbacAuthority(api)
    authorizer = Authorizer(StaticRules(), NodeAuthority(lookups), rbac)
    api.restrictions.append(Escalation(rbac, authorizer).check)
    api.decide = lambda user, asked: (rbac.why(user, asked) or "") if authorizer.allowed(user, asked) else None
    api.conversions.convert = ConversionWebhooks(caller)
    api.admission += (MutatingPolicies(api), ValidatingPolicies(api), WebhookAdmission(api, caller, proofs))
    extra: Sequence[Callable[[web.Application], None]] = (
        lambda app: add_heartbeat_routes(app, heartbeats),
        lambda app: add_tunnel_routes(app, hub),
        lambda app: add_log_routes(app, logs),
        RemoteCommands(api, lookups, hub, authorizer).add_routes,
        PortForwards(api, lookups, hub, authorizer).add_routes,
        ProxyHandler(api, lookups, hub).add_routes,
        Metrics(api, usage).add_routes,
        Reviews(authorizer, rbac).add_routes,
        TokenReviews(accounts, BootstrapTokens(lookups.bootstrap_secret, clock), oidc).add_routes,
        TokenRequests(api, accounts, keys, lookups, server, clock).add_routes,
    )
    routes, front_proxy = Routes(api.cache, api.kinds), FrontProxy(settings.data_dir, clock)
    client = LocalClient(api)
    availability = Availability(routes, endpoints, front_proxy, client, clock)
    trust = Trust(api.cache, client, front_proxy, client_ca)
    registration = Registration(api, routes, availability, front_proxy, trust, client)
    leader.elsewhere = Content(routes, endpoints, front_proxy)
    aggregator = Aggregator(routes, endpoints, front_proxy)
    overload = Overload(settings.max_requests_inflight)
    authenticator = Authenticator(lookups.bootstrap_secret, clock, accounts, oidc)
    app = build_app(api, authenticator, authorizer, extra, overload, auditor, aggregator)
    app.on_cleanup.append(lambda app: caller.close())
    return app, registration


def _auditor(settings: ServerSettings, stack: AsyncExitStack, clock: Clock) -> Auditor | None:
    """The audit log, if one is wanted. Raises ServerError."""
    if settings.audit_policy_file is None:
        return None
    path = settings.audit_log_path or settings.data_dir / "audit.log"
    try:
        policy = audit_policy.load(settings.audit_policy_file)
        log = AuditLog(path, settings.audit_log_maxsize, settings.audit_log_maxbackup)
    except audit_policy.PolicyError as error:
        raise ServerError(f"--audit-policy-file: {error}") from error
    except OSError as error:
        raise ServerError(f"--audit-log-path: {path} cannot be written: {error.strerror}") from error
    stack.callback(log.close)
    return Auditor(policy, log, clock)


def _providers(settings: ServerSettings) -> list[Provider]:
    """Who else may vouch for users. Raises ServerError."""
    try:
        found = [Provider(issuer, ProviderKeys(issuer)) for issuer in issuers(settings)]
    except OidcError as error:
        message = str(error)
        raise ServerError(message if message.startswith("--") else f"--authentication-config: {message}") from error
    if any(provider.issuer.url == settings.service_account_issuer for provider in found):
        raise ServerError(f"{settings.service_account_issuer} is --service-account-issuer: no provider's")
    return found


def _proofs(settings: ServerSettings, clock: Clock) -> Mapping[str, Proofs]:
    """What the server shows to webhooks, by admission plugin. Raises ServerError."""
    if settings.admission_control_config_file is None:
        return {}
    try:
        return configuration.load(settings.admission_control_config_file, clock)
    except configuration.ConfigurationError as error:
        raise ServerError(f"--admission-control-config-file: {error}") from error


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


async def _lead(leader: Leader) -> None:
    """What comes after the API is ready. The last is what would be made on first use: no request waits for it."""
    await leader.run()
    await asyncio.to_thread(_prepare)
    footprint.collect_rarely()
    footprint.freeze()  # what is loaded by now lives as long as the process


def _prepare() -> None:
    schema.prepare()
    openapi.prepare()


async def _signalled() -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await stop.wait()

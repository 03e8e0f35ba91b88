"""HTTP in front of the verbs: one guard that every request passes, one dispatcher for every resource.

Owns what is HTTP's own: paths, authentication and authorization in their order, content types, status codes,
warnings, the one place where errors are rendered, and request metrics. Never touches the store. Each request is
a task of its own on the event loop.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from inspect import isawaitable
from typing import Any, Protocol
from urllib.parse import parse_qsl

from aiohttp import web

from controlplane.apiserver import impersonation, metrics
from controlplane.apiserver.api import ApiServer
from controlplane.apiserver.connections import TOO_LATE
from controlplane.apiserver.dispatch import Dispatcher
from controlplane.apiserver.identity import Attributes, User
from controlplane.apiserver.overload import REQUEST_SECONDS, Level, Overload, is_long_running
from controlplane.apiserver.pages import Pages
from controlplane.apiserver.request import Target, decode_path, parse_path, verb_of
from controlplane.apiserver.unserved import nothing
from shared import codec
from shared.api import selectors
from shared.api.errors import (
    BadRequest,
    InternalError,
    RequestEntityTooLarge,
    ServiceUnavailable,
    StatusError,
    Timeout,
    from_status,
)

logger = logging.getLogger(__name__)

MAX_BODY = 3 << 20
"""Bytes of a request body (kube-apiserver's --max-request-body-bytes)."""


class Authenticates(Protocol):
    """See ``authn.Authenticator``."""

    def authenticate(self, request: web.BaseRequest) -> User | Awaitable[User]: ...


class Authorizes(Protocol):
    """See ``authz.Authorizer``."""

    def authorize(self, user: User, attributes: Attributes) -> Awaitable[None] | None: ...


@dataclass(frozen=True, slots=True)
class Call:
    """A request that may go on: who asks for what."""

    target: Target
    verb: str
    query: dict[str, str]
    user: User


CALL: ContextVar[Call] = ContextVar("call")
"""The call that the current task serves, set by the guard for every handler behind it."""


def build_app(
    api: ApiServer,
    authenticator: Authenticates,
    authorizer: Authorizes,
    extra: Sequence[Callable[[web.Application], None]] = (),
    overload: Overload | None = None,
) -> web.Application:
    """The application. ``extra`` adds routes of other parts; they stand before ours and behind the same guard,
    and read who asks from ``CALL``."""
    app = web.Application(client_max_size=MAX_BODY)
    app.middlewares.append(_guard(authenticator, authorizer, overload or Overload(), _served(api)))
    for add_routes in extra:
        add_routes(app)
    dispatcher, pages = Dispatcher(api), Pages(api)

    async def handle(request: web.Request) -> web.StreamResponse:
        call = CALL.get()
        if call.target.resource:
            return await dispatcher.serve(request, call.target, call.verb, call.query, call.user)
        return pages.serve(request, call.target.path, call.query)

    app.router.add_route("*", "/{path:.*}", handle)
    app.on_shutdown.append(_closer(api))
    app.on_response_prepare.append(_anonymous)
    return app


async def _anonymous(request: web.Request, response: web.StreamResponse) -> None:
    """As a Kubernetes API server, do not tell what software of which version this is; /version does, to users."""
    response.headers.popall("Server", None)


def _served(api: ApiServer) -> frozenset[tuple[str, str]]:
    pairs = {("nodes", subresource) for subresource in ("heartbeat", "tunnel", "streams")}  # the agents' own
    for kind in api.kinds:
        pairs |= {(kind.resource.plural, subresource) for subresource in ("", *(sub.name for sub in kind.subresources))}
    return frozenset(pairs)


def _closer(api: ApiServer) -> Callable[[web.Application], Awaitable[None]]:
    async def close(app: web.Application) -> None:
        api.close()

    return close


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def _guard(
    authenticator: Authenticates, authorizer: Authorizes, overload: Overload, served: Collection[tuple[str, str]]
) -> Any:
    """The middleware: parse, authenticate, find a seat, authorize, handle, render errors, count.

    ``served`` holds the pairs of resource and subresource that are counted by name: labels must stay few.
    """

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        started = time.perf_counter()
        raw, _, text = request.raw_path.partition("?")
        target, verb, counted = Target(raw), request.method.lower(), False
        level: Level | None = None
        limit: asyncio.Timeout | None = None
        try:
            target = parse_path(decode_path(raw))
            query = _query(text) if text else {}
            verb = verb_of(request.method, target, query)
            if counted := verb != "watch":
                metrics.IN_FLIGHT.inc()
            user = authenticator.authenticate(request)
            if isawaitable(user):
                user = await user
            if impersonation.is_asked(request.headers):
                user = await _impersonate(user, request, authorizer)
            if (found := overload.level(user, verb, target.subresource)) is not None:
                if (turn := found.enter(user.name)) is not None:
                    await turn
                level = found
            allowed = authorizer.authorize(user, _attributes(target, verb, query))
            if isawaitable(allowed):
                await allowed
            CALL.set(Call(target, verb, query, user))
            async with asyncio.timeout(None if is_long_running(verb, target.subresource) else REQUEST_SECONDS) as limit:
                response = await handler(request)
        except StatusError as error:
            response = render_error(error)
        except web.HTTPException as error:
            response = render_error(_from_http(error))
        except codec.TooDeep as error:
            response = render_error(BadRequest(f"the object provided is unrecognized: {error}"))
        except asyncio.CancelledError:
            raise
        except Exception as error:
            late = isinstance(error, TimeoutError) and limit is not None and limit.expired()
            response = render_error(Timeout(TOO_LATE) if late else _unexpected(request))
        finally:
            if level is not None:
                level.leave()
            if counted:
                metrics.IN_FLIGHT.dec()
        named = (target.resource, target.subresource)
        resource, subresource = named if named in served else ("", "")
        metrics.count(verb, resource, subresource, response.status, time.perf_counter() - started)
        return response

    return guard


async def _impersonate(user: User, request: web.Request, authorizer: Authorizes) -> User:
    """The user that a request asks to run as. Raises BadRequest, Forbidden."""
    wanted = impersonation.wanted(request.headers)
    for attributes in impersonation.permissions(request.headers, request.path):
        allowed = authorizer.authorize(user, attributes)
        if isawaitable(allowed):
            await allowed
    return wanted


def _query(text: str) -> dict[str, str]:
    """Query parameters; of one that stands several times the first counts, as in Go's url.Values.Get."""
    try:
        return dict(reversed(parse_qsl(text, keep_blank_values=True, max_num_fields=100)))
    except ValueError as error:
        raise BadRequest(f"the query cannot be read: {error}") from error


def _attributes(target: Target, verb: str, query: dict[str, str]) -> Attributes:
    name = target.name
    fields = query.get("fieldSelector", "")
    if fields and not name and verb in ("list", "watch", "deletecollection"):
        # A list of the one object of a name asks for no more than a get of it (requestinfo.go).
        try:
            name = selectors.parse_field_selector(fields).exact("metadata.name") or ""
        except StatusError:
            name = ""  # the verb will refuse the selector with its reason
    return Attributes(
        verb, target.path, target.group, target.version, target.resource, target.subresource, target.namespace, name,
        fields, query.get("labelSelector", ""),
    )  # fmt: skip


# --- errors


def render_error(error: StatusError) -> web.Response:
    """Every refusal that leaves the server, in one place."""
    headers = {"Content-Type": "application/json", "Cache-Control": "no-cache, private"}
    if error.retry_after_seconds:
        headers["Retry-After"] = str(error.retry_after_seconds)
    if error.code == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="longboat"'
    return web.Response(status=error.code, body=codec.encode(error.to_status()), headers=headers)


def _from_http(error: web.HTTPException) -> StatusError:
    """aiohttp's own refusals as ours."""
    if error.status == 413:
        return RequestEntityTooLarge(f"Request entity too large: limit is {MAX_BODY}")
    if error.status == 404:
        return nothing()
    return from_status({"message": error.reason}, error.status)


def _unexpected(request: web.Request) -> StatusError:
    """A mistake of ours: logged whole under an id, told without its insides."""
    if request.transport is None or request.transport.is_closing():
        return ServiceUnavailable("the client went away")
    id_ = secrets.token_hex(4)
    logger.exception("request failed", extra={"error_id": id_, "method": request.method, "path": request.path})
    return InternalError(f"Internal error occurred: the server's log has the details under {id_}")

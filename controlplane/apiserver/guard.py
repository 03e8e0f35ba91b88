"""The guard that every request passes: who asks, whether there is a seat, whether it is allowed, and what is told.

Owns the order of authentication, audit, impersonation, seats and authorization (that of
k8s.io/apiserver/pkg/server/config.go, DefaultBuildHandlerChain), the one place where errors are rendered, and the
metrics of requests. Each request is a task of its own on the event loop.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import parse_qsl

from aiohttp import web

from controlplane.apiserver import impersonation, metrics
from controlplane.apiserver.audit.auditor import AUDIT_ID, Auditor, Record
from controlplane.apiserver.authz import Refused
from controlplane.apiserver.connections import TOO_LATE
from controlplane.apiserver.deadlines import Deadlines, Limit
from controlplane.apiserver.identity import Attributes, User
from controlplane.apiserver.overload import REQUEST_SECONDS, Level, Overload, is_long_running
from controlplane.apiserver.request import Target, decode_path, parse_path, verb_of
from controlplane.apiserver.unserved import nothing
from controlplane.apiserver.warnings import WARNINGS, told, warning_header
from shared import codec
from shared.api import selectors
from shared.api.errors import (
    BadRequest,
    Forbidden,
    InternalError,
    RequestEntityTooLarge,
    ServiceUnavailable,
    StatusError,
    Timeout,
    Unauthorized,
    from_status,
)

logger = logging.getLogger(__name__)

MAX_BODY = 3 << 20
"""Bytes of a request body (kube-apiserver's --max-request-body-bytes)."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Authenticates(Protocol):
    """See ``authn.Authenticator``."""

    def authenticate(self, request: web.BaseRequest) -> User | Awaitable[User]: ...


class Authorizes(Protocol):
    """See ``authz.Authorizer``."""

    def authorize(self, user: User, attributes: Attributes) -> Awaitable[str | None] | str | None: ...


@dataclass(frozen=True, slots=True)
class Call:
    """A request that may go on: who asks for what."""

    target: Target
    verb: str
    query: dict[str, str]
    user: User


CALL: ContextVar[Call] = ContextVar("call")
"""The call that the current task serves, set by the guard for every handler behind it."""

_RECORD: ContextVar[Record | None] = ContextVar("record", default=None)


@dataclass(slots=True)
class _Passage:
    """A request on its way through: what is known of it so far, and what must be given back."""

    target: Target
    verb: str
    query: dict[str, str] = field(default_factory=dict)
    counted: bool = False
    level: Level | None = None
    record: Record | None = None


class Guard:
    """``middleware`` and ``prepare`` are for the application. ``served`` tells the pairs of resource and
    subresource that are counted by name: labels must stay few."""

    def __init__(
        self,
        authenticator: Authenticates,
        authorizer: Authorizes,
        overload: Overload,
        auditor: Auditor | None,
        served: Callable[[tuple[str, str]], bool],
    ) -> None:
        self._authenticator, self._authorizer = authenticator, authorizer
        self._overload, self._auditor, self._served = overload, auditor, served
        self._deadlines = Deadlines(REQUEST_SECONDS)

    def middleware(self) -> Any:
        @web.middleware
        async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
            return await self._pass(request, handler)

        return guard

    async def _pass(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        started = time.perf_counter()
        passage = _Passage(Target(request.raw_path.partition("?")[0]), request.method.lower())
        limit: Limit | None = None
        panic = False
        try:
            await self._admit(request, passage)
            if is_long_running(passage.verb, passage.target.subresource):
                response = await handler(request)
            else:
                with self._deadlines.limit() as limit:
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
            late = isinstance(error, TimeoutError) and limit is not None and limit.expired
            panic = not late
            response = render_error(Timeout(TOO_LATE) if late else _unexpected(request))
        finally:
            if passage.level is not None:
                passage.level.leave()
            if passage.counted:
                metrics.IN_FLIGHT.dec()
        if self._auditor is not None and passage.record is not None:
            self._auditor.complete(passage.record, response, panic=panic)
        target = passage.target
        named = (target.resource, target.subresource)
        resource, subresource = named if self._served(named) else ("", "")
        metrics.count(passage.verb, resource, subresource, response.status, time.perf_counter() - started)
        return response

    async def _admit(self, request: web.Request, passage: _Passage) -> None:
        """Let the request in, with its ``CALL`` set. Raises what it is refused with."""
        raw, _, text = request.raw_path.partition("?")
        target = passage.target = parse_path(decode_path(raw))
        query = passage.query = _query(text) if text else {}
        verb = passage.verb = verb_of(request.method, target, query)
        if verb != "watch":
            passage.counted = True
            metrics.IN_FLIGHT.inc()
        attributes = _attributes(target, verb, query)
        user = await self._identify(request, passage, attributes)
        if (level := self._overload.level(user, verb, target.subresource)) is not None:
            if (turn := level.enter(user.name)) is not None:
                await turn
            passage.level = level
        await self._authorize(user, attributes, passage)
        CALL.set(Call(target, verb, query, user))

    async def _identify(self, request: web.Request, passage: _Passage, attributes: Attributes) -> User:
        """Who asks, or who that one asks to be; the audit log is told of both, and of who could not say."""
        try:
            found = self._authenticator.authenticate(request)
            user = found if isinstance(found, User) else await found
        except Unauthorized:
            if self._auditor is not None:
                self._auditor.nobody(request, attributes, passage.query)
            raise
        if self._auditor is not None:
            passage.record = await self._auditor.received(request, attributes, user)
            _RECORD.set(passage.record)
        if not impersonation.is_asked(request.headers):
            return user
        wanted = impersonation.wanted(request.headers)
        for permission in impersonation.permissions(request.headers, request.path):
            await self._authorize(user, permission, passage)
        if passage.record is not None:
            passage.record.impersonates(wanted)
        return wanted

    async def _authorize(self, user: User, attributes: Attributes, passage: _Passage) -> None:
        try:
            found = self._authorizer.authorize(user, attributes)
            reason = found if found is None or isinstance(found, str) else await found
        except Forbidden as error:
            if passage.record is not None:
                passage.record.decided(False, error.why if isinstance(error, Refused) else "")
            raise
        if passage.record is not None:
            passage.record.decided(True, reason or "")

    async def prepare(self, request: web.Request, response: web.StreamResponse) -> None:
        """Before a head goes out. As a Kubernetes API server, do not tell what software of which version this is."""
        response.headers.popall("Server", None)
        if (warnings := request.get(WARNINGS)) and response.status != 101:  # see ``connecting``
            for warning in told(warnings):
                response.headers.add("Warning", warning_header(warning))
        if self._auditor is None or (record := _RECORD.get()) is None or record.request is not request:
            return
        response.headers[AUDIT_ID] = record.event["auditID"]
        if not isinstance(response, web.Response):
            self._auditor.started(record, response.status)


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

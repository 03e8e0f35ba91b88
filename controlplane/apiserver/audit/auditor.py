"""Turns requests into audit events (audit.k8s.io/v1 Event), at the stages that the policy wants.

Keeps nothing but the record of a request under way. Bodies are decoded only for rules that log them; what is not
JSON, or too large to have been taken, is left out. One event loop.
"""

from __future__ import annotations

import gzip
import ipaddress
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from aiohttp import web

from controlplane.apiserver import bodies
from controlplane.apiserver.audit import attempts
from controlplane.apiserver.audit.log import AuditLog
from controlplane.apiserver.audit.policy import Level, Policy, Stage, Verdict
from controlplane.apiserver.connections import read_body
from controlplane.apiserver.identity import Attributes, User
from controlplane.apiserver.negotiation import bare, body_type
from controlplane.apiserver.overload import is_long_running
from shared import codec
from shared.api.errors import StatusError
from shared.api.meta import JSON
from shared.work.clock import Clock, SystemClock

AUDIT_ID = "Audit-Id"
ANNOTATIONS: web.RequestKey[dict[str, str]] = web.RequestKey("audit annotations", dict)
"""What a request's admission has to tell, on the request."""

_ID_BYTES = 64
_HOPS = 32
"""Addresses of proxies that are logged of a request."""

_WITH_BODY = frozenset(("create", "update", "patch", "delete", "deletecollection"))


@dataclass(slots=True)
class Record:
    """A request under way."""

    verdict: Verdict
    event: JSON
    request: web.Request
    body: bytes = b""
    decision: dict[str, str] | None = None
    """The annotations of authorization, once that has decided."""

    def decided(self, allowed: bool, reason: str) -> None:
        """Authorization allows or forbids it (k8s.io/apiserver/pkg/endpoints/filters/authorization.go)."""
        self.decision = {
            "authorization.k8s.io/decision": "allow" if allowed else "forbid",
            "authorization.k8s.io/reason": reason,
        }

    def impersonates(self, user: User) -> None:
        self.event["impersonatedUser"] = _user(user)


class Auditor:
    """Writes the events of requests to a log, as a policy says."""

    def __init__(self, policy: Policy, log: AuditLog, clock: Clock = SystemClock()) -> None:
        self._policy, self._log, self._clock = policy, log, clock

    def nobody(self, request: web.Request, attributes: Attributes, query: Mapping[str, str]) -> None:
        """A request that says of nobody who it is: one event, at the stage ResponseStarted, as kube-apiserver has it
        (k8s.io/apiserver/pkg/endpoints/filters/authn_audit.go). Its body is not read."""
        verdict = self._policy.verdict(None, attributes)
        if verdict.level is Level.NONE:
            return
        shown = request.get_extra_info("peercert")
        said = attempts.message(request.headers.get("Authorization", ""), query, certificate=bool(shown))
        record = Record(verdict, self._event(request, attributes, None, verdict), request)
        self._write(record, Stage.STARTED, {"responseStatus": {"metadata": {}, "message": said, "code": 401}})

    async def received(self, request: web.Request, attributes: Attributes, user: User) -> Record | None:
        """A request has come; None when nothing of it is logged. Raises what reading its body raises."""
        verdict = self._policy.verdict(user, attributes)
        if verdict.level is Level.NONE:
            return None
        record = Record(verdict, self._event(request, attributes, user, verdict), request)
        writes = attributes.verb in _WITH_BODY
        if verdict.level >= Level.REQUEST and writes and not is_long_running(attributes.verb, attributes.subresource):
            record.body = await read_body(request)
        self._write(record, Stage.RECEIVED)
        return record

    def started(self, record: Record, code: int) -> None:
        """The head of a stream's answer goes out."""
        self._write(record, Stage.STARTED, {"responseStatus": {"metadata": {}, "code": code}})

    def complete(self, record: Record, response: web.StreamResponse, *, panic: bool = False) -> None:
        """The answer is known (and of a stream has ended)."""
        more: JSON = {"responseStatus": {"metadata": {}, "code": response.status}}
        event = record.event
        unnamed = event["verb"] == "create" and "objectRef" in event and "name" not in event["objectRef"]
        wanted = response.status >= 400 or record.verdict.level is Level.REQUEST_RESPONSE or unnamed
        answer = _answer(response) if wanted else None
        if unnamed and answer is not None and response.status < 400:
            more["objectRef"] = event["objectRef"] | {"name": (answer.get("metadata") or {}).get("name", "")}
        if answer is not None and answer.get("kind") == "Status":
            more["responseStatus"] = {key: answer[key] for key in ("metadata", "status", "message", "reason", "details",
                                                                    "code") if key in answer}  # fmt: skip
        if record.verdict.level >= Level.REQUEST and (asked := _asked(record)) is not None:
            more["requestObject"] = self._shown(record, asked)
        if record.verdict.level is Level.REQUEST_RESPONSE and answer is not None:
            more["responseObject"] = self._shown(record, answer)
        if annotations := {**record.request.get(ANNOTATIONS, {}), **(record.decision or {})}:
            more["annotations"] = annotations
        self._write(record, Stage.PANIC if panic else Stage.COMPLETE, more)

    def _write(self, record: Record, stage: Stage, more: JSON | None = None) -> None:
        if stage not in record.verdict.omit_stages:
            event = record.event | {"stage": str(stage), "stageTimestamp": _micro(self._clock.now())}
            self._log.write(event | (more or {}))

    def _event(self, request: web.Request, attributes: Attributes, user: User | None, verdict: Verdict) -> JSON:
        event: JSON = {
            "kind": "Event",
            "apiVersion": "audit.k8s.io/v1",
            "level": str(verdict.level),
            "auditID": request.headers.get(AUDIT_ID, "")[:_ID_BYTES] or str(uuid.uuid4()),
            "requestURI": request.raw_path,
            "verb": attributes.verb,
            "user": _user(user),
            "sourceIPs": source_addresses(request),
            "userAgent": request.headers.get("User-Agent", ""),
            "requestReceivedTimestamp": _micro(self._clock.now()),
        }
        if attributes.is_resource:
            named = {
                "resource": attributes.resource, "namespace": attributes.namespace, "name": attributes.name,
                "apiGroup": attributes.group, "apiVersion": attributes.version, "subresource": attributes.subresource,
            }  # fmt: skip
            event["objectRef"] = {key: value for key, value in named.items() if value}
        return event

    def _shown(self, record: Record, tree: Any) -> Any:
        return without_managed_fields(tree) if record.verdict.omit_managed_fields else tree


def without_managed_fields(tree: Any) -> Any:
    """An object, each of a list, or each row's of a table, without its managedFields; anything else as it is."""
    if not isinstance(tree, dict):
        return tree
    found = dict(tree)
    if isinstance(metadata := tree.get("metadata"), dict):
        found["metadata"] = {key: value for key, value in metadata.items() if key != "managedFields"}
    if isinstance(items := tree.get("items"), list):
        found["items"] = [without_managed_fields(item) for item in items]
    if tree.get("kind") == "Table" and isinstance(rows := tree.get("rows"), list):
        found["rows"] = [row | {"object": without_managed_fields(row.get("object"))} for row in rows]
    return found


def source_addresses(request: web.BaseRequest) -> list[str]:
    """Where it came from by what proxies say, and last by what nobody can make up (k8s.io/apimachinery/pkg/util/net,
    SourceIPs)."""
    claimed = [*request.headers.get("X-Forwarded-For", "").split(",")[:_HOPS], request.headers.get("X-Real-Ip", "")]
    found: list[str] = []
    for position, text in enumerate(claimed):
        try:
            address = str(ipaddress.ip_address(text.strip()))
        except ValueError:
            continue
        if position < len(claimed) - 1 or address not in found:
            found.append(address)
    remote = request.remote or ""
    return found if found and found[-1] == remote else [*found, remote]


def _user(user: User | None) -> JSON:
    if user is None:
        return {}
    found: JSON = {"username": user.name} | ({"uid": user.uid} if user.uid else {}) | {"groups": list(user.groups)}
    return found | ({"extra": user.extras} if user.extra else {})


def _asked(record: Record) -> Any:
    """The request's body as an object; None where it is none that can be shown."""
    if not record.body:
        return None
    content_type = record.request.headers.get("Content-Type", "")
    try:
        if bare(content_type).endswith("-patch+json"):
            return codec.decode(record.body)
        tree = bodies.decode(record.body, body_type(content_type), "Ignore", [])
    except (StatusError, codec.CodecError, codec.TooDeep):
        return None
    return tree


def _answer(response: web.StreamResponse) -> JSON | None:
    if not isinstance(response, web.Response) or not isinstance(body := response.body, bytes):
        return None
    try:
        tree = codec.decode(gzip.decompress(body) if response.headers.get("Content-Encoding") == "gzip" else body)
    except codec.CodecError:
        return None
    return tree if isinstance(tree, dict) else None


def _micro(when: datetime) -> str:
    return when.strftime("%Y-%m-%dT%H:%M:%S.%fZ")

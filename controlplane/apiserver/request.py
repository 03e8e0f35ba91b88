"""A request as the verbs see it: what is asked, of which kind, with which options. No HTTP in here.

Owns the reading of URL paths (after k8s.io/apiserver/pkg/endpoints/request/requestinfo.go) and of query options.
Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from controlplane.apiserver.identity import User
from controlplane.apiserver.kinds.base import Kind
from shared.api.errors import BadRequest, Cause, Invalid
from shared.api.meta import JSON

_NAMESPACE_SUBRESOURCES = frozenset(("status", "finalize"))
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


@dataclass(frozen=True, slots=True)
class Target:
    """What a path names. ``resource`` is empty when the path is none of a resource (discovery, health)."""

    path: str
    group: str = ""
    version: str = ""
    namespace: str = ""
    resource: str = ""
    name: str = ""
    subresource: str = ""
    rest: str = ""
    """What follows the subresource, as in ``services/x/proxy/<rest>``."""


def parse_path(path: str) -> Target:
    """Take a decoded URL path apart: ``/apis/<group>/<version>[/namespaces/<ns>]/<resource>[/<name>[/<sub>]]``."""
    parts = [part for part in path.split("/") if part]
    if len(parts) >= 3 and parts[0] == "api":
        group, version, tail = "", parts[1], parts[2:]
    elif len(parts) >= 4 and parts[0] == "apis":
        group, version, tail = parts[1], parts[2], parts[3:]
    else:
        return Target(path)
    namespace = ""
    if tail[0] == "namespaces" and len(tail) > 1:
        if len(tail) > 2 and tail[2] not in _NAMESPACE_SUBRESOURCES:
            namespace, tail = tail[1], tail[2:]
        else:
            namespace = tail[1]
    name = tail[1] if len(tail) > 1 else ""
    subresource = tail[2] if len(tail) > 2 else ""
    return Target(path, group, version, namespace, tail[0], name, subresource, "/".join(tail[3:]))


def decode_path(raw: str) -> str:
    """A raw URL path with its percent escapes undone."""
    return unquote(raw) if "%" in raw else raw


def verb_of(method: str, target: Target, query: Mapping[str, str]) -> str:
    """The API's verb for an HTTP method; the lower-case method where no resource is named."""
    if not target.resource:
        return method.lower()
    if method in ("GET", "HEAD"):
        if _boolean(query, "watch") and not target.subresource:
            return "watch"
        return "get" if target.name else "list"
    if method == "DELETE" and not target.name:
        return "deletecollection"
    return _VERBS.get(method, method.lower())


# --- options


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """metav1.CreateOptions, UpdateOptions and PatchOptions in one."""

    dry_run: bool = False
    field_validation: str = "Warn"
    """Strict refuses unknown and duplicate fields, Warn answers with warnings, Ignore says nothing."""
    field_manager: str = ""
    force: bool = False


@dataclass(frozen=True, slots=True)
class ListOptions:
    """metav1.ListOptions; also what a watch and a deletecollection select by."""

    label_selector: str = ""
    field_selector: str = ""
    resource_version: str = ""
    resource_version_match: str = ""
    limit: int = 0
    continue_: str = ""
    timeout_seconds: int | None = None
    allow_bookmarks: bool = False
    send_initial_events: bool | None = None


@dataclass(frozen=True, slots=True)
class DeleteOptions:
    """metav1.DeleteOptions. ``propagation`` is Background, Foreground, Orphan, or empty for the kind's default."""

    grace_period_seconds: int | None = None
    propagation: str = ""
    uid: str = ""
    resource_version: str = ""
    dry_run: bool = False


@dataclass(slots=True)
class Request:
    """One call of a verb. ``warnings`` gathers what the client is to be warned about."""

    user: User
    kind: Kind
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    options: WriteOptions = WriteOptions()
    user_agent: str = ""
    """What the field manager is called after where ``options`` do not name it."""

    warnings: list[str] = field(default_factory=list)
    annotations: dict[str, str] = field(default_factory=dict)
    """What the audit log is told of it."""

    sent: tuple[str, str, str] | None = None
    """Group, version and kind of what is sent to a subresource, such as a Scale, where that is no object of ``kind``:
    what admission from outside the server is shown."""


def _boolean(query: Mapping[str, str], key: str) -> bool | None:
    """None when absent; only ``0`` and ``false`` are false (k8s.io/apimachinery/pkg/runtime/conversion.go)."""
    text = query.get(key)
    return None if text is None else text.lower() not in ("0", "false")


def _integer(query: Mapping[str, str], key: str) -> int | None:
    text = query.get(key)
    if text is None or text == "":
        return None
    try:
        return int(text)
    except ValueError:
        raise BadRequest(f'strconv.ParseInt: parsing "{text}": invalid syntax') from None


def _dry_run(options: str, value: str) -> bool:
    if value in ("", "All"):
        return value == "All"
    raise _unsupported(options, "dryRun", value, ("All",))


def _unsupported(options: str, field_: str, value: str, valid: tuple[str, ...]) -> Invalid:
    choices = ", ".join(f'"{choice}"' for choice in valid)
    message = f'Unsupported value: "{value}": supported values: {choices}'
    return Invalid(
        f'{options}.meta.k8s.io "" is invalid: {field_}: {message}',
        group="meta.k8s.io", kind=options, causes=[Cause("FieldValueNotSupported", message, field_)],
    )  # fmt: skip


_VALIDATIONS = ("Ignore", "Warn", "Strict")
_PLAIN = WriteOptions()


def write_options(verb: str, query: Mapping[str, str]) -> WriteOptions:
    """Options of create, update and patch. Raises Invalid, BadRequest."""
    if not query:
        return _PLAIN
    kind = f"{verb.capitalize()}Options"
    validation = query.get("fieldValidation") or "Warn"
    if validation not in _VALIDATIONS:
        raise _unsupported(kind, "fieldValidation", validation, ("", *_VALIDATIONS))
    manager = query.get("fieldManager", "")
    if len(manager) > 128:
        raise BadRequest("fieldManager: Too long: may not be more than 128 bytes")
    return WriteOptions(_dry_run(kind, query.get("dryRun", "")), validation, manager, bool(_boolean(query, "force")))


def check_patch_options(options: WriteOptions, *, applies: bool) -> None:
    """What only server-side apply needs, and what only it may have. Raises Invalid."""
    if applies and not options.field_manager:
        raise _invalid_option("fieldManager", "FieldValueRequired", "Required value: is required for apply patch")
    if options.force and not applies:
        message = "Forbidden: may not be specified for non-apply patch"
        raise _invalid_option("force", "FieldValueForbidden", message)


def _invalid_option(field_: str, reason: str, message: str) -> Invalid:
    return Invalid(
        f'PatchOptions.meta.k8s.io "" is invalid: {field_}: {message}',
        group="meta.k8s.io", kind="PatchOptions", causes=[Cause(reason, message, field_)],
    )  # fmt: skip


def list_options(query: Mapping[str, str]) -> ListOptions:
    """Options of list, watch and deletecollection. Raises BadRequest."""
    if not query:
        return ListOptions()
    return ListOptions(
        label_selector=query.get("labelSelector", ""),
        field_selector=query.get("fieldSelector", ""),
        resource_version=query.get("resourceVersion", ""),
        resource_version_match=query.get("resourceVersionMatch", ""),
        limit=max(0, _integer(query, "limit") or 0),
        continue_=query.get("continue", ""),
        timeout_seconds=_integer(query, "timeoutSeconds"),
        allow_bookmarks=bool(_boolean(query, "allowWatchBookmarks")),
        send_initial_events=_boolean(query, "sendInitialEvents"),
    )


_POLICIES = ("Foreground", "Background", "Orphan")


def delete_options(query: Mapping[str, str], body: Any) -> DeleteOptions:
    """Options from the body, where there is one, else from the query. Raises BadRequest, Invalid."""
    source: JSON = {}
    if body is not None:
        if not isinstance(body, dict) or body.get("kind", "DeleteOptions") != "DeleteOptions":
            what = body.get("kind") if isinstance(body, dict) else type(body).__name__
            raise BadRequest(f"decoded object cannot be converted to DeleteOptions: {what}")
        source = body
    grace = source["gracePeriodSeconds"] if "gracePeriodSeconds" in source else _integer(query, "gracePeriodSeconds")
    if grace is not None and (not isinstance(grace, int) or isinstance(grace, bool)):
        raise BadRequest("DeleteOptions: gracePeriodSeconds must be an integer")
    policy = source.get("propagationPolicy") or query.get("propagationPolicy", "")
    orphan = source.get("orphanDependents", _boolean(query, "orphanDependents"))
    if orphan is not None and policy:
        raise BadRequest("orphanDependents and deletionPropagation cannot be both set")
    if orphan is not None:
        policy = "Orphan" if orphan else "Background"
    if policy and policy not in _POLICIES:
        raise _unsupported("DeleteOptions", "propagationPolicy", str(policy), (*_POLICIES, "nil"))
    conditions = source.get("preconditions") or {}
    if not isinstance(conditions, dict):
        raise BadRequest("DeleteOptions: preconditions must be an object")
    runs = source.get("dryRun") or ([query["dryRun"]] if query.get("dryRun") else [])
    return DeleteOptions(
        grace_period_seconds=grace,
        propagation=policy,
        uid=str(conditions.get("uid") or ""),
        resource_version=str(conditions.get("resourceVersion") or ""),
        dry_run=any(_dry_run("DeleteOptions", str(run)) for run in runs),
    )

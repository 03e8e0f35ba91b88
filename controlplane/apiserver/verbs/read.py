"""get and list.

Everything is read from the watch cache, which every acknowledged write is in. A page after the first is read at
the first one's revision: its opaque token says which and where to go on (as k8s.io/apiserver/pkg/storage/continue.go).
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

from controlplane.apiserver.api import ApiServer
from controlplane.apiserver.kinds.base import Kind
from controlplane.apiserver.request import ListOptions, Request
from controlplane.apiserver.resource_cache import Entry, ResourceCache
from controlplane.apiserver.watching import Selection
from controlplane.store.base import CompactedError
from shared import codec
from shared.api import selectors
from shared.api.errors import BadRequest, Cause, Expired, Invalid
from shared.api.meta import JSON

_INCONSISTENT = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list "
    "without the continue parameter, or use the continue token in this response to retrieve the remainder of the "
    "results. Continuing with the provided token results in an inconsistent list - objects that were created, "
    "modified, or deleted between the time the first chunk was returned and now may show up in the list."
)


_ALWAYS_SELECTABLE = ("metadata.name", "metadata.namespace")


class ContinueExpired(Expired):
    """The pages' revision is gone; ``continue_`` reads the rest as it is now."""

    def __init__(self, continue_: str) -> None:
        super().__init__(_INCONSISTENT)
        self.continue_ = continue_

    def to_status(self) -> JSON:
        status: JSON = super().to_status()
        status["metadata"]["continue"] = self.continue_
        return status


@dataclass(frozen=True, slots=True)
class Page:
    """Entries in key order, true at ``revision``. ``remaining`` is None where it is not known."""

    entries: list[Entry]
    revision: int
    continue_: str = ""
    remaining: int | None = None


def parse_revision(text: str) -> int:
    """A resourceVersion as a number; 0 for none. Raises BadRequest."""
    if not text:
        return 0
    if not text.isdecimal() or len(text) > 19:
        raise BadRequest(f'invalid resource version "{text}": must be a number that this server has given')
    return int(text)


def selection(kind: Kind, namespace: str, labels: str = "", fields: str = "") -> Selection:
    """What the selectors' texts choose. Raises BadRequest for bad grammar and for fields that the kind has not."""
    if not labels and not fields:
        return Selection(namespace)
    parsed = selectors.parse_field_selector(fields)
    own = kind.selectable_fields({}) if kind.selectable_fields is not None else {}
    for requirement in parsed.requirements:
        if requirement.field not in _ALWAYS_SELECTABLE and requirement.field not in own:
            raise BadRequest(
                f"field label not supported: {requirement.field}"
                if own
                else f'"{requirement.field}" is not a known field selector: only "metadata.name", "metadata.namespace"'
            )
    return Selection(namespace, selectors.parse_label_selector(labels), parsed)


async def get(api: ApiServer, request: Request, resource_version: str = "") -> Entry:
    """One object, not older than ``resource_version``. Raises NotFound, Timeout."""
    if resource_version:
        await api.fresh(parse_revision(resource_version))
    return await api.shown(request.kind, request.namespace, request.name)


async def list_(api: ApiServer, request: Request, options: ListOptions) -> Page:
    """Objects that the selectors choose, a page at a time. Raises BadRequest, Invalid, Expired, Timeout, and
    StatusError when a conversion webhook cannot say."""
    kind, cache = request.kind, api.of(request.kind)
    chosen = selection(kind, request.namespace, options.label_selector, options.field_selector)
    _check_match(options)
    start, pinned = "", 0
    asked = parse_revision(options.resource_version)
    if options.continue_:
        start, pinned = _decode_token(options.continue_, request)
        if asked:
            raise BadRequest("specifying resource version is not allowed when using continue")
        await api.fresh(pinned)
    elif asked:
        await api.fresh(asked)
        match = options.resource_version_match
        if match == "Exact" or (not match and options.limit):
            pinned = asked
    revision = pinned if pinned > 0 else api.cache.revision
    try:
        entries = await _entries(api, cache, revision, request.namespace, start)
    except Expired:
        if options.continue_:
            raise ContinueExpired(_encode_token(-1, start)) from None
        raise
    if not chosen.whole:
        return _selected(await api.conversions.show(kind, entries), chosen, revision, options.limit)
    page, remaining = entries, 0
    if options.limit:
        page, remaining = entries[: options.limit], len(entries) - options.limit
    shown = await api.conversions.show(kind, page)
    if remaining <= 0:
        return Page(shown, revision)
    return Page(shown, revision, _encode_token(revision, page[-1].key), remaining)


def _selected(entries: list[Entry], chosen: Selection, revision: int, limit: int) -> Page:
    if not limit:
        return Page([entry for entry in entries if chosen.matches(entry)], revision)
    page: list[Entry] = []
    for entry in entries:
        if chosen.matches(entry):
            if len(page) == limit:  # there is one more, so the token leads somewhere
                return Page(page, revision, _encode_token(revision, page[-1].key))
            page.append(entry)
    return Page(page, revision)


async def _entries(api: ApiServer, cache: ResourceCache, revision: int, namespace: str, start: str) -> list[Entry]:
    try:
        return cache.entries_at(revision, namespace, start)
    except Expired:
        prefix = cache.prefix + (f"{namespace}/" if namespace else "")
        try:
            found = await api.store.range(prefix, revision=revision, start_after=cache.prefix + start if start else "")
        except CompactedError as error:
            raise Expired(
                f"The resourceVersion for the provided list is too old: {revision} ({error.compacted})"
            ) from None
        return [cache.entry_of(pair.key, pair.value, pair.mod_revision) for pair in found.items]


def _check_match(options: ListOptions) -> None:
    """metav1's ValidateListOptions."""
    match = options.resource_version_match
    if options.send_initial_events is not None:
        raise _invalid("sendInitialEvents", "Forbidden: sendInitialEvents is forbidden for list")
    if not match:
        return
    if not options.resource_version:
        raise _invalid("resourceVersionMatch", "Forbidden: resourceVersionMatch is forbidden unless resourceVersion "
                       "is provided")  # fmt: skip
    if options.continue_:
        raise _invalid("resourceVersionMatch", "Forbidden: resourceVersionMatch is forbidden when continue is provided")
    if match not in ("Exact", "NotOlderThan"):
        raise _invalid(
            "resourceVersionMatch",
            f'Unsupported value: "{match}": supported values: "Exact", "NotOlderThan", ""',
        )
    if match == "Exact" and options.resource_version == "0":
        raise _invalid("resourceVersionMatch", 'Forbidden: resourceVersionMatch "exact" is forbidden for '
                       'resourceVersion "0"')  # fmt: skip


def _invalid(field: str, message: str) -> Invalid:
    reason = "FieldValueForbidden" if message.startswith("Forbidden") else "FieldValueNotSupported"
    return Invalid(
        f'ListOptions.meta.k8s.io "" is invalid: {field}: {message}',
        group="meta.k8s.io", kind="ListOptions", causes=[Cause(reason, message, field)],
    )  # fmt: skip


def _encode_token(revision: int, last: str) -> str:
    token = codec.encode({"v": "meta.k8s.io/v1", "rv": revision, "start": f"{last}\0"})
    return base64.urlsafe_b64encode(token).rstrip(b"=").decode()


def _decode_token(text: str, request: Request) -> tuple[str, int]:
    """(key to start after, revision; below 0 for the newest). Raises BadRequest."""
    try:
        token = codec.decode(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        start, revision = token["start"], token["rv"]
        if token["v"] != "meta.k8s.io/v1" or not isinstance(revision, int) or revision == 0:
            raise ValueError
        if not isinstance(start, str) or not start.endswith("\0") or "/../" in f"/{start}/":
            raise ValueError
    except (ValueError, KeyError, TypeError, binascii.Error) as error:
        raise BadRequest("continue key is not valid: it must be one that a list has answered with") from error
    last = start[:-1]
    if request.namespace and not last.startswith(f"{request.namespace}/"):
        raise BadRequest("continue key is not valid: it belongs to a list of another namespace")
    return last, revision

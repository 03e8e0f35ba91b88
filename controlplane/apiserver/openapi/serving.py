"""Answers for /openapi/v2 and /openapi/v3: what is made of the served kinds, kept until those change.

Owns the documents of custom kinds and the one of v2. They are made on first use after a change, in another thread and
once for all who wait; of custom kinds only the group versions that changed. One event loop.

Headers, hashes and redirects as in kube-openapi's pkg/handler and pkg/handler3.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from email.utils import format_datetime
from typing import Protocol

from aiohttp import web

from controlplane.apiserver.discovery import Remote
from controlplane.apiserver.kinds.base import Kind
from controlplane.apiserver.negotiation import JSON_TYPE, accepts_gzip, first_of
from controlplane.apiserver.openapi import swagger
from controlplane.apiserver.openapi.documents import builtin, by_root, custom, group_page, index, url
from controlplane.apiserver.openapi.packed import Packed
from controlplane.apiserver.openapi.schemas import meta_definitions, root_of
from controlplane.apiserver.registry import Registry
from controlplane.apiserver.unserved import nothing
from shared.api.errors import NotAcceptable
from shared.work.clock import Clock

PROTOBUF = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
_V2 = {
    JSON_TYPE: JSON_TYPE, PROTOBUF: PROTOBUF,
    "application/com.github.proto-openapi.spec.v2@v1.0+protobuf": PROTOBUF,
}  # fmt: skip
"""What is asked for, by what is answered: the older name has an @, which is none of a media type's characters."""
_V3 = {JSON_TYPE: JSON_TYPE}
_YEAR = timedelta(days=365)


@dataclass(slots=True)
class _Group:
    """A group version of custom kinds: the rows that its document is of."""

    rows: tuple[Kind, ...]
    document: Packed
    fragment: swagger.Fragment | None = None


@dataclass(slots=True)
class _Made:
    """What is made of one version of what is served."""

    version: tuple[int, int]
    """Of the registry, and of what other API servers serve."""
    documents: Mapping[str, Packed]
    index: Packed
    groups: Mapping[str, _Group]
    """The custom ones, by path."""
    swagger: swagger.Swagger | None = None


class Elsewhere(Protocol):
    """What other API servers serve; see ``aggregation.handler.Aggregator``."""

    @property
    def version(self) -> int: ...

    def served(self) -> Sequence[Remote]: ...


class OpenApi:
    """The answers of one server. Documents of group versions that are served elsewhere are only pointed to."""

    def __init__(self, kinds: Registry, clock: Clock, elsewhere: Elsewhere | None = None) -> None:
        self._kinds, self._clock, self._elsewhere = kinds, clock, elsewhere
        self._made = _Made((-1, -1), {}, Packed(b""), {})
        self._making, self._making_v2 = asyncio.Lock(), asyncio.Lock()

    async def v2(self, request: web.Request) -> web.Response:
        """Raises NotAcceptable."""
        asked = _accepted(request, _V2)
        async with self._making_v2:
            made = await self._current()
            if made.swagger is None:
                made.swagger = await asyncio.to_thread(_swagger, tuple(made.groups.values()))
        document = made.swagger.protobuf if asked == PROTOBUF else made.swagger.json
        return await _answer(request, document, {"Content-Type": asked, "Vary": "Accept"})

    async def v3(self, request: web.Request, name: str, query: Mapping[str, str]) -> web.Response:
        """The index, or the document of ``api/v1`` or ``apis/apps/v1``. Raises NotFound, NotAcceptable."""
        headers = {"Content-Type": JSON_TYPE}
        made = await self._current()
        if not name:
            return await _answer(request, made.index, headers)
        document = made.documents.get(name)
        if document is None:
            raise nothing()
        _accepted(request, _V3)
        headers["Vary"] = "Accept"
        if (asked := query.get("hash", "")) and asked != document.hash:
            return web.Response(status=301, headers={"Location": url(name, document)})
        if asked:
            headers["Cache-Control"] = "public, immutable"
            headers["Expires"] = format_datetime(self._clock.now() + _YEAR, usegmt=True)
        return await _answer(request, document, headers)

    async def _current(self) -> _Made:
        kinds, elsewhere = self._kinds, self._elsewhere
        async with self._making:
            version = kinds.version, 0 if elsewhere is None else elsewhere.version
            if self._made.version != version:
                rows, roots = by_root(kinds.custom), frozenset(root_of(kind) for kind in kinds.builtin)
                remote = () if elsewhere is None else elsewhere.served()
                pointed = {f"apis/{each.group}/{each.version}": each.document for each in remote if each.document}
                self._made = await asyncio.to_thread(_renewed, version, rows, self._made.groups, roots, pointed)
            return self._made


def prepare() -> None:
    """Make what clients ask for first, so that no request waits for it."""
    builtin()


def _swagger(groups: Iterable[_Group]) -> swagger.Swagger:
    fragments = [swagger.of_builtin()]
    for group in groups:
        if group.fragment is None:
            group.fragment = swagger.of_custom(group.document)
        fragments.append(group.fragment)
    return swagger.whole(fragments)


def _renewed(
    version: tuple[int, int],
    rows: Mapping[str, tuple[Kind, ...]],
    before: Mapping[str, _Group],
    roots: frozenset[str],
    elsewhere: Mapping[str, str],
) -> _Made:
    """All documents of the served kinds. ``rows`` are custom kinds by path, ``before`` is what was made of them;
    ``roots`` are the paths of the table's kinds, ``elsewhere`` is as for ``documents.index``."""
    groups = {
        root: before[root] if root in before and before[root].rows == found else _Group(found, custom(found))
        for root, found in rows.items()
    }
    built_in = {root.split("/")[1] for root in roots if root.startswith("apis/")}
    documents = {
        name: found for name, found in builtin().items()
        if name in roots or name.removeprefix("apis/") in built_in or name in ("api", "apis", "version")
    }  # fmt: skip
    for root, group in groups.items():
        documents[root] = group.document
        page = root.rpartition("/")[0]
        if page not in documents:
            documents[page] = group_page(page.removeprefix("apis/"), meta_definitions())
    return _Made(version, documents, Packed(index(documents, elsewhere)), groups)


def _accepted(request: web.Request, offers: Mapping[str, str]) -> str:
    """The content type to answer with. Raises NotAcceptable."""
    found = first_of(request.headers.get("Accept", ""), offers)
    if found is None:
        raise NotAcceptable(f"only the following media types are accepted: {', '.join(dict.fromkeys(offers.values()))}")
    return found


async def _answer(request: web.Request, document: Packed, headers: dict[str, str]) -> web.Response:
    headers["ETag"] = tag = f'"{document.hash}"'
    headers["Vary"] = ", ".join(filter(None, (headers.get("Vary", ""), "Accept-Encoding")))
    known = [each.strip().removeprefix("W/") for each in request.headers.get("If-None-Match", "").split(",")]
    if tag in known or "*" in known:
        del headers["Content-Type"]
        return web.Response(status=304, headers=headers)
    if accepts_gzip(request.headers.get("Accept-Encoding", "")):
        return web.Response(body=document.compressed, headers={**headers, "Content-Encoding": "gzip"})
    return web.Response(body=await asyncio.to_thread(document.plain), headers=headers)

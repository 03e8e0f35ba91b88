"""From an HTTP request for a resource to its verb, and from the verb's answer to HTTP.

Owns the table of which verb a method and path mean, content types of bodies, and compression of big answers.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Mapping
from inspect import isawaitable

from aiohttp import web

from controlplane.apiserver import bodies, responses
from controlplane.apiserver.api import ApiServer
from controlplane.apiserver.audit.auditor import ANNOTATIONS
from controlplane.apiserver.connections import read_body
from controlplane.apiserver.guard import Authorizes
from controlplane.apiserver.identity import Attributes, User
from controlplane.apiserver.kinds.base import Kind
from controlplane.apiserver.negotiation import JSON_TYPE, YAML_TYPE, Format, accept, accepts_gzip, bare, body_type
from controlplane.apiserver.patching import APPLY_PATCH, CONTENT_TYPES
from controlplane.apiserver.patching.apply import STRATEGIC_MERGE_PATCH
from controlplane.apiserver.request import (
    Request,
    Target,
    check_patch_options,
    delete_options,
    list_options,
    write_options,
)
from controlplane.apiserver.sending import BodyResponse
from controlplane.apiserver.unserved import not_allowed, nothing
from controlplane.apiserver.verbs import apply, bind, delete, evict, patch, read, scale, write
from controlplane.apiserver.verbs.answer import Answer
from controlplane.apiserver.warnings import WARNINGS, deprecation, told, warning_header
from controlplane.apiserver.watch_response import serve_watch
from shared import codec
from shared.api.errors import BadRequest, StatusError, UnsupportedMediaType

GZIP_FROM = 128 << 10
"""Bytes from which an answer is compressed where the client takes gzip (kube-apiserver's defaultGzipThresholdBytes)."""


YAML_ASIDE = 16 << 10
"""Bytes of YAML from which it is read in another thread: a megabyte takes half a second, JSON some milliseconds."""


class Dispatcher:
    """Serves every resource of the table of kinds."""

    def __init__(self, api: ApiServer, authorizer: Authorizes) -> None:
        self._api, self._authorizer = api, authorizer

    async def serve(
        self, request: web.Request, target: Target, verb: str, query: Mapping[str, str], user: User
    ) -> web.StreamResponse:
        """Raises the errors of the verbs, and NotFound, MethodNotAllowed, NotAcceptable, UnsupportedMediaType."""
        kind = self._kind(target, verb)
        format = accept(request.headers.get("Accept", ""))
        call = Request(
            user, kind, target.namespace if kind.resource.namespaced else "", target.name, target.subresource,
            user_agent=request.headers.get("User-Agent", ""),
        )  # fmt: skip
        request[ANNOTATIONS] = call.annotations
        try:
            return await self._verb(request, call, verb, format, query)
        except StatusError:
            request[WARNINGS] = [*deprecation(kind), *call.warnings]
            raise

    async def _verb(
        self, request: web.Request, call: Request, verb: str, format: Format, query: Mapping[str, str]
    ) -> web.StreamResponse:
        if verb == "get":
            return await self._get(request, call, format, query)
        if verb == "list":
            page = await read.list_(self._api, call, list_options(query))
            return await self._list(request, call, page, format, query)
        if verb == "watch":
            return await serve_watch(self._api, request, call, list_options(query), format, query)
        if verb == "delete":
            options = delete_options(query, await self._optional_body(request))
            return await self._object(request, call, await delete.delete(self._api, call, options), format, query)
        if verb == "deletecollection":
            options = delete_options(query, await self._optional_body(request))
            page = await delete.delete_collection(self._api, call, options, list_options(query))
            return await self._list(request, call, page, format, query)
        call.options = write_options(verb, query)
        answer = await self._write(request, call, verb)
        return await self._object(request, call, answer, format, query)

    def _kind(self, target: Target, verb: str) -> Kind:
        kind = self._api.kind(target.group, target.version, target.resource)
        if kind is None or target.rest:
            raise nothing()
        namespaced = kind.resource.namespaced
        if not namespaced and target.namespace and target.resource != "namespaces":
            raise nothing()
        verbs = kind.verbs
        if target.subresource:
            sub = next((sub for sub in kind.subresources if sub.name == target.subresource), None)
            if sub is None:
                raise nothing()
            verbs = sub.verbs
        if namespaced and not target.namespace and (target.name or verb not in ("list", "watch")):
            raise nothing() if target.name else not_allowed()
        if verb not in verbs:
            raise not_allowed()
        if (verb in ("update", "patch") or verb == "get") and not target.name:
            raise not_allowed()
        if verb == "create" and target.name and not target.subresource:
            raise not_allowed()
        return kind

    async def _get(
        self, request: web.Request, call: Request, format: Format, query: Mapping[str, str]
    ) -> web.StreamResponse:
        if call.subresource == "scale":
            return await self._object(request, call, await scale.get(self._api, call), format, query)
        if call.subresource and call.subresource not in ("status", "approval", "ephemeralcontainers", "resize"):
            raise nothing()  # served by a route of its own, where that part is built in
        entry = await read.get(self._api, call, query.get("resourceVersion", ""))
        if format.media_type == JSON_TYPE and not format.shape and not call.kind.deprecated:
            return BodyResponse(body=entry.data, headers=_JSON_HEADERS)
        return await self._object(request, call, Answer(200, entry.data), format, query)

    async def _write(self, request: web.Request, call: Request, verb: str) -> Answer:
        api = self._api
        if verb == "patch":
            content_type = bare(request.headers.get("Content-Type", ""))
            accepted = [type for type in CONTENT_TYPES if call.kind.custom is None or type != STRATEGIC_MERGE_PATCH]
            if content_type not in accepted:
                raise UnsupportedMediaType(
                    f"the body of the request was in an unknown format - accepted media types include: "
                    f"{', '.join(accepted)}"
                )
            applies = content_type == APPLY_PATCH
            check_patch_options(call.options, applies=applies)
            if applies:
                return await self._apply(call, await read_body(request))
            try:
                body = codec.decode(await read_body(request))
            except codec.CodecError as error:
                raise BadRequest(f"error decoding patch: {error}") from error
            if call.subresource == "scale":
                return await scale.patch(api, call, content_type, body)
            return await patch.patch(api, call, content_type, body)
        media_type = body_type(request.headers.get("Content-Type", ""))
        tree, warnings = await self._decoded(call, await read_body(request), media_type)
        answer = await self._written(call, verb, tree)
        call.warnings[:0] = warnings
        return answer

    async def _apply(self, call: Request, data: bytes) -> Answer:
        if call.subresource not in ("", "status", "ephemeralcontainers", "resize"):
            raise UnsupportedMediaType(f"server-side apply of the {call.subresource} subresource is not supported")
        resource = call.kind.resource
        attributes = Attributes(
            "create", "", resource.group, resource.version, resource.plural, "", call.namespace, call.name
        )

        async def may_create() -> None:
            if isawaitable(allowed := self._authorizer.authorize(call.user, attributes)):
                await allowed

        tree, warnings = await self._decoded(call, data, YAML_TYPE)
        answer = await apply.apply(self._api, call, tree, may_create)
        call.warnings[:0] = warnings
        return answer

    async def _decoded(self, call: Request, data: bytes, media_type: str) -> tuple[object, list[str]]:
        """The tree of a body, and what its text is to be warned about."""
        warnings: list[str] = []
        arguments = data, media_type, call.options.field_validation, warnings
        if media_type == YAML_TYPE and len(data) > YAML_ASIDE and not bodies.may_be_json(data):
            return await asyncio.to_thread(bodies.decode, *arguments), warnings
        return bodies.decode(*arguments), warnings

    async def _written(self, call: Request, verb: str, tree: object) -> Answer:
        api, subresource = self._api, call.subresource
        if subresource == "scale":
            return await scale.update(api, call, tree)
        if verb == "update":
            return await write.update(api, call, tree)
        if subresource == "binding":
            return await bind.bind(api, call, tree)
        if subresource == "eviction":
            return await evict.evict(api, call, tree)
        if subresource:
            raise nothing()
        return await write.create(api, call, tree)

    async def _optional_body(self, request: web.Request) -> object:
        """A DeleteOptions, or None without one."""
        if not request.body_exists:
            return None
        data = await read_body(request)
        if not data.strip():
            return None
        return bodies.decode(data, body_type(request.headers.get("Content-Type", "")), "Ignore", [])

    async def _object(
        self, request: web.Request, call: Request, answer: Answer, format: Format, query: Mapping[str, str]
    ) -> web.Response:
        if answer.is_object:
            columns = answer.columns or call.kind.columns
            body = responses.object_bytes(columns, answer.data, format, query, self._api.clock.now())
        else:
            format = Format(format.media_type)
            body = responses.as_text(answer.data, format)
        return await respond(request, answer.code, body, format, call)

    async def _list(
        self, request: web.Request, call: Request, page: read.Page, format: Format, query: Mapping[str, str]
    ) -> web.Response:
        body = await responses.list_bytes(call.kind, page, format, query, self._api.clock.now())
        return await respond(request, 200, body, format, call)


_JSON_HEADERS = {"Content-Type": JSON_TYPE}


async def respond(request: web.Request, code: int, body: bytes, format: Format, call: Request) -> web.Response:
    """An answer with its warnings, compressed where that pays and the client takes it."""
    headers = {"Content-Type": format.content_type}
    if len(body) >= GZIP_FROM:
        headers["Vary"] = "Accept-Encoding"
        if accepts_gzip(request.headers.get("Accept-Encoding", "")):
            body = await asyncio.to_thread(_gzip, body)  # zlib lets the other threads run
            headers["Content-Encoding"] = "gzip"
    response = BodyResponse(status=code, body=body, headers=headers)
    for warning in told((*deprecation(call.kind), *call.warnings)):
        response.headers.add("Warning", warning_header(warning))
    return response


def _gzip(body: bytes) -> bytes:
    packer = zlib.compressobj(level=1, wbits=31)
    return packer.compress(body) + packer.flush()

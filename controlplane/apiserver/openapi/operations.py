"""The paths of a kind: its verbs and subresources as operations of OpenAPI 3.0. Pure.

``x-kubernetes-action`` and ``x-kubernetes-group-version-kind`` tell clients which verb of which kind an operation is.
Operation ids are kube-apiserver's (k8s.io/apiserver/pkg/endpoints/openapi, GetOperationIDAndTags), as generated
clients take their functions' names from them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from controlplane.apiserver.kinds.base import Kind, Subresource
from controlplane.apiserver.openapi.parameters import (
    CONNECTING,
    DELETING,
    FORCE,
    LISTING,
    LOG,
    WRITING,
    Parameters,
    place,
)
from controlplane.apiserver.openapi.schemas import META, PREFIX, Names, root_of
from controlplane.apiserver.patching import CONTENT_TYPES as PATCH_TYPES
from controlplane.apiserver.patching.apply import STRATEGIC_MERGE_PATCH
from shared.api.meta import JSON

_BODIES = ("application/json", "application/yaml")
_STREAM = "application/json;stream=watch"
_METHODS = {"get": "get", "create": "post", "update": "put", "patch": "patch", "delete": "delete"}
_ACTIONS = {"create": "post", "update": "put"}
"""What ``x-kubernetes-action`` calls a verb; the others it calls as they are."""

_WORDS = {"get": "read", "update": "replace", "deletecollection": "delete"}
"""What operation ids call a verb."""

_SAID = {
    "get": "read", "list": "list or watch", "create": "create", "update": "replace", "patch": "partially update",
    "delete": "delete", "deletecollection": "delete a collection of", "connect": "connect to",
}  # fmt: skip
_CODES: Mapping[str, tuple[int, ...]] = {
    "create": (200, 201, 202), "update": (200, 201), "patch": (200, 201), "delete": (200, 202),
}  # fmt: skip
_TOLD = {200: "OK", 201: "Created", 202: "Accepted"}


def paths(kind: Kind, names: Names, *, strategic: bool = True) -> Iterator[tuple[str, JSON]]:
    """Each path with its operations. ``names`` are the definitions of kinds, ``strategic`` whether a strategic merge
    patch is taken. Raises LookupError for a subresource whose kind is not among the names."""
    resource = kind.resource
    place_ = _Place(kind, names, strategic)
    everywhere = f"/{root_of(kind)}/{resource.plural}"
    one = f"/{root_of(kind)}/namespaces/{{namespace}}/{resource.plural}" if resource.namespaced else everywhere
    named = f"{one}/{{name}}"
    if operations := place_.collection():
        yield one, {**operations, "parameters": place(resource.kind, named=False, namespaced=resource.namespaced)}
    if resource.namespaced and "list" in kind.verbs:
        yield everywhere, {"get": place_.list_(everywhere=True), "parameters": []}
    if operations := place_.object_(kind.verbs):
        yield named, {**operations, "parameters": place(resource.kind, named=True, namespaced=resource.namespaced)}
    for sub in kind.subresources:
        operations = place_.subresource(sub)
        known = {"named": True, "namespaced": resource.namespaced}
        yield f"{named}/{sub.name}", {**operations, "parameters": place(resource.kind, **known)}
        if sub.name == "proxy":
            below = place_.subresource(sub, below=True)
            yield f"{named}/proxy/{{path}}", {**below, "parameters": place(resource.kind, **known, rest=True)}


def discovery(path: str, answer: str, tag: str, operation_id: str) -> tuple[str, JSON]:
    """The path of a discovery document, which is a ``answer`` (a definition)."""
    operation = {
        "tags": [tag], "operationId": operation_id, "description": "tell what is served here",
        "responses": _responses((200,), answer, ("application/json",)),
    }  # fmt: skip
    return path, {"get": operation, "parameters": []}


def group_name(group: str) -> str:
    """A group as operation ids name it: ``rbac.authorization.k8s.io`` is RbacAuthorization, the core group Core."""
    parts = re.split(r"[^0-9A-Za-z]+", group.removesuffix(".k8s.io") or "core")
    return "".join(part[:1].upper() + part[1:] for part in parts)


def tag_of(group: str, version: str = "") -> str:
    """How operations are gathered: ``core_v1``."""
    name = group_name(group)
    return name[:1].lower() + name[1:] + (f"_{version}" if version else "")


@dataclass(frozen=True, slots=True)
class _Place:
    """Makes the operations of one kind."""

    kind: Kind
    names: Names
    strategic: bool

    @property
    def gvk(self) -> JSON:
        resource = self.kind.resource
        return {"group": resource.group, "version": resource.version, "kind": resource.kind}

    def schema(self, gvk: JSON) -> str:
        return self.names[gvk["group"], gvk["version"], gvk["kind"]]

    def collection(self) -> JSON:
        verbs, found = self.kind.verbs, {}
        if "list" in verbs:
            found["get"] = self.list_()
        if "create" in verbs:
            found["post"] = self._write("create", self.gvk)
        if "deletecollection" in verbs:
            found["delete"] = self._operation(
                "deletecollection", self.gvk, (*LISTING, *DELETING), f"{META}Status", body=f"{META}DeleteOptions"
            )
        return found

    def list_(self, everywhere: bool = False) -> JSON:
        listed = self.kind.list_kind or f"{self.kind.resource.kind}List"
        schema = self.names.get((self.kind.resource.group, self.kind.resource.version, listed))
        if schema is None:
            schema = f"{self.schema(self.gvk)}List"
        media = (*_BODIES, _STREAM)
        return self._operation("list", self.gvk, LISTING, schema, media=media, everywhere=everywhere)

    def object_(self, verbs: Iterable[str], gvk: JSON | None = None, sub: str = "") -> JSON:
        """The operations on one object, or on one of its subresources."""
        gvk = gvk or self.gvk
        found: JSON = {}
        if "get" in verbs:
            found["get"] = self._operation("get", gvk, (), self.schema(gvk), sub)
        if "update" in verbs:
            found["put"] = self._write("update", gvk, sub)
        if "patch" in verbs:
            patch = self._operation("patch", gvk, (*WRITING, FORCE), self.schema(gvk), sub)
            media = [type for type in PATCH_TYPES if self.strategic or type != STRATEGIC_MERGE_PATCH]
            reference = {"schema": {"$ref": f"{PREFIX}{META}Patch"}}
            patch["requestBody"] = {"content": dict.fromkeys(media, reference), "required": True}
            found["patch"] = patch
        if "delete" in verbs and not sub:
            found["delete"] = self._operation("delete", gvk, DELETING, f"{META}Status", body=f"{META}DeleteOptions")
        return found

    def subresource(self, sub: Subresource, below: bool = False) -> JSON:
        resource = self.kind.resource
        gvk = {
            "group": resource.group if sub.group is None else sub.group,
            "version": sub.version or resource.version,
            "kind": sub.kind or resource.kind,
        }
        if sub.name in CONNECTING:
            return {_METHODS[verb]: self._connect(verb, gvk, sub.name, below) for verb in sub.verbs if verb in _METHODS}
        if sub.name == "log":
            return {"get": self._operation("get", gvk, LOG, "", sub.name, media=("text/plain",))}
        operations = self.object_(sub.verbs, gvk, sub.name)
        if "create" in sub.verbs:
            operations["post"] = self._write("create", gvk, sub.name)
        return operations

    def _connect(self, verb: str, gvk: JSON, sub: str, below: bool) -> JSON:
        method = _METHODS[verb]
        operation = self._operation("connect", gvk, CONNECTING[sub], "", sub, media=("*/*",))
        operation["operationId"] = self._id("connect", sub, method=method.title()) + ("WithPath" if below else "")
        return operation

    def _write(self, verb: str, gvk: JSON, sub: str = "") -> JSON:
        schema = self.schema(gvk)
        return self._operation(verb, gvk, WRITING, schema, sub, body=schema)

    def _operation(
        self,
        verb: str,
        gvk: JSON,
        parameters: Parameters,
        schema: str,
        sub: str = "",
        *,
        body: str = "",
        media: Iterable[str] = _BODIES,
        everywhere: bool = False,
    ) -> JSON:
        """``schema`` is the definition of the answer, text where empty; ``body`` that of the request's body."""
        resource = self.kind.resource
        what = f"{sub} of {resource.kind}" if sub else resource.kind
        operation: JSON = {
            "tags": [tag_of(resource.group, resource.version)],
            "operationId": self._id(verb, sub, everywhere=everywhere),
            "description": f"{_SAID[verb]} {what}",
            "parameters": list(parameters),
            "responses": _responses(_CODES.get(verb, (200,)), schema, media),
            "x-kubernetes-action": _ACTIONS.get(verb, verb),
            "x-kubernetes-group-version-kind": gvk,
        }
        if body:
            # What is deleted may come without options, what is written not without an object.
            needed = {} if body.endswith("DeleteOptions") else {"required": True}
            operation["requestBody"] = {"content": {"*/*": {"schema": {"$ref": f"{PREFIX}{body}"}}}, **needed}
        return operation

    def _id(self, verb: str, sub: str, *, everywhere: bool = False, method: str = "") -> str:
        resource = self.kind.resource
        version = resource.version[:1].upper() + resource.version[1:]
        scope = "Namespaced" if resource.namespaced and not everywhere else ""
        end = "ForAllNamespaces" if everywhere else sub[:1].upper() + sub[1:]
        many = "Collection" if verb == "deletecollection" else ""
        group = group_name(resource.group)
        return f"{_WORDS.get(verb, verb)}{group}{version}{method}{many}{scope}{resource.kind}{end}"


def _responses(codes: Iterable[int], schema: str, media: Iterable[str]) -> JSON:
    content: JSON = {"schema": {"$ref": f"{PREFIX}{schema}"} if schema else {"type": "string"}}
    found: JSON = {str(code): {"description": _TOLD[code], "content": dict.fromkeys(media, content)} for code in codes}
    found["401"] = {"description": "Unauthorized"}
    return found

"""The documents of /openapi/v3: one for each group version, and small ones for discovery.

Owns those of the table's kinds, which are made together on first use (some 100 ms, better in a thread) and then kept
compressed. Safe from any thread: two first users at once make the same bytes twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache

from controlplane.apiserver import definitions
from controlplane.apiserver.kinds.base import Kind
from controlplane.apiserver.kinds.table import KINDS
from controlplane.apiserver.openapi import operations
from controlplane.apiserver.openapi.packed import Packed
from controlplane.apiserver.openapi.schemas import (
    META,
    SCALE,
    Names,
    meta_definitions,
    own_definitions,
    root_of,
    with_referred,
)
from shared import codec
from shared.api.meta import JSON

INFO = {"title": "Kubernetes", "version": f"v{'.'.join(map(str, definitions.TARGET))}.0"}


def by_root(kinds: Iterable[Kind]) -> dict[str, tuple[Kind, ...]]:
    """Kinds by the path of their group version."""
    found: dict[str, tuple[Kind, ...]] = {}
    for kind in kinds:
        found[root_of(kind)] = (*found.get(root_of(kind), ()), kind)
    return found


def index(documents: Mapping[str, Packed], elsewhere: Mapping[str, str] = {}) -> bytes:
    """The answer for /openapi/v3: where each document is, with a hash of its content. ``elsewhere`` are those of other
    API servers, by path, with their queries."""
    places = {root: url(root, found) for root, found in documents.items()}
    places |= {root: f"/openapi/v3/{root}?{query}" for root, query in elsewhere.items()}
    return codec.encode({"paths": {root: {"serverRelativeURL": place} for root, place in places.items()}})


def url(root: str, document: Packed) -> str:
    """Where a document is as long as it is as it is now."""
    return f"/openapi/v3/{root}?hash={document.hash}"


@cache
def builtin() -> Mapping[str, Packed]:
    """The documents of the table's kinds, and of discovery and the version, by path."""
    source = definitions.load()
    names = definitions.by_gvk(source)
    made = {root: _packed(rows, names, source) for root, rows in by_root(KINDS).items()}
    groups = dict.fromkeys(kind.resource.group for kind in KINDS if kind.resource.group)
    made["api"] = _page("api", "APIVersions", "core", "getCoreAPIVersions", source)
    made["apis"] = _page("apis", "APIGroupList", "apis", "getAPIVersions", source)
    for group in groups:
        made[f"apis/{group}"] = group_page(group, source)
    made["version"] = _page("version", "io.k8s.apimachinery.pkg.version.Info", "version", "getCodeVersion", source)
    return made


def group_page(group: str, source: definitions.Definitions) -> Packed:
    """The document of ``apis/<group>``."""
    operation_id = f"get{operations.group_name(group)}APIGroup"
    return _page(f"apis/{group}", "APIGroup", operations.tag_of(group), operation_id, source)


def custom(kinds: Iterable[Kind]) -> Packed:
    """The document of custom kinds of one group version, whose rows bring their own schemas."""
    scale = {("autoscaling", "v1", "Scale"): SCALE}
    return _packed(tuple(kinds), scale, meta_definitions(), strategic=False)


def _packed(kinds: tuple[Kind, ...], names: Names, source: definitions.Definitions, strategic: bool = True) -> Packed:
    unknown = [kind for kind in kinds if _gvk(kind) not in names]
    own, found = own_definitions(unknown)
    names = {**names, **found}
    paths: JSON = dict([_resources(kinds[0])])
    for kind in kinds:
        paths.update(operations.paths(kind, names, strategic=strategic))
    return _encoded(paths, with_referred(paths, own, source))


def _gvk(kind: Kind) -> tuple[str, str, str]:
    return kind.resource.group, kind.resource.version, kind.resource.kind


def _resources(kind: Kind) -> tuple[str, JSON]:
    resource = kind.resource
    version = resource.version[:1].upper() + resource.version[1:]
    return operations.discovery(
        f"/{root_of(kind)}/", f"{META}APIResourceList", operations.tag_of(resource.group, resource.version),
        f"get{operations.group_name(resource.group)}{version}APIResources",
    )  # fmt: skip


def _page(root: str, answer: str, tag: str, operation_id: str, source: definitions.Definitions) -> Packed:
    name = answer if "." in answer else f"{META}{answer}"
    paths = dict([operations.discovery(f"/{root}/", name, tag, operation_id)])
    return _encoded(paths, with_referred(paths, {}, source))


def _encoded(paths: JSON, schemas: JSON) -> Packed:
    return Packed(codec.encode({"openapi": "3.0.0", "info": INFO, "paths": paths, "components": {"schemas": schemas}}))

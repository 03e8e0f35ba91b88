"""Discovery: which groups, versions, resources and verbs there are, made from the table of kinds.

Both forms that clients ask for: the plain one (APIVersions, APIGroupList, APIResourceList) and the aggregated one
(apidiscovery.k8s.io/v2, KEP-3352). Made once for a set of kinds, as bytes. Pure.
"""

from __future__ import annotations

import platform
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from controlplane.apiserver.kinds.base import Kind, Subresource
from shared import codec
from shared.api.meta import JSON

KUBERNETES_MINOR = "36"
VERSION: JSON = {
    "major": "1", "minor": KUBERNETES_MINOR,
    "emulationMajor": "1", "emulationMinor": KUBERNETES_MINOR,
    "minCompatibilityMajor": "1", "minCompatibilityMinor": KUBERNETES_MINOR,
    "gitVersion": f"v1.{KUBERNETES_MINOR}.0+longboat", "gitCommit": "", "gitTreeState": "clean", "buildDate": "",
    "goVersion": "", "compiler": f"{sys.implementation.name}-{platform.python_version()}",
    "platform": f"linux/{ {'x86_64': 'amd64', 'aarch64': 'arm64'}.get(platform.machine(), platform.machine()) }",
}  # fmt: skip
"""What /version answers: the Kubernetes version that we are compatible with, with our name as build metadata."""

_VERSION = re.compile(r"v([1-9][0-9]*)(?:(alpha|beta)([1-9][0-9]*))?")

_PREFERRED_ORDER = ("", "apps", "batch", "autoscaling", "networking.k8s.io", "policy", "rbac.authorization.k8s.io")
"""Groups that clients should find first; the others follow by name."""


@dataclass(frozen=True, slots=True)
class Remote:
    """A group version that another API server serves. ``resources`` are entries of the aggregated form, ``document``
    the query of its OpenAPI document."""

    group: str
    version: str
    group_priority: int
    version_priority: int
    fresh: bool
    resources: Sequence[JSON]
    document: str


class Discovery:
    """Answers for ``/api``, ``/apis`` and what is below them down to a group version."""

    def __init__(
        self,
        kinds: Iterable[Kind],
        server_address: str = "",
        custom_groups: Iterable[str] = (),
        remote: Sequence[Remote] = (),
    ) -> None:
        versions: dict[str, dict[str, list[Kind]]] = {}
        for kind in kinds:
            versions.setdefault(kind.resource.group, {}).setdefault(kind.resource.version, []).append(kind)
        order = {group: index for index, group in enumerate(_PREFERRED_ORDER)}
        custom = frozenset(custom_groups)
        groups = sorted(versions, key=lambda group: (order.get(group, len(order)), group in custom, group))
        for group, found in versions.items():
            versions[group] = {version: found[version] for version in sorted(found, key=version_order)}
        self._plain: dict[str, bytes] = {}
        self._aggregated: dict[str, bytes] = {}
        addresses = [{"clientCIDR": "0.0.0.0/0", "serverAddress": server_address}]
        self._plain["/api"] = codec.encode(
            {"kind": "APIVersions", "versions": list(versions.get("", {})), "serverAddressByClientCIDRs": addresses}
        )
        elsewhere = _by_group(remote)
        named = [_group(group, [*versions[group], *elsewhere.get(group, ())]) for group in groups if group]
        named += [_group(group, list(found)) for group, found in elsewhere.items() if group not in versions]
        self._plain["/apis"] = codec.encode({"kind": "APIGroupList", "apiVersion": "v1", "groups": named})
        for entry in named:
            self._plain[f"/apis/{entry['name']}"] = codec.encode({"kind": "APIGroup", "apiVersion": "v1", **entry})
        for group in groups:
            for version, served in versions[group].items():
                path = f"/apis/{group}/{version}" if group else f"/api/{version}"
                self._plain[path] = codec.encode(
                    {
                        "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": path.split("/", 2)[2],
                        "resources": list(_resources(served)),
                    }
                )  # fmt: skip
        for root, chosen in (("/api", [""] if "" in versions else []), ("/apis", [g for g in groups if g])):
            self._aggregated[root] = codec.encode(
                {
                    "kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {},
                    "items": [
                        _aggregated(group, versions.get(group, {}), elsewhere.get(group, {}))
                        for group in (*chosen, *(g for g in elsewhere if root == "/apis" and g not in versions))
                    ],
                }
            )  # fmt: skip

    @property
    def paths(self) -> list[str]:
        """Every path that is answered."""
        return list(self._plain)

    def answer(self, path: str, *, aggregated: bool) -> bytes | None:
        """The document at ``path`` (without a trailing slash), or None."""
        if aggregated and path in self._aggregated:
            return self._aggregated[path]
        return self._plain.get(path)


def version_order(version: str) -> tuple[int, int, int, str]:
    """Sorts versions as Kubernetes prefers them (k8s.io/apimachinery/pkg/version, CompareKubeAwareVersionStrings):
    stable ones, then beta, then alpha, the highest first; then all else by name."""
    if (match := _VERSION.fullmatch(version)) is None:
        return 3, 0, 0, version
    stage = {None: 0, "beta": 1, "alpha": 2}[match[2]]
    return stage, -int(match[1]), -int(match[3] or 0), version


def _group(group: str, versions: list[str]) -> JSON:
    listed = [{"groupVersion": f"{group}/{version}", "version": version} for version in versions]
    return {"name": group, "versions": listed, "preferredVersion": listed[0]}


def _resources(kinds: Iterable[Kind]) -> Iterator[JSON]:
    found: list[JSON] = []
    for kind in kinds:
        resource = kind.resource
        entry: JSON = {
            "name": resource.plural, "singularName": kind.singular, "namespaced": resource.namespaced,
            "kind": resource.kind, "verbs": sorted(kind.verbs),
        }  # fmt: skip
        if kind.short_names:
            entry["shortNames"] = list(kind.short_names)
        if kind.categories:
            entry["categories"] = list(kind.categories)
        found.append(entry)
        for sub in kind.subresources:
            entry = {
                "name": f"{resource.plural}/{sub.name}", "singularName": "", "namespaced": resource.namespaced,
                "kind": sub.kind or resource.kind, "verbs": sorted(sub.verbs),
            }  # fmt: skip
            if sub.group is not None and (sub.group or sub.version):
                entry["group"], entry["version"] = sub.group, sub.version
            found.append(entry)
    yield from sorted(found, key=lambda entry: str(entry["name"]))


def _by_group(remote: Iterable[Remote]) -> dict[str, dict[str, Remote]]:
    """By group and version, those of the highest priority first."""
    found: dict[str, dict[str, Remote]] = {}
    for each in sorted(remote, key=lambda each: (-each.version_priority, version_order(each.version))):
        found.setdefault(each.group, {})[each.version] = each
    return dict(sorted(found.items(), key=lambda item: (-max(r.group_priority for r in item[1].values()), item[0])))


def _aggregated(group: str, versions: dict[str, list[Kind]], remote: Mapping[str, Remote]) -> JSON:
    return {
        "metadata": {"name": group, "creationTimestamp": None},
        "versions": [
            {
                "version": version, "freshness": "Current",
                "resources": [_aggregated_resource(kind) for kind in sorted(kinds, key=lambda k: k.resource.plural)],
            }
            for version, kinds in versions.items()
        ] + [
            {
                "version": version, "freshness": "Current" if each.fresh else "Stale",
                "resources": list(each.resources),
            }
            for version, each in remote.items()
        ],
    }  # fmt: skip


def _aggregated_resource(kind: Kind) -> JSON:
    resource = kind.resource
    entry: JSON = {
        "resource": resource.plural,
        "responseKind": {"group": resource.group, "version": resource.version, "kind": resource.kind},
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "singularResource": kind.singular,
        "verbs": sorted(kind.verbs),
    }
    if kind.short_names:
        entry["shortNames"] = list(kind.short_names)
    if kind.categories:
        entry["categories"] = list(kind.categories)
    if kind.subresources:
        entry["subresources"] = [_aggregated_subresource(kind, sub) for sub in kind.subresources]
    return entry


def _aggregated_subresource(kind: Kind, sub: Subresource) -> JSON:
    resource = kind.resource
    return {
        "subresource": sub.name,
        "responseKind": {
            "group": resource.group if sub.group is None else sub.group,
            "version": sub.version or resource.version,
            "kind": sub.kind or resource.kind,
        },
        "verbs": sorted(sub.verbs),
    }

"""Which group versions are somebody else's, as the stored APIServices say, and what is known of them.

Kept by the watch cache's changes: a request sees the APIServices of its moment. What the table of kinds serves stays
ours, whatever an APIService says. One event loop.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from controlplane.apiserver.cache import WatchCache
from controlplane.apiserver.kinds.apiservice import available
from controlplane.apiserver.registry import Registry
from shared.api.kinds import API_SERVICES
from shared.api.meta import JSON

GroupVersion = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Route:
    """Where a group version is served. ``ca_bundle`` is PEM in base64, as the API has it."""

    name: str
    group: str
    version: str
    namespace: str
    service: str
    port: int
    ca_bundle: str
    insecure: bool
    group_priority: int
    version_priority: int
    available: bool

    @property
    def path(self) -> str:
        return f"/apis/{self.group}/{self.version}"


class Routes:
    """Call ``follow`` for changes. ``version`` counts changes of what discovery tells."""

    def __init__(self, cache: WatchCache, registry: Registry) -> None:
        self._stored = cache.served(API_SERVICES)
        self._registry = registry
        self._routes: dict[GroupVersion, Route] = {}
        self._resources: dict[GroupVersion, list[JSON]] = {}
        self._documents: dict[GroupVersion, str] = {}
        self._followers: list[Callable[[], None]] = []
        self.version = self.changes = 0
        """``changes`` counts those of APIServices."""
        cache.follow(API_SERVICES.group, API_SERVICES.plural, self._renew)
        self._renew()

    def follow(self, follower: Callable[[], None]) -> None:
        """Have it called after each change of an APIService. It must not raise."""
        self._followers.append(follower)

    def find(self, group: str, version: str) -> Route | None:
        return self._routes.get((group, version))

    def __bool__(self) -> bool:
        return bool(self._routes)

    def __iter__(self) -> Iterator[Route]:
        return iter(list(self._routes.values()))

    def trees(self) -> dict[str, JSON]:
        """Every APIService by name."""
        return {entry.name: entry.tree() for entry in self._stored.entries()}

    def tree(self, name: str) -> JSON | None:
        """An APIService."""
        entry = self._stored.get("", name)
        return None if entry is None else entry.tree()

    def resources(self, route: Route) -> list[JSON]:
        """Its resources as the aggregated discovery has them; what was known last where it cannot be asked."""
        return self._resources.get((route.group, route.version), [])

    def is_learned(self, route: Route) -> bool:
        """Whether its server has told what it serves, since this one has started."""
        return (route.group, route.version) in self._resources

    def document(self, route: Route) -> str:
        """The query (``hash=...``) of its OpenAPI document; empty when it has none."""
        return self._documents.get((route.group, route.version), "")

    def learned(self, route: Route, resources: list[JSON], document: str) -> None:
        """What a group version's server says of itself."""
        key = route.group, route.version
        if (self._resources.get(key), self._documents.get(key)) != (resources, document):
            self._resources[key], self._documents[key] = resources, document
            self.version += 1

    def _renew(self) -> None:
        self.changes += 1
        ours = {(kind.resource.group, kind.resource.version) for kind in self._registry.builtin}
        routes = {}
        for entry in self._stored.entries():
            route = _route(entry.tree())
            if route is not None and (route.group, route.version) not in ours:
                routes[route.group, route.version] = route
        if routes != self._routes:
            self._routes = routes
            self._resources = {key: known for key, known in self._resources.items() if key in routes}
            self._documents = {key: known for key, known in self._documents.items() if key in routes}
            self.version += 1
        for follower in self._followers:
            follower()


def _route(tree: JSON) -> Route | None:
    spec: JSON = tree.get("spec") or {}
    service = spec.get("service")
    if service is None or not spec.get("group"):
        return None
    condition = available(tree) or {}
    return Route(
        name=tree["metadata"]["name"],
        group=spec["group"],
        version=spec.get("version") or "",
        namespace=service.get("namespace") or "",
        service=service.get("name") or "",
        port=service.get("port") or 443,
        ca_bundle=spec.get("caBundle") or "",
        insecure=bool(spec.get("insecureSkipTLSVerify")),
        group_priority=spec.get("groupPriorityMinimum") or 0,
        version_priority=spec.get("versionPriority") or 0,
        available=condition.get("status") == "True",
    )

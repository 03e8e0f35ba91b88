"""Answers metrics.k8s.io: get and list of NodeMetrics and PodMetrics, as metrics-server does.

Owns nothing: usage is what agents have told, names and labels are those of the nodes and pods as they are now. Of a
pod only what the agent of its own node says counts. One handler a request, on the event loop.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from aiohttp import web

from controlplane.apiserver.api import ApiServer
from controlplane.apiserver.dispatch import respond
from controlplane.apiserver.guard import CALL
from controlplane.apiserver.kinds.base import Kind
from controlplane.apiserver.negotiation import accept
from controlplane.apiserver.request import Request, list_options
from controlplane.apiserver.resource_cache import Entry, Shown
from controlplane.apiserver.responses import list_bytes, object_bytes
from controlplane.apiserver.unserved import not_allowed
from controlplane.apiserver.usage.kinds import GROUP, NODE_METRICS, POD_METRICS, VERBS, VERSION
from controlplane.apiserver.usage.latest import LatestUsage
from controlplane.apiserver.verbs.read import Page, selection
from shared import codec
from shared.api.errors import NotFound
from shared.api.kinds import NODES, PODS
from shared.api.meta import JSON
from shared.usage import NodeUsage, PodUsage

_ROOT = f"/apis/{GROUP}/{VERSION}"


class Metrics:
    """Makes the group's kinds known, and serves them."""

    def __init__(self, api: ApiServer, latest: LatestUsage) -> None:
        self._api, self._latest = api, latest
        api.kinds.put(GROUP, (NODE_METRICS, POD_METRICS))

    def add_routes(self, app: web.Application) -> None:
        """Serve the group's objects; its discovery is everybody's."""
        for path in ("/nodes", "/nodes/{name}", "/pods", "/namespaces/{ns}/pods", "/namespaces/{ns}/pods/{name}"):
            app.router.add_route("*", _ROOT + path, self.handle)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Raises MethodNotAllowed, NotFound, BadRequest, NotAcceptable."""
        call = CALL.get()
        if call.verb not in VERBS:
            raise not_allowed()
        target, format, now = call.target, accept(request.headers.get("Accept", "")), self._api.clock.now()
        kind = POD_METRICS if target.resource == "pods" else NODE_METRICS
        asked = Request(call.user, kind, target.namespace, target.name)
        entries = self._pods(target.namespace) if kind is POD_METRICS else self._nodes()
        if call.verb == "get":
            found = next((entry for entry in entries if entry.name == target.name), None)
            if found is None:
                raise _not_found(kind, target.namespace, target.name)
            body = object_bytes(kind.columns, found.data, format, call.query, now)
        else:
            options = list_options(call.query)
            chosen = selection(kind, target.namespace, options.label_selector, options.field_selector)
            listed = sorted((each for each in entries if chosen.matches(each)), key=lambda entry: entry.key)
            body = await list_bytes(kind, Page(listed, self._api.cache.revision), format, call.query, now)
        return await respond(request, 200, body, format, asked)

    def _nodes(self) -> Iterator[Entry]:
        known = self._api.cache.served(NODES)
        for name, usage in self._latest.nodes().items():
            if (node := known.get("", name)) is not None:
                yield self._entry(NODE_METRICS, node, usage, {"usage": _quantities(usage.cpu, usage.memory)})

    def _pods(self, namespace: str) -> Iterator[Entry]:
        known = self._api.cache.served(PODS)
        for (where, name, uid), (node, usage) in self._latest.pods().items():
            pod = known.get(where, name) if namespace in ("", where) else None
            if pod is None or (pod.object.metadata.uid, pod.object.spec.node_name) != (uid, node):
                continue
            containers = [{"name": c.name, "usage": _quantities(c.cpu, c.memory)} for c in usage.containers]
            yield self._entry(POD_METRICS, pod, usage, {"containers": containers})

    def _entry(self, kind: Kind, of: Entry, usage: NodeUsage | PodUsage, told: JSON) -> Entry:
        meta: JSON = {"name": of.name}
        if of.namespace:
            meta["namespace"] = of.namespace
        meta["creationTimestamp"] = self._api.now()
        if of.labels:
            meta["labels"] = of.labels
        tree = {
            "kind": kind.resource.kind, "apiVersion": kind.resource.api_version, "metadata": meta,
            "timestamp": usage.at, "window": f"{usage.window:g}s", **told,
        }  # fmt: skip
        return Entry(cast("Shown", _Shown(kind)), of.namespace, of.name, of.revision, codec.encode(tree))


class _Shown:
    """What an entry asks its cache for its key, for objects that are in none."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind


def _quantities(cpu: int, memory: int) -> dict[str, str]:
    return {"cpu": f"{cpu}n", "memory": f"{memory >> 10}Ki"}


def _not_found(kind: Kind, namespace: str, name: str) -> NotFound:
    """metrics-server's words, which name the kind and the namespace too."""
    resource = kind.resource.kind.lower()
    full = f"{namespace}/{name}" if namespace else name
    return NotFound(f'{resource}.{GROUP} "{full}" not found', group=GROUP, kind=resource, name=full)

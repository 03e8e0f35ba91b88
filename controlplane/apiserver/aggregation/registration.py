"""What aggregation keeps in the cluster by itself: an APIService for each group version that is served here, when other
servers are looked at, and that they can trust this one's word.

Owns the APIServices with the label ``kube-aggregator.kubernetes.io/automanaged``. Sources: k8s.io/kube-aggregator/pkg/
controllers/autoregister, pkg/controlplane/controller/crdregistration, pkg/controlplane/apiserver
(apiVersionPriorities). One task, and one for each look under way.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

from controlplane.apiserver.aggregation.availability import AGAIN, Availability
from controlplane.apiserver.aggregation.certificates import FrontProxy
from controlplane.apiserver.aggregation.routes import Route, Routes
from controlplane.apiserver.aggregation.trust import Trust
from controlplane.apiserver.api import ApiServer
from shared.api.errors import StatusError
from shared.api.kinds import API_SERVICES
from shared.api.meta import JSON, timestamp
from shared.client.base import Client
from shared.work.supervisor import Supervisor

logger = logging.getLogger(__name__)

MANAGED = "kube-aggregator.kubernetes.io/automanaged"
CERTIFICATE_CHECK = 6 * 3600.0
"""Seconds between looks at the age of the front proxy's certificate, and at what is published of its CA."""

_LOOK = 1.0
"""Seconds between looks at what is due; a change ends the wait."""

_CUSTOM_PRIORITIES = 1000, 100
_OTHER_PRIORITIES = 2000, 15
_PRIORITIES: Mapping[str, tuple[int, int]] = {
    "": (18000, 1), "apps": (17800, 15), "events.k8s.io": (17750, 15), "authentication.k8s.io": (17700, 15),
    "authorization.k8s.io": (17600, 15), "autoscaling": (17500, 15), "batch": (17400, 15),
    "certificates.k8s.io": (17300, 15), "networking.k8s.io": (17200, 15), "policy": (17100, 15),
    "rbac.authorization.k8s.io": (17000, 15), "storage.k8s.io": (16800, 15), "apiextensions.k8s.io": (16700, 15),
    "admissionregistration.k8s.io": (16700, 15), "scheduling.k8s.io": (16600, 15),
    "coordination.k8s.io": (16500, 15), "node.k8s.io": (16300, 15), "discovery.k8s.io": (16200, 15),
}  # fmt: skip
"""Of the groups of the table: that of the group, and of a version."""


class Registration:
    """``run`` is an essential service of a leader."""

    def __init__(
        self,
        api: ApiServer,
        routes: Routes,
        availability: Availability,
        front_proxy: FrontProxy,
        trust: Trust,
        client: Client,
    ) -> None:
        self._api, self._routes, self._availability = api, routes, availability
        self._front_proxy, self._trust, self._client = front_proxy, trust, client
        self._changed = asyncio.Event()
        self._registered = -1, -1
        self._due: dict[str, float] = {}
        self._seen: dict[str, object] = {}
        self._looking: set[str] = set()
        routes.follow(self._changed.set)

    async def run(self) -> None:
        """Keep everything, until cancelled. Raises PkiError, OSError when the certificates cannot be made."""
        checked = -CERTIFICATE_CHECK
        async with Supervisor() as looks:
            while True:
                self._changed.clear()
                if (now := self._api.clock.monotonic()) - checked >= CERTIFICATE_CHECK:
                    await asyncio.to_thread(self._front_proxy.ensure)
                    await self._patiently(self._trust.publish)
                    checked = now
                if self._trust.missing:
                    await self._patiently(self._trust.publish)
                await self._patiently(self._register)
                self._look(looks)
                try:
                    async with asyncio.timeout(_LOOK):
                        await self._changed.wait()
                except TimeoutError:
                    continue

    async def _patiently(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except StatusError as error:
            logger.warning("aggregation cannot be kept up; trying again", extra={"error": error.message})

    # --- the servers of others

    def _look(self, looks: Supervisor) -> None:
        """Begin every look that is due; none at a server that is being looked at."""
        now = self._api.clock.monotonic()
        routes = {route.name: route for route in self._routes}
        self._due = {name: due for name, due in self._due.items() if name in routes}
        self._seen = {name: state for name, state in self._seen.items() if name in routes}
        for name, route in routes.items():
            if name in self._looking:
                continue
            state = self._availability.state(route)
            if self._due.get(name, 0.0) <= now or self._seen.get(name) != state:
                self._seen[name] = state
                self._looking.add(name)
                looks.spawn(f"APIService {name}", self._one_look(route))

    async def _one_look(self, route: Route) -> None:
        pause = AGAIN
        try:
            pause = await self._availability.look(route)
        except StatusError as error:
            logger.warning("the state of an APIService is not kept", extra={"api": route.name, "error": error.message})
        finally:
            self._looking.discard(route.name)
            self._due[route.name] = self._api.clock.monotonic() + pause

    # --- our own group versions

    async def _register(self) -> None:
        """Make the APIServices that are missing, put those of custom kinds right that somebody has changed, and remove
        those of group versions that have gone."""
        if self._registered == (state := (self._api.kinds.version, self._routes.changes)):
            return
        builtin = {(kind.resource.group, kind.resource.version) for kind in self._api.kinds.builtin}
        custom = {(kind.resource.group, kind.resource.version) for kind in self._api.kinds.custom}
        wanted = {f"{version}.{group}": local(group, version, custom=False) for group, version in builtin
                  if group != API_SERVICES.group}  # fmt: skip
        for group, version in custom - builtin:
            wanted[f"{version}.{group}"] = local(group, version, custom=True)
        present = self._routes.trees()
        for name in wanted.keys() - present.keys():
            await self._client.create(API_SERVICES, wanted[name])
        for name, tree in present.items():
            labels = tree["metadata"].get("labels") or {}
            if MANAGED in labels and name not in wanted:
                await self._client.delete(API_SERVICES, name, uid=tree["metadata"]["uid"])
            elif labels.get(MANAGED) == "true" and tree.get("spec") != wanted[name]["spec"]:
                await self._client.replace(API_SERVICES, {**tree, "spec": wanted[name]["spec"]})
            elif (tree.get("spec") or {}).get("service") is None and not (tree.get("status") or {}).get("conditions"):
                await self._client.patch(API_SERVICES, name, {"status": self._local_status()}, subresource="status")
        self._registered = state

    def _local_status(self) -> JSON:
        condition = {
            "type": "Available", "status": "True", "reason": "Local",
            "message": "Local APIServices are always available",
            "lastTransitionTime": timestamp(self._api.clock.now()),
        }  # fmt: skip
        return {"conditions": [condition]}


def local(group: str, version: str, *, custom: bool) -> JSON:
    """The APIService of a group version that is served here."""
    group_priority, version_priority = _CUSTOM_PRIORITIES if custom else _PRIORITIES.get(group, _OTHER_PRIORITIES)
    if not custom and version != "v1":
        version_priority += 15
    return {
        "kind": "APIService",
        "apiVersion": API_SERVICES.api_version,
        "metadata": {"name": f"{version}.{group}", "labels": {MANAGED: "true" if custom else "onstart"}},
        "spec": {
            "group": group, "version": version, "groupPriorityMinimum": group_priority,
            "versionPriority": version_priority,
        },
    }  # fmt: skip

"""One agent's pods from end to end: the real dispatcher on the API's real verbs over a real store.

Only the host is played, by the hollow runtime and network (which the benches use too). Nothing sleeps to synchronise:
``until`` waits for changes of the pods on the server; long back-offs pass by moving the agent's clock.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, cast

from agent.pods.dispatcher import Dispatcher
from agent.pods.hooks import Hooks
from agent.pods.http_get import HttpGetter
from agent.pods.probing import NetworkProber
from agent.pods.status import NodeFacts
from agent.pods.volumes.memory import unmount_below
from agent.runtime.base import ContainerInfo, State
from agent.runtime.hollow import HollowNetwork, HollowRuntime
from agent.settings import AgentSettings
from controlplane.apiserver.api import ApiServer
from controlplane.apiserver.kinds.table import KINDS
from controlplane.apiserver.local_client import LocalClient
from controlplane.store.sqlite import SqliteStore
from shared.api.errors import ServiceUnavailable
from shared.api.kinds import EVENTS, NAMESPACES, PODS
from shared.api.meta import JSON
from shared.api.pod import ContainerStatus, Pod
from shared.client.base import Client
from shared.client.cache import Cache
from shared.client.reflector import Reflector
from shared.work.clock import SystemClock
from shared.work.supervisor import Supervisor

NODE = "node-1"


class ShiftedClock:
    """The system's clock, which a test can put forward."""

    def __init__(self) -> None:
        self._clock, self.offset = SystemClock(), 0.0

    def now(self) -> datetime:
        return self._clock.now() + timedelta(seconds=self.offset)

    def monotonic(self) -> float:
        return self._clock.monotonic() + self.offset


class Link:
    """The agent's way to the server, which may be cut: then every request fails as HTTP's does."""

    def __init__(self, client: Client, reachable: asyncio.Event) -> None:
        self._client, self._reachable = client, reachable

    def __getattr__(self, verb: str) -> Any:
        if not self._reachable.is_set():
            raise ServiceUnavailable("the server cannot be reached")
        return getattr(self._client, verb)


class Host:
    """A server with one agent on a hollow host."""

    def __init__(self, client: Client, pods: Cache[Pod], data_dir: Path) -> None:
        self.client, self.pods, self.data_dir = client, pods, data_dir
        self.clock = ShiftedClock()
        self.runtime = HollowRuntime(NODE, self.clock)
        self.network = HollowNetwork()
        self.dispatcher: Dispatcher | None = None
        self.reachable = asyncio.Event()
        self.reachable.set()

    @asynccontextmanager
    async def agent(
        self, online: bool = True, prepare: Callable[[Dispatcher], Awaitable[Any]] | None = None, **settings: Any
    ) -> AsyncIterator[Dispatcher]:
        """An agent process' life; ``prepare`` is awaited before it looks at its pods."""
        options = {"warm_pool": 0, "warm_pool_minimum": 0, "volume_refresh": 0.2} | settings
        http = HttpGetter()
        await self.network.setup("10.7.0.0/24")
        async with Supervisor() as supervisor:
            dispatcher = Dispatcher(
                node=NodeFacts(NODE, "192.0.2.7", 4000, 8 << 30),
                runtime=self.runtime,
                network=self.network,
                client=cast(Client, Link(self.client, self.reachable)),
                prober=NetworkProber(self.runtime, http),
                hooks=Hooks(self.runtime, http),
                supervisor=supervisor,
                clock=self.clock,
                settings=AgentSettings(**options),
                data_dir=self.data_dir,
                rng=random.Random(7),
            )
            dispatcher.tools.events._lag = 0.0
            await dispatcher.adopt()
            if prepare is not None:
                await prepare(dispatcher)
            cache = Cache(PODS)
            dispatcher.start(cache, 5.0 if online else 0.05)
            if online:
                reflector = Reflector(self.client, PODS, cache, field_selector=f"spec.nodeName={NODE}")
                supervisor.service("pod watch", reflector.run())
            self.dispatcher = dispatcher
            try:
                yield dispatcher
            finally:
                supervisor.stop()
        await http.close()

    async def until(self, condition: Callable[[], Any], seconds: float = 10.0) -> Any:
        """Wait for the pods on the server, or the host, to satisfy ``condition``."""
        try:
            async with asyncio.timeout(seconds):
                while not (found := condition()):
                    await asyncio.sleep(0.01)
                return found
        except TimeoutError:
            states = [f"{p.key} {p.status}" for p in self.pods]
            raise AssertionError(
                "\n".join([f"not within {seconds} s", *states, str(self.runtime.containers)])
            ) from None

    async def create(self, name: str = "p", **spec: Any) -> Pod:
        await self.client.create(PODS, pod(name, **spec), "default")
        return await self.until(lambda: self.pod(name))

    def pod(self, name: str = "p") -> Pod | None:
        return self.pods.get(name, "default")

    def status(self, name: str = "p", container: str = "c") -> ContainerStatus | None:
        found = self.pod(name)
        if found is None:
            return None
        every = (*found.status.container_statuses, *found.status.init_container_statuses)
        return next((s for s in every if s.name == container), None)

    def ready(self, name: str = "p") -> bool:
        found = self.pod(name)
        return found is not None and any(c.type == "Ready" and c.status == "True" for c in found.status.conditions)

    def phase(self, name: str = "p") -> str:
        found = self.pod(name)
        return found.status.phase if found is not None else ""

    def waiting(self, name: str = "p", container: str = "c") -> str:
        found = self.status(name, container)
        return found.state.waiting.reason if found is not None and found.state.waiting is not None else ""

    def running(self, container: str = "c") -> list[ContainerInfo]:
        return [i for i in self.runtime.containers.values() if i.name == container and i.state is State.RUNNING]

    async def skip(self, seconds: float) -> None:
        """Let time pass for the agent, and have it look at every pod."""
        self.clock.offset += seconds
        assert self.dispatcher is not None
        for uid in self.dispatcher.states:
            self.dispatcher.wake(uid)

    async def reasons(self) -> list[tuple[str, str]]:
        listed = await self.client.list(EVENTS, "default")
        return [(event.reason, event.message) for event in listed.items]


def pod(name: str = "p", *, containers: list[JSON] | None = None, **spec: Any) -> JSON:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", **spec.pop("metadata", {})},
        "spec": {"nodeName": NODE, "containers": containers or [{"name": "c", "image": "app:1"}], **spec},
    }


@asynccontextmanager
async def hollow_host(tmp_path: Path) -> AsyncIterator[Host]:
    """A server with its store, and a host whose agents a test starts."""
    store = await SqliteStore.open(tmp_path / "server")
    api = ApiServer(store, KINDS)
    client = LocalClient(api)
    async with Supervisor() as supervisor:
        supervisor.service("watch cache", api.run())
        await api.ready()
        for name in ("default",):
            await client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        pods = Cache(PODS)
        supervisor.service("test's watch", Reflector(client, PODS, pods).run())
        await pods.synced.wait()
        found = Host(client, pods, tmp_path / "agent")
        yield found
        supervisor.stop()
    api.close()
    await store.close()
    unmount_below(tmp_path / "agent")

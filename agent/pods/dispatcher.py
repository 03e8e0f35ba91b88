"""The pods of this node as a whole: who is worked on when, and what wakes whom.

Owns the states of all pods, the queue of those that have something to do, and the services that feed it: changes of
objects, events of the engine, verdicts of probes, timers. Decides nothing about a pod itself (``worker``). One event
loop; at most ``parallel_pods`` workers at a time, one for each pod.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Iterable
from pathlib import Path

from agent import metrics
from agent.network.base import PodNetwork
from agent.pods import engine_watch
from agent.pods.admission import Abilities, refusal
from agent.pods.allocations import Allocations
from agent.pods.checkpoint import Checkpoints, same_checkpoint
from agent.pods.engine_follower import EngineFollower
from agent.pods.events import PodEvents
from agent.pods.gate import StartGate
from agent.pods.hooks import Hooks
from agent.pods.objects import ObjectCache
from agent.pods.observed import Ending
from agent.pods.pool import WarmPool, WarmSandbox
from agent.pods.probes import ProbeKind, Probes, Verdict
from agent.pods.probing import Prober
from agent.pods.pulls import ImagePulls, Note
from agent.pods.reports import StatusReports
from agent.pods.state import PodState
from agent.pods.status import NodeFacts
from agent.pods.steps.base import Tools
from agent.pods.steps.sandbox import discard
from agent.pods.volumes.mounts import is_object_volume
from agent.pods.volumes.pod_volumes import PodVolumes
from agent.pods.volumes.tokens import PodTokens
from agent.pods.warming import Warming
from agent.pods.worker import PodWorker, apply_verdict
from agent.runtime.base import PodIdentity, Runtime, State
from agent.settings import AgentSettings
from shared.api.pod import Container, Pod
from shared.api.static_pods import MIRROR
from shared.client.base import Client
from shared.client.cache import Cache
from shared.work.backoff import Backoff
from shared.work.clock import Clock
from shared.work.queue import WorkQueue
from shared.work.supervisor import Supervisor

logger = logging.getLogger(__name__)

OFFLINE_AFTER = 5.0
"""Seconds that a starting agent gives the server to list its pods."""
REFUSED = "Pod was rejected as the node is shutting down."


class Dispatcher:
    """Call ``adopt`` first, then ``start``. ``data_dir`` is the agent's own."""

    def __init__(
        self,
        *,
        node: NodeFacts,
        runtime: Runtime,
        network: PodNetwork,
        client: Client,
        prober: Prober,
        hooks: Hooks,
        supervisor: Supervisor,
        clock: Clock,
        settings: AgentSettings,
        data_dir: Path,
        rng: random.Random,
        memory: bool = True,
        note_pull: Note | None = None,
        abilities: Abilities = Abilities(),
    ) -> None:
        self._settings, self._supervisor, self._rng = settings, supervisor, rng
        self._abilities = abilities
        self.states: dict[str, PodState] = {}
        self._queue: WorkQueue[str] = WorkQueue(Backoff(0.5, 60.0))
        self._slots = asyncio.Semaphore(settings.parallel_pods)
        self._active = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self.refuses: Callable[[Pod], Ending | None] = lambda pod: None
        """Says why a pod that comes is not taken in."""
        self._worked = asyncio.Event()
        """Set whenever a pod was worked on."""
        self._closed = self._synced = False
        self._warming = Warming(self._idle.wait)
        objects = ObjectCache(client, clock, ttl=settings.object_ttl, copies=data_dir / "memory" / "objects")
        self.tools = Tools(
            node=node,
            runtime=runtime,
            network=network,
            client=client,
            clock=clock,
            supervisor=supervisor,
            volumes=PodVolumes(
                data_dir,
                objects,
                PodTokens(client, clock, rng),
                node,
                memory=memory,
                recursive_read_only=abilities.recursive_read_only,
            ),
            objects=objects,
            checkpoints=Checkpoints(data_dir),
            pulls=ImagePulls(runtime, clock, supervisor, note_pull),
            pool=WarmPool(cap=settings.warm_pool, minimum=settings.warm_pool_minimum),
            probes=Probes(prober, clock, supervisor, self._verdict, self._probe_failed),
            hooks=hooks,
            events=PodEvents(client, clock, node.name, rng),
            reports=StatusReports(client, supervisor),
            starts=StartGate(settings.parallel_starts),
            wake=self.wake,
            refill=self._warming.poke,
            seccomp=data_dir / "seccomp",
        )
        self._worker = PodWorker(self.tools)
        self._allocations = Allocations(node, self.tools.events, lambda: self.states)
        self._engine = EngineFollower(
            self.tools, lambda: self.states, lambda: self._synced, self._warming, settings.resync
        )

    # --- life

    async def adopt(self) -> None:
        """Learn what runs here and what is to run here; stops nothing.

        Raises RuntimeFailure, NetworkFailure, OSError.
        """
        tools = self.tools
        await tools.volumes.setup()
        sandboxes, containers, copies = await asyncio.gather(
            tools.runtime.list_sandboxes(), tools.runtime.list_containers(), tools.checkpoints.load()
        )
        addresses = await tools.network.adopt(
            [(s.pod, s.id, s.process_id) for s in sandboxes if s.running and not s.host_network]
        )
        now = tools.now()
        identities = engine_watch.identities(sandboxes, containers)
        for pod in copies:
            meta = pod.metadata
            identities.setdefault(meta.uid, PodIdentity(meta.uid, meta.namespace, meta.name))
        self.states = {uid: PodState(identity) for uid, identity in identities.items()}
        for pod in copies:
            self.states[pod.metadata.uid].pod = pod
            self.states[pod.metadata.uid].unsaved = False
        engine_watch.populate(self.states, sandboxes, containers, now)
        for state in self.states.values():
            sandbox = state.sandbox
            if sandbox is None or not sandbox.running or sandbox.host_network:
                continue
            state.address = addresses.get(sandbox.id, "")
            if not state.address:  # its link is gone: better another address than none
                state.address = await tools.network.attach(state.identity, sandbox.id, sandbox.process_id)
        for sandbox in sandboxes:
            if sandbox.pod is None:
                warm = WarmSandbox(sandbox, addresses.get(sandbox.id, ""))
                if sandbox.running and warm.address:
                    tools.pool.put(warm)
                    tools.pool.arrived(now.monotonic)  # as many were wanted lately: keep them for a while
                else:
                    await discard(tools, warm)
        logger.info(
            "adopted what runs here",
            extra={"pods": len(self.states), "containers": len(containers), "warm": len(tools.pool)},
        )

    def start(self, cache: Cache[Pod], patience: float = OFFLINE_AFTER) -> None:
        """Start every service; pods come from ``cache``, which a reflector feeds.

        After ``patience`` seconds without the server's first list the local copies are gone by.
        """
        tools, service = self.tools, self._supervisor.service
        service("pods", self._serve())
        service("pod status", tools.reports.run())
        service("pod events", tools.events.run())
        service("engine events", self._engine.follow())
        service("full looks", self._engine.look_around())
        service("volume refresh", self._refresh_volumes())
        service("server's first list", self._await_sync(cache, patience))
        service("resizes that wait", self._allocations.run(self.wake))
        if self._settings.warm_pool > 0:
            service("warm sandboxes", self._warming.run(tools))
        cache.add_handler(self._changed)

    def wake(self, uid: str) -> None:
        """Have a pod looked at soon."""
        if uid in self.states:
            self._queue.add(uid)
            metrics.QUEUE_DEPTH.set(len(self._queue))

    def images_in_use(self) -> set[str]:
        """Ids of the images that containers are made of, or are about to be."""
        found = {info.image_id for state in self.states.values() for info in state.containers.values()}
        return found | {pull.image_id for state in self.states.values() for pull in state.pulls.values()} - {""}

    # --- what the node ends

    def wanted(self) -> list[Pod]:
        """The pods that are to run here and have not ended."""
        return [state.pod for state in self.states.values() if state.pod is not None and state.ending is None]

    def end(self, uid: str, ending: Ending, event: str) -> None:
        """End a pod, and tell it with a warning of reason ``event``."""
        state = self.states.get(uid)
        if state is not None and state.pod is not None and state.ending is None:
            state.ending = ending
            self.tools.events.warning(state.pod, event, ending.message)
            self.wake(uid)

    def is_stopped(self, uid: str) -> bool:
        """Whether nothing of a pod runs any more."""
        state = self.states.get(uid)
        return state is None or all(info.state is not State.RUNNING for info in state.containers.values())

    def close(self) -> None:
        """Refuse pods that come from now on: the host shuts down."""
        self._closed = True

    async def stopped(self, uids: Iterable[str]) -> None:
        """Return once nothing of these pods runs any more."""
        waiting = set(uids)
        while waiting := {uid for uid in waiting if not self.is_stopped(uid)}:
            self._worked.clear()
            await self._worked.wait()

    async def told(self, uids: Iterable[str], timeout: float) -> None:
        """Return once the server knows the status of these pods and their events, or after ``timeout`` seconds."""
        tools = self.tools
        await asyncio.gather(tools.events.flush(timeout), *(tools.reports.flush(uid, timeout) for uid in uids))

    # --- pods out of files

    def run_static(self, pod: Pod) -> None:
        """Run a pod of this host's own. Its uid is not that of its mirror."""
        meta = pod.metadata
        state = self.states.setdefault(meta.uid, PodState(PodIdentity(meta.uid, meta.namespace, meta.name)))
        state.pod, state.static, state.authoritative, state.unsaved = pod, True, True, True
        state.cleaned = state.deleted = False
        self.wake(meta.uid)

    def drop_static(self, uid: str) -> None:
        """End one: its file is gone."""
        state = self.states.get(uid)
        if state is not None:
            state.pod, state.authoritative = None, True
            self.wake(uid)

    def _mirrored(self, old: Pod | None, new: Pod | None) -> bool:
        """Whether a change is one of a mirror, which says how the API shows a static pod and is not run."""
        found = False
        for pod, shown in ((old, None), (new, new)):
            uid = pod.metadata.annotations.get(MIRROR) if pod is not None else None
            if uid is None or pod is None:
                continue
            found = True
            if shown is None:
                self.tools.reports.forget(pod.metadata.uid)
            if (state := self.states.get(uid)) is not None and state.static:
                state.mirror = shown
                self.wake(uid)
        return found

    # --- what is wanted

    def _changed(self, old: Pod | None, new: Pod | None) -> None:
        if self._mirrored(old, new):
            return
        if old is not None and (new is None or new.metadata.uid != old.metadata.uid):
            state = self.states.get(old.metadata.uid)
            if state is not None:
                state.pod, state.authoritative = None, True
                self.wake(old.metadata.uid)
        if new is not None:
            self._wanted(new)

    def _wanted(self, pod: Pod) -> None:
        tools, meta = self.tools, pod.metadata
        state = self.states.get(meta.uid)
        if state is None:
            state = PodState(PodIdentity(meta.uid, meta.namespace, meta.name))
            state.first_seen = tools.clock.monotonic()
            self.states[meta.uid] = state
            self._measure_seen(pod)
            if pod.status.start_time is None:
                self._admit(state, pod)
        pod = self._allocations.settle(state, pod)
        if not state.authoritative:
            state.learn_status(pod, tools.now())
        if state.pod is None or not same_checkpoint(state.pod, pod):
            state.unsaved = True
        if meta.deletion_timestamp is None:
            state.cleaned = state.deleted = False
        state.pod, state.authoritative = pod, True
        self.wake(meta.uid)

    def _admit(self, state: PodState, pod: Pod) -> None:
        """Refuse a pod that this node cannot take: it has Failed before anything of it ran."""
        if self._closed:
            state.ending = Ending("NodeShutdown", REFUSED, state.first_seen)
        elif (refused := self.refuses(pod)) is not None:
            state.ending = refused
            self.tools.events.warning(pod, refused.reason, refused.message)
        elif (forbidden := refusal(pod, self._abilities)) is not None:
            text = f"Pod was rejected: {forbidden.message}"
            state.ending = Ending(forbidden.reason, text, state.first_seen)
            self.tools.events.warning(pod, forbidden.reason, forbidden.message)

    def _measure_seen(self, pod: Pod) -> None:
        bound = next((c.last_transition_time for c in pod.status.conditions if c.type == "PodScheduled"), None)
        if bound is not None and pod.status.start_time is None:
            seconds = (self.tools.clock.now() - bound).total_seconds()
            metrics.START_SECONDS.labels("seen").observe(max(0.0, seconds))

    async def _await_sync(self, cache: Cache[Pod], patience: float) -> None:
        """Once the server has listed its pods, what it does not list is to go; while it cannot be reached, the local
        copies are what is wanted."""
        try:
            async with asyncio.timeout(patience):
                await cache.synced.wait()
        except TimeoutError:
            logger.warning("the server is away; going by the local copies", extra={"pods": len(self.states)})
            for uid, state in self.states.items():
                state.offline = True
                self.wake(uid)
            await cache.synced.wait()
        self._synced = True
        known = {pod.metadata.uid for pod in cache}
        for uid, state in self.states.items():
            if uid not in known and not state.authoritative:
                logger.info("a pod is gone from the server", extra={"uid": uid, "pod": state.identity.name})
                state.pod, state.authoritative = None, True
                self.wake(uid)
        await self.tools.objects.keep_only(list(cache))

    # --- workers

    async def _serve(self) -> None:
        while True:
            await self._slots.acquire()
            uid, waited = await self._queue.take()
            metrics.QUEUE_SECONDS.observe(waited)
            metrics.QUEUE_DEPTH.set(len(self._queue))
            self._active += 1
            self._idle.clear()
            self._supervisor.spawn(f"pod {uid}", self._work(uid))

    async def _work(self, uid: str) -> None:
        try:
            state = self.states.get(uid)
            if state is None:
                return
            try:
                delay = await self._worker.run(state)
            except Exception:
                logger.exception("a pod's worker failed", extra={"uid": uid})
                self._queue.retry(uid)
                return
            self._queue.forget(uid)
            if state.pod is None and state.cleaned:
                self._forget(uid, state)
            elif delay is not None:
                self._queue.add_after(uid, max(0.05, delay))
        finally:
            self._queue.done(uid)
            self._slots.release()
            self._allocations.something_changed()
            self._active -= 1
            self._worked.set()
            if self._active == 0 and len(self._queue) == 0:
                self._idle.set()

    def _forget(self, uid: str, state: PodState) -> None:
        """The pod is gone, here and on the server."""
        if self.states.get(uid) is state:
            del self.states[uid]
        self.tools.reports.forget(uid)
        if state.counted_running:
            metrics.RUNNING_PODS.dec()

    async def look(self) -> None:
        """See ``EngineFollower``. Raises RuntimeFailure."""
        await self._engine.look()

    # --- probes and volumes

    def _verdict(self, verdict: Verdict) -> None:
        state = self.states.get(verdict.pod_uid)
        if state is not None and apply_verdict(state, verdict):
            self.wake(verdict.pod_uid)

    def _probe_failed(self, pod: Pod, container: Container, kind: ProbeKind, output: str) -> None:
        self.tools.events.warning(pod, "Unhealthy", f"{kind} probe failed: {output}", container.name)

    async def _refresh_volumes(self) -> None:
        """Have files of ConfigMaps, Secrets and tokens brought up to date, by the workers of their pods."""
        while True:
            await asyncio.sleep(self._settings.volume_refresh * self._rng.uniform(0.9, 1.1))
            for uid, state in list(self.states.items()):
                pod = state.pod
                if pod is not None and state.volumes_ready and any(is_object_volume(v) for v in pod.spec.volumes):
                    state.refresh_due = True
                    self.wake(uid)

"""What a worker remembers of one pod between two decisions; ``picture`` freezes it for ``decide`` and ``status``.

Everything here can be learned again from the engine and the server (``absorb``), but for back-off and probe results,
which begin anew. Only the event loop touches it: the pod's worker, and the handlers of events, which only set flags
and single values. No I/O.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from agent.pods.observed import CrashBackoff, Ending, Failure, Health, Moment, Observed, Pull, Resize
from agent.pods.restarts import adopted_backoff, deletion_deadline, monotonic_of
from agent.runtime.base import ContainerInfo, PodIdentity, Resources, Sandbox, State
from shared.api.meta import JSON
from shared.api.pod import ContainerStatus, Pod

VANISHED_EXIT_CODE = 137
"""Exit code that the kubelet reports of a container that is gone without a trace."""


@dataclass(slots=True)
class PodState:
    """One pod. ``pod`` is None when no object is known for what runs here."""

    identity: PodIdentity
    pod: Pod | None = None
    authoritative: bool = False
    """The server has said whether the pod exists; until then nothing of it is stopped for lack of an object."""
    offline: bool = False
    """The server is away: until it is back, the local copy of the object is what holds."""
    refresh_due: bool = False
    """Files of ConfigMaps and Secrets may be out of date."""
    sandbox: Sandbox | None = None
    old_sandboxes: list[Sandbox] = field(default_factory=list)
    address: str = ""
    containers: dict[str, ContainerInfo] = field(default_factory=dict)
    ended: dict[str, float] = field(default_factory=dict)
    start_errors: dict[str, str] = field(default_factory=dict)
    vanished: set[str] = field(default_factory=set)
    health: dict[str, Health] = field(default_factory=dict)
    backoffs: dict[str, CrashBackoff] = field(default_factory=dict)
    failures: dict[str, Failure] = field(default_factory=dict)
    pulls: dict[str, Pull] = field(default_factory=dict)
    killed: dict[str, str] = field(default_factory=dict)
    stopping: dict[str, float] = field(default_factory=dict)
    volumes_ready: bool = False
    published: bool = False
    cleaned: bool = False
    deleted: bool = False
    ending: Ending | None = None
    post_start: set[str] = field(default_factory=set)
    post_start_failed: set[str] = field(default_factory=set)
    pre_stopped: set[str] = field(default_factory=set)
    """Containers whose preStop hook has begun: it is run once."""
    desired: Pod | None = None
    """The object as it is wanted, where it asks for other resources than this node has set aside: those ``pod`` has."""
    resize: Resize = Resize()
    asked: dict[str, Resources] = field(default_factory=dict)
    static: bool = False
    """The pod is this host's own, out of a file."""
    mirror: Pod | None = None
    """What the API shows of a static pod."""
    traceless: bool = False
    """No container that was started may have changed the sandbox for good; false where that is not known."""
    stale: bool = False
    """The engine is to be asked again before the next decision."""
    starting: set[str] = field(default_factory=set)
    """Containers that a start call is under way for: their start events are no news."""
    unsaved: bool = True
    """The local copy of the object is older than the object."""
    reported: JSON | None = None
    announced: set[str] = field(default_factory=set)
    """Ended containers whose back-off an event has told."""
    first_seen: float = 0.0
    counted_running: bool = False
    started_once: bool = False
    _deadline: float | None = None
    _deadline_for: tuple[object, object] | None = None

    def picture(self, now: Moment) -> Observed:
        """How things stand, frozen."""
        return Observed(
            sandbox=self.sandbox,
            old_sandboxes=tuple(self.old_sandboxes),
            address=self.address,
            containers=tuple(self.containers.values()),
            ended=dict(self.ended),
            start_errors=dict(self.start_errors),
            vanished=frozenset(self.vanished),
            health=dict(self.health),
            backoffs=dict(self.backoffs),
            failures=dict(self.failures),
            pulls=dict(self.pulls),
            killed=dict(self.killed),
            stopping=dict(self.stopping),
            deletion_deadline=self._grace(now),
            volumes_ready=self.volumes_ready,
            published=self.published,
            cleaned=self.cleaned,
            deleted=self.deleted,
            ending=self.ending,
            post_start=frozenset(self.post_start),
            post_start_failed=frozenset(self.post_start_failed),
            resize=self.resize,
            asked=dict(self.asked),
        )

    def _grace(self, now: Moment) -> float | None:
        """The deadline of the deletion, worked out anew only when the object says something new of it."""
        if self.pod is None or self.pod.metadata.deletion_timestamp is None:
            return None
        meta = self.pod.metadata
        said = (meta.deletion_timestamp, meta.deletion_grace_period_seconds)
        if said != self._deadline_for:
            self._deadline, self._deadline_for = deletion_deadline(self.pod, now, self._deadline), said
        return self._deadline

    # --- learning from the engine

    def absorb(self, listed: Iterable[ContainerInfo], now: Moment) -> None:
        """Take over what the engine says of the pod's containers."""
        found = {info.id: info for info in listed}
        for container_id, known in list(self.containers.items()):
            if container_id not in found and container_id not in self.vanished:
                self._lose(known, now)
        for info in found.values():
            self.containers[info.id] = info
            self.vanished.discard(info.id)
            if info.state is State.EXITED:
                self._end(info, now)
            elif info.state is State.CREATED and info.error:
                self.start_errors.setdefault(info.id, info.error)
                self.ended.setdefault(info.id, now.monotonic)
        self.prune()

    def adopt(self, listed: Iterable[ContainerInfo], now: Moment) -> None:
        """``absorb`` for the first time: restarts before this agent began count for the back-off."""
        self.absorb(listed, now)
        for name in {info.name for info in self.containers.values()}:
            latest = self.latest(name)
            if latest is not None and (entry := adopted_backoff(latest, now)) is not None:
                self.backoffs[name] = entry

    def learn_status(self, pod: Pod, now: Moment) -> None:
        """Take over from the object's status, the first time that the server shows it, what an earlier agent knew:
        health of containers, and containers that are gone."""
        inits = {container.name for container in pod.spec.init_containers}
        for status in (*pod.status.init_container_statuses, *pod.status.container_statuses):
            self._adopt_status(status, status.name in inits, now)

    def _adopt_status(self, status: ContainerStatus, init: bool, now: Moment) -> None:
        container_id = status.container_id.removeprefix("docker://")
        if not container_id:
            return
        if container_id in self.containers:
            # Ready before the agent went away is ready until a probe says otherwise: its restart must not take
            # the pod out of its services.
            told = Health(startup=status.started or None, readiness=status.ready or None)
            self.health.setdefault(container_id, told)
            return
        if any(info.attempt >= status.restart_count for info in self.containers.values() if info.name == status.name):
            return
        ended = status.state.terminated
        self.containers[container_id] = ContainerInfo(
            id=container_id,
            pod=self.identity,
            name=status.name,
            attempt=status.restart_count,
            sandbox_id=self.sandbox.id if self.sandbox is not None else "",
            state=State.EXITED,
            image=status.image,
            image_id=status.image_id.removeprefix("docker://"),
            created_at=now.wall,
            started_at=ended.started_at if ended is not None else None,
            finished_at=ended.finished_at if ended is not None else now.wall,
            exit_code=ended.exit_code if ended is not None else VANISHED_EXIT_CODE,
            init=init,
        )
        self.vanished.add(container_id)
        self.ended[container_id] = now.monotonic

    def _lose(self, known: ContainerInfo, now: Moment) -> None:
        """A container was removed behind our back; the latest of its name stays, as ended."""
        if known.state is not State.EXITED:
            known = replace(known, state=State.EXITED, exit_code=VANISHED_EXIT_CODE, finished_at=now.wall, error="")
        self.containers[known.id] = known
        self.vanished.add(known.id)
        self._end(known, now)

    def _end(self, info: ContainerInfo, now: Moment) -> None:
        self.stopping.pop(info.id, None)
        self.health.pop(info.id, None)
        self._forget_hooks(info.id)
        if info.id not in self.ended:
            self.ended[info.id] = monotonic_of(info.finished_at, now) if info.finished_at else now.monotonic

    # --- own doings

    def latest(self, name: str) -> ContainerInfo | None:
        """The latest instance of the container ``name``."""
        found = [info for info in self.containers.values() if info.name == name]
        return max(found, key=lambda info: (info.attempt, info.created_at), default=None)

    def forget(self, container_id: str) -> ContainerInfo | None:
        """Drop a container that is being removed by us."""
        info = self.containers.pop(container_id, None)
        for known in (self.ended, self.start_errors, self.health, self.killed, self.stopping, self.asked):
            known.pop(container_id, None)
        self.vanished.discard(container_id)
        self.announced.discard(container_id)
        self._forget_hooks(container_id)
        return info

    def _forget_hooks(self, container_id: str) -> None:
        for known in (self.post_start, self.post_start_failed, self.pre_stopped):
            known.discard(container_id)

    def prune(self) -> None:
        """Forget containers that vanished and are not among the two latest of their name."""
        for name in {info.name for info in self.containers.values()}:
            instances = sorted(
                (info for info in self.containers.values() if info.name == name),
                key=lambda info: (info.attempt, info.created_at),
                reverse=True,
            )
            for info in instances[2:]:
                if info.id in self.vanished:
                    self.forget(info.id)

    def differs(self, listed: Iterable[ContainerInfo]) -> bool:
        """Whether the engine says something else of the containers than what is known."""
        found = {info.id: info.state for info in listed}
        known = {i.id: i.state for i in self.containers.values() if i.id not in self.vanished}
        return found != known

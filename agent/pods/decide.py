"""What to do about one pod: ``decide(pod, seen, now)`` gives the next steps. Pure, no I/O, no clock of its own.

Level-based: it looks at how things stand, not at what happened, so it may be asked at any time and again after a
crash, and asked with nothing left to do it says nothing. The order of things is the kubelet's
(pkg/kubelet/kuberuntime computePodActions, pkg/kubelet/pod_workers.go).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from agent.network.base import PortMapping
from agent.pods.hostnames import pod_hostname
from agent.pods.observed import (
    POD,
    TEARDOWN,
    Failure,
    Moment,
    Observed,
    PullState,
    has,
    is_sidecar,
    resize_key,
    spec_hash,
)
from agent.pods.phase import is_finished
from agent.pods.plan import (
    CleanUp,
    DeletePodObject,
    EnsureImage,
    EnsureSandbox,
    Plan,
    PrepareVolumes,
    PublishPorts,
    RemoveContainers,
    RemoveSandboxes,
    ResizeContainer,
    StartContainer,
    Step,
    StopContainers,
)
from agent.pods.resizes import needs_restart
from agent.pods.resources import container_resources
from agent.pods.restarts import (
    PULL_ERROR_SHOWN,
    RESIZED,
    SPEC_CHANGED,
    UNHEALTHY,
    active_seconds_left,
    waits,
    wants_restart,
)
from agent.pods.security import needs_own_sandbox
from agent.runtime.base import ContainerInfo, State
from shared.api.pod import Container, EphemeralContainer, Pod

KEPT_INSTANCES = 2
"""Instances of a container that are kept: the latest, and the one before for ``kubectl logs --previous``."""
KILL_MARGIN = 2.0
"""Seconds that the engine has for the kill at the end of a grace, before the container is removed by force."""


def decide(pod: Pod | None, seen: Observed, now: Moment) -> Plan:
    """The plan for a pod; ``pod`` is None when its object is gone from the server."""
    if pod is None:
        return _vanish(seen, now)
    if pod.metadata.deletion_timestamp is not None:
        return _terminate(pod, seen, now)
    if is_finished(pod, seen):
        return _finish(pod, seen, now)
    return _Living(pod, seen, now).plan()


def takes_warm_sandbox(pod: Pod) -> bool:
    """Whether a sandbox that was made before its pod was known will do.

    Its hostname is not the pod's, so a pod whose hostname others rely on never takes one; and the kernel's settings
    in its namespaces are the host's.
    """
    if pod.spec.host_network or pod.spec.hostname or pod.spec.subdomain or needs_own_sandbox(pod):
        return False
    return all(owner.kind != "StatefulSet" for owner in pod.metadata.owner_references)


def host_ports(pod: Pod) -> tuple[PortMapping, ...]:
    """Ports of the host that the pod asks for; none on the host's own network, where they are open anyway."""
    if pod.spec.host_network:
        return ()
    containers = (*pod.spec.containers, *(c for c in pod.spec.init_containers if is_sidecar(c)))
    return tuple(
        PortMapping(port.host_port, port.container_port, port.protocol, port.host_ip)
        for container in containers
        for port in container.ports
        if port.host_port
    )


# --- pods that end ------------------------------------------------------------------------------------------


def _vanish(seen: Observed, now: Moment) -> Plan:
    """The object is gone: nobody waits for anything any more."""
    if seen.cleaned:
        return Plan()
    if (wait := _teardown_wait(seen, now)) > 0:
        return Plan((), wait)
    return Plan((*_removals(seen), CleanUp()))


def _teardown_wait(seen: Observed, now: Moment) -> float:
    """Seconds for which a failed removal is left alone."""
    failure = seen.failures.get(TEARDOWN)
    return failure.until - now.monotonic if failure is not None else 0.0


def _terminate(pod: Pod, seen: Observed, now: Moment) -> Plan:
    """Stop everything within the grace that is left (sidecars last), remove it, then let the object go."""
    if seen.deleted:
        return Plan()
    deadline = seen.deletion_deadline if seen.deletion_deadline is not None else now.monotonic
    running = [info for info in seen.containers if info.state is State.RUNNING]
    stopping = running and all(seen.stopping.get(info.id, float("inf")) <= deadline + 0.5 for info in running)
    if running and (deadline > now.monotonic or (stopping and now.monotonic < deadline + KILL_MARGIN)):
        return Plan(tuple(_stops(_turn(pod, running), seen, now, deadline)), deadline + KILL_MARGIN - now.monotonic)
    if (wait := _teardown_wait(seen, now)) > 0:
        return Plan((), wait)
    steps: list[Step] = [] if seen.cleaned else [*_removals(seen), CleanUp()]
    return Plan((*steps, DeletePodObject(pod.metadata.uid)))


def _finish(pod: Pod, seen: Observed, now: Moment) -> Plan:
    """Succeeded or Failed: containers stay for their logs, the sandbox and its address are given back."""
    running = [info for info in seen.containers if info.state is State.RUNNING]
    if running:
        deadline = now.monotonic + pod.spec.termination_grace_period_seconds
        if seen.ending is not None:
            deadline = seen.ending.deadline
        idle = [info for info in _turn(pod, running) if info.id not in seen.stopping]
        return Plan(tuple(_stops(idle, seen, now, deadline)))
    sandboxes = _sandbox_ids(seen)
    return Plan((RemoveSandboxes(sandboxes),) if sandboxes else ())


def _turn(pod: Pod, running: Sequence[ContainerInfo]) -> Sequence[ContainerInfo]:
    """What of a pod that ends is to be stopped next: sidecars after the others, the last of them first (KEP-753)."""
    order = [container.name for container in pod.spec.init_containers if is_sidecar(container)]
    if others := [info for info in running if info.name not in order]:
        return others
    last = max(running, key=lambda info: order.index(info.name))
    return [info for info in running if info.name == last.name]


def _removals(seen: Observed) -> Iterator[Step]:
    containers = tuple(info.id for info in seen.containers if info.id not in seen.vanished)
    if containers:
        yield RemoveContainers(containers)
    if sandboxes := _sandbox_ids(seen):
        yield RemoveSandboxes(sandboxes)


def _sandbox_ids(seen: Observed) -> tuple[str, ...]:
    current = (seen.sandbox,) if seen.sandbox is not None else ()
    return tuple(sandbox.id for sandbox in (*current, *seen.old_sandboxes))


def _stops(
    running: Iterable[ContainerInfo], seen: Observed, now: Moment, deadline: float, message: str = "", reason: str = ""
) -> Iterator[Step]:
    """Stop what is not being stopped by ``deadline`` already (half a second later counts as the same)."""
    grace = max(0.0, deadline - now.monotonic)
    ids = tuple(info.id for info in running if seen.stopping.get(info.id, float("inf")) > deadline + 0.5)
    if ids:
        yield StopContainers(ids, round(grace, 3), message, reason)


# --- pods that live -----------------------------------------------------------------------------------------


class _Living:
    """One decision about a pod that is to run; collects steps and the earliest time to look again."""

    def __init__(self, pod: Pod, seen: Observed, now: Moment) -> None:
        self.pod, self.seen, self.now = pod, seen, now
        self.steps: list[Step] = []
        self.wakes: list[float] = []

    def plan(self) -> Plan:
        if self._sandbox():
            for added in self.pod.spec.ephemeral_containers:  # whether or not the others get on (KEP-277)
                self._ephemeral(added)
            if self._init_containers():
                for container in self.pod.spec.containers:
                    self._container(container)
                    if self._holds(container):
                        break
            self._remove_old_instances()
        if (left := active_seconds_left(self.pod, self.now)) is not None:
            self.wakes.append(max(0.0, left))
        return Plan(tuple(self.steps), min(self.wakes) if self.wakes else None)

    def _sandbox(self) -> bool:
        """Whether the sandbox is there to join; if not, the steps that get one."""
        pod, seen = self.pod, self.seen
        sandbox = seen.ready_sandbox()
        strays = [
            info
            for info in seen.containers
            if info.state is State.RUNNING and (sandbox is None or info.sandbox_id != sandbox.id)
        ]
        if strays:  # their sandbox died: they hold a network namespace that is nobody's
            self._stop(strays, pod.spec.termination_grace_period_seconds, UNHEALTHY, "")
            return False
        dead = tuple(s.id for s in (seen.sandbox, *seen.old_sandboxes) if s is not None and s is not sandbox)
        if dead and not self._held_back(seen.failures.get(TEARDOWN)):
            self.steps.append(RemoveSandboxes(dead))
        if sandbox is not None:
            if not seen.published and (ports := host_ports(pod)):
                self.steps.append(PublishPorts(ports))
            return True
        if self._held_back(seen.failures.get(POD)):
            return False
        if not seen.volumes_ready:
            self.steps.append(PrepareVolumes())
        self.steps.append(EnsureSandbox(pod_hostname(pod), pod.spec.host_network, takes_warm_sandbox(pod)))
        return False

    def _init_containers(self) -> bool:
        """Go through the init containers in order; whether the others may run."""
        sandbox = self.seen.ready_sandbox()
        assert sandbox is not None
        mains = {container.name for container in self.pod.spec.containers}
        initialized = any(i.name in mains and i.sandbox_id == sandbox.id for i in self.seen.containers)
        for container in self.pod.spec.init_containers:
            latest = self.seen.latest(container.name)
            here = latest is not None and latest.sandbox_id == sandbox.id
            if is_sidecar(container):
                self._container(container, init=True)
                if not initialized and not (latest and here and self._started(container, latest)):
                    return False
                continue
            if initialized:
                continue
            if latest is None or not here:
                self._start(container, latest, init=True)
                return False
            if not self.seen.has_ended(latest):
                if latest.state is State.CREATED:
                    self._start(container, latest, init=True)
                elif not has(latest, container_resources(container), self.seen):
                    self._resize(container, latest)
                return False
            if self.seen.exit_code(latest) == 0:
                continue
            if wants_restart(self.pod, container, latest, self.seen):
                self._start(container, latest, init=True)
            return False
        return True

    def _started(self, container: Container, info: ContainerInfo) -> bool:
        health = self.seen.health.get(info.id)
        return self.seen.runs(info) and (
            container.startup_probe is None or (health is not None and health.startup is True)
        )

    def _holds(self, container: Container) -> bool:
        """Whether the containers after this one wait for its postStart hook, as the kubelet starts them in turn.
        One that cannot be started holds up nobody."""
        if container.lifecycle is None or container.lifecycle.post_start is None:
            return False
        latest = self.seen.latest(container.name)
        if latest is None or not self.seen.has_ended(latest):
            return container.name not in self.seen.failures and (latest is None or not self.seen.runs(latest))
        return False

    def _container(self, container: Container, init: bool = False) -> None:
        latest = self.seen.latest(container.name)
        if latest is None:
            self._start(container, None, init)
        elif self.seen.has_ended(latest):
            if wants_restart(self.pod, container, latest, self.seen):
                self._start(container, latest, init)
        elif latest.state is State.CREATED:
            self._start(container, latest, init)
        else:
            self._running(container, latest)

    def _ephemeral(self, container: EphemeralContainer) -> None:
        """Started once, and never again."""
        latest = self.seen.latest(container.name)
        if latest is None or (latest.state is State.CREATED and not self.seen.has_ended(latest)):
            self._start(container, latest, init=False)

    def _running(self, container: Container, info: ContainerInfo) -> None:
        """Stop a running container that is not what it should be, or not well."""
        if info.id in self.seen.stopping:
            return
        grace = self.pod.spec.termination_grace_period_seconds
        if info.id in self.seen.post_start_failed:
            self._stop([info], grace, "", "FailedPostStartHook")
            return
        health = self.seen.health.get(info.id)
        for probe, verdict, name in (
            (container.startup_probe, health and health.startup, "startup"),
            (container.liveness_probe, health and health.liveness, "liveness"),
        ):
            if probe is not None and verdict is False:
                own = probe.termination_grace_period_seconds
                message = f"Container {container.name} failed {name} probe, will be restarted"
                self._stop([info], grace if own is None else own, UNHEALTHY, message)
                return
        if info.spec_hash != spec_hash(container):
            message = f"Container {container.name} definition changed, will be restarted"
            self._stop([info], grace, SPEC_CHANGED, message)
        elif not has(info, container_resources(container), self.seen):
            self._resize(container, info)

    def _resize(self, container: Container, info: ContainerInfo) -> None:
        """Give a running container its resources, by a restart where it wants that."""
        if needs_restart(container, info):
            message = f"Container {container.name} resize requires restart"
            self._stop([info], self.pod.spec.termination_grace_period_seconds, RESIZED, message)
        elif not self._held_back(self.seen.failures.get(resize_key(container.name))):
            self.steps.append(ResizeContainer(container.name, info.id))

    def _start(self, container: Container, latest: ContainerInfo | None, init: bool) -> None:
        """Start the next attempt, or what was created and not started, once nothing holds it back."""
        seen, sandbox = self.seen, self.seen.ready_sandbox()
        assert sandbox is not None
        digest = spec_hash(container)
        if self._held_back(seen.failures.get(container.name), digest):
            return
        if latest is not None and not seen.has_ended(latest):
            if latest.sandbox_id == sandbox.id and latest.spec_hash == digest:
                self.steps.append(StartContainer(container.name, latest.attempt, init, existing=latest.id))
                return
            self.steps.append(RemoveContainers((latest.id,)))
        elif latest is not None and (wait := waits(seen, latest, self.now)) > 0:
            self.wakes.append(wait)
            return
        attempt = 0 if latest is None else latest.attempt + 1
        pull = seen.pulls.get(container.name)
        if pull is None or pull.attempt != attempt or pull.image != container.image:
            self.steps.append(EnsureImage(container.name, attempt, container.image, container.image_pull_policy))
        elif pull.state is PullState.PENDING:
            return
        self.steps.append(StartContainer(container.name, attempt, init))

    def _held_back(self, failure: Failure | None, digest: str = "") -> bool:
        """Whether a failed step is to be left alone for now; then says when to look again."""
        if failure is None or failure.until <= self.now.monotonic or failure.subject != digest:
            return False
        self.wakes.append(failure.until - self.now.monotonic)
        if failure.reason == "ErrImagePull":  # its status turns into ImagePullBackOff in between
            shown = failure.since + PULL_ERROR_SHOWN - self.now.monotonic
            if shown > 0:
                self.wakes.append(shown)
        return True

    def _stop(self, infos: list[ContainerInfo], grace: float, reason: str, message: str) -> None:
        deadline = self.now.monotonic + grace
        idle = [info for info in infos if info.id not in self.seen.stopping]
        self.steps.extend(_stops(idle, self.seen, self.now, deadline, message, reason))

    def _remove_old_instances(self) -> None:
        old: list[str] = []
        for name in {info.name for info in self.seen.containers}:
            instances = self.seen.instances(name)
            ended = [info for info in instances[KEPT_INSTANCES:] if info.state is not State.RUNNING]
            old.extend(info.id for info in ended if info.id not in self.seen.vanished)
        if old and not self._held_back(self.seen.failures.get(TEARDOWN)):
            self.steps.append(RemoveContainers(tuple(sorted(old))))

"""Whether and when a container is started again: restart policy, crash back-off, grace. Pure.

Rules are the kubelet's (pkg/kubelet/container/helpers.go ShouldContainerBeRestarted, kuberuntime doBackOff,
client-go util/flowcontrol/backoff.go). Durations are seconds on the monotonic clock.
"""

from __future__ import annotations

from datetime import datetime

from agent.pods.observed import CrashBackoff, Moment, Observed, is_sidecar
from agent.runtime.base import ContainerInfo
from shared.api.pod import Container, EphemeralContainer, Pod
from shared.work.backoff import Backoff

CRASH_BASE = 10.0
"""Seconds of the first back-off (MaxContainerBackOff and its base: the kubelet's backOffPeriod)."""
CRASH_CAP = 300.0
"""Seconds that the back-off never exceeds."""
CRASH_RESET = 2 * CRASH_CAP
"""Seconds after which a container that kept running begins with no back-off (the kubelet: twice the cap)."""

PULL_BACKOFF = Backoff(10.0, 300.0, 0.0)
"""Seconds between pulls of an image that cannot be pulled."""
STEP_BACKOFF = Backoff(1.0, 30.0, 0.1)
"""Seconds between attempts of any other step that failed; short, so that it heals soon after its cause goes."""
PULL_ERROR_SHOWN = 2.0
"""Seconds for which a failed pull shows as ErrImagePull before it shows as ImagePullBackOff."""

SPEC_CHANGED = "SpecChanged"
"""Why a container was killed: its image in the pod's spec changed; it restarts whatever the policy."""
RESIZED = "Resized"
"""Why a container was killed: its resizePolicy wants a restart for what its resources are now; as with its image."""
UNHEALTHY = "Unhealthy"
"""Why a container was killed: its liveness or startup probe failed."""


def wants_restart(pod: Pod, container: Container, info: ContainerInfo, seen: Observed) -> bool:
    """Whether an ended container is to run again, by the restart policy of its pod (or its own, as a sidecar); an
    ephemeral one never does."""
    if isinstance(container, EphemeralContainer):
        return False
    if is_sidecar(container):
        return True
    if seen.killed.get(info.id) in (SPEC_CHANGED, RESIZED):
        return True
    if pod.spec.restart_policy == "Never":
        return False
    if pod.spec.restart_policy == "OnFailure" or info.init:
        return seen.exit_code(info) != 0 or info.id in seen.killed
    return True


def remaining(entry: CrashBackoff | None, ended: float, now: float) -> float:
    """Seconds that a container which ended at ``ended`` still has to wait; 0 when it may start."""
    if entry is None or ended - entry.updated > CRASH_RESET:
        return 0.0
    return max(0.0, min(entry.delay, ended + entry.delay - now))


def after_restart(entry: CrashBackoff | None, ended: float, now: float) -> CrashBackoff:
    """The back-off that the *next* crash will meet, once a restart is made at ``now``: 10 s, doubled each time."""
    if entry is None or ended - entry.updated > CRASH_RESET:
        return CrashBackoff(CRASH_BASE, now)
    return CrashBackoff(min(CRASH_CAP, entry.delay * 2), now)


def waits(seen: Observed, info: ContainerInfo, now: Moment) -> float:
    """Seconds of crash back-off left for the ended container ``info``."""
    return remaining(seen.backoffs.get(info.name), seen.ended.get(info.id, now.monotonic), now.monotonic)


def adopted_backoff(info: ContainerInfo, now: Moment) -> CrashBackoff | None:
    """The back-off of a container that was restarted before this agent began: what its attempts add up to."""
    if info.attempt == 0:
        return None
    delay = min(CRASH_CAP, CRASH_BASE * 2.0 ** min(info.attempt - 1, 16))
    started = info.started_at or info.created_at
    return CrashBackoff(delay, monotonic_of(started, now))


def monotonic_of(when: datetime, now: Moment) -> float:
    """``when`` (wall, not in the future) on the monotonic clock; a wall clock set back cannot put it after now."""
    return now.monotonic - max(0.0, (now.wall - when).total_seconds())


def deletion_deadline(pod: Pod, now: Moment, known: float | None) -> float | None:
    """Monotonic time at which the grace of a deletion ends; None while the pod is not being deleted.

    ``metadata.deletionTimestamp`` is the end of the grace by the server's clock: a pod deleted while this host was
    cut off has none left. It is never more than ``deletionGracePeriodSeconds`` from when we first see it, and a
    second deletion may shorten it (``known``) but not extend it.
    """
    meta = pod.metadata
    if meta.deletion_timestamp is None:
        return None
    grace = meta.deletion_grace_period_seconds
    if grace is None:
        grace = pod.spec.termination_grace_period_seconds
    left = min(float(grace), max(0.0, (meta.deletion_timestamp - now.wall).total_seconds()))
    if grace - left <= 1.5:
        left = float(grace)  # seen at once: whole seconds on the wire are no reason to shorten it
    deadline = now.monotonic + left
    return deadline if known is None else min(known, deadline)


def active_seconds_left(pod: Pod, now: Moment) -> float | None:
    """Seconds until the pod's activeDeadlineSeconds are over, counted from its start; None where it has none
    (pkg/kubelet/active_deadline.go)."""
    deadline, began = pod.spec.active_deadline_seconds, pod.status.start_time
    if deadline is None or began is None:
        return None
    return deadline - (now.wall - began).total_seconds()

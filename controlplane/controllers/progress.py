"""What a Deployment reports: counts, Available, Progressing with its deadline, and failures of its ReplicaSets.

Pure; the time is an input. The rules are those of k8s.io/kubernetes pkg/controller/deployment (progress.go,
sync.go, util/deployment_util.go). Kubernetes writes the status up to three times in a sync; here the conditions
of one sync are gathered and written once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from controlplane.controllers import conditions
from controlplane.controllers.rollout import Goal
from shared.api.apps import Deployment, DeploymentStatus, ReplicaSet
from shared.api.meta import Condition

AVAILABLE, PROGRESSING, REPLICA_FAILURE = "Available", "Progressing", "ReplicaFailure"

NEW_CREATED = "NewReplicaSetCreated"
NEW_FOUND = "FoundNewReplicaSet"
CREATE_FAILED = "ReplicaSetCreateError"
UPDATED = "ReplicaSetUpdated"
NEW_AVAILABLE = "NewReplicaSetAvailable"
TIMED_OUT = "ProgressDeadlineExceeded"
PAUSED = "DeploymentPaused"
RESUMED = "DeploymentResumed"
MINIMUM_AVAILABLE = "MinimumReplicasAvailable"
MINIMUM_UNAVAILABLE = "MinimumReplicasUnavailable"

NO_DEADLINE = 2**31 - 1
"""The progressDeadlineSeconds that stands for none."""

Conditions = tuple[Condition, ...]


def has_deadline(deployment: Deployment) -> bool:
    """Whether progress is watched at all."""
    return deployment.spec.progress_deadline_seconds != NO_DEADLINE


def progressing(known: Conditions, status: str, reason: str, message: str, now: datetime) -> Conditions:
    """``known`` with this Progressing condition; unchanged if status and reason are what they were."""
    return conditions.with_condition(known, _condition(PROGRESSING, status, reason, message, now))


def pause_or_resume(deployment: Deployment, now: datetime) -> Conditions:
    """The Deployment's conditions, Progressing Unknown if it was just paused or resumed.

    A pause keeps the deadline from passing, and the resumption starts it anew; a deadline that has passed stays.
    """
    known = deployment.status.conditions
    current = conditions.find(known, PROGRESSING)
    if not has_deadline(deployment) or (current is not None and current.reason == TIMED_OUT):
        return known
    was_paused = current is not None and current.reason == PAUSED
    if deployment.spec.paused and not was_paused:
        return progressing(known, "Unknown", PAUSED, "Deployment is paused", now)
    if not deployment.spec.paused and was_paused:
        return progressing(known, "Unknown", RESUMED, "Deployment is resumed", now)
    return known


def counted(
    deployment: Deployment,
    goal: Goal,
    new: ReplicaSet | None,
    sets: Sequence[ReplicaSet],
    known: Conditions,
    collisions: int,
    now: datetime,
) -> DeploymentStatus:
    """The counts over ``sets`` (``new`` among them), and Available (calculateStatus)."""
    available = sum(rs.status.available_replicas for rs in sets)
    if available >= goal.least:
        known = conditions.with_condition(
            known, _condition(AVAILABLE, "True", MINIMUM_AVAILABLE, "Deployment has minimum availability.", now)
        )
    else:
        message = "Deployment does not have minimum availability."
        known = conditions.with_condition(known, _condition(AVAILABLE, "False", MINIMUM_UNAVAILABLE, message, now))
    return DeploymentStatus(
        observed_generation=deployment.metadata.generation,
        replicas=sum(rs.status.replicas for rs in sets),
        updated_replicas=new.status.replicas if new is not None else 0,
        ready_replicas=sum(rs.status.ready_replicas for rs in sets),
        available_replicas=available,
        unavailable_replicas=max(0, sum(rs.spec.replicas for rs in sets) - available),
        terminating_replicas=sum(rs.status.terminating_replicas for rs in sets),
        conditions=known,
        collision_count=collisions,
    )


def judged(
    deployment: Deployment, status: DeploymentStatus, new: ReplicaSet | None, sets: Sequence[ReplicaSet], now: datetime
) -> DeploymentStatus:
    """``status`` with Progressing as the rollout deserves, and ReplicaFailure (syncRolloutStatus)."""
    known = status.conditions
    current = conditions.find(known, PROGRESSING)
    if not has_deadline(deployment):
        known = conditions.without(known, PROGRESSING)
    elif not (
        status.replicas == status.updated_replicas and current is not None and current.reason == NEW_AVAILABLE
    ):  # else there is no rollout under way, whatever becomes of its pods
        subject = f'ReplicaSet "{new.metadata.name}"' if new else f'Deployment "{deployment.metadata.name}"'
        if complete(deployment, status):
            known = progressing(known, "True", NEW_AVAILABLE, f"{subject} has successfully progressed.", now)
        elif progressed(deployment.status, status):
            # Written even if its reason is the same: its update time is when the deadline counts from.
            condition = _condition(PROGRESSING, "True", UPDATED, f"{subject} is progressing.", now)
            if current is not None and current.status == "True":
                condition = conditions.replaced(condition, last_transition_time=current.last_transition_time)
            known = (*conditions.without(known, PROGRESSING), condition)
        elif timed_out(deployment, current, now):
            known = progressing(known, "False", TIMED_OUT, f"{subject} has timed out progressing.", now)
    failure = _failure(([new] if new is not None else []), sets)
    others = conditions.without(known, REPLICA_FAILURE)
    known = others if failure is None else conditions.with_condition(known, failure)
    return _with_conditions(status, known)


def complete(deployment: Deployment, status: DeploymentStatus) -> bool:
    """Whether all replicas are new ones, are available, and no old ones are left (DeploymentComplete)."""
    replicas = deployment.spec.replicas
    counts = status.updated_replicas, status.replicas, status.available_replicas
    return counts == (replicas, replicas, replicas) and status.observed_generation >= deployment.metadata.generation


def progressed(old: DeploymentStatus, new: DeploymentStatus) -> bool:
    """Whether the rollout came nearer to its end since ``old`` (DeploymentProgressing)."""
    return (
        new.updated_replicas > old.updated_replicas
        or new.replicas - new.updated_replicas < old.replicas - old.updated_replicas
        or new.ready_replicas > old.ready_replicas
        or new.available_replicas > old.available_replicas
    )


def timed_out(deployment: Deployment, current: Condition | None, now: datetime) -> bool:
    """Whether there was no progress for progressDeadlineSeconds (DeploymentTimedOut)."""
    if current is None or current.reason == NEW_AVAILABLE:
        return False
    return current.reason == TIMED_OUT or _deadline(deployment, current, now) < now


def seconds_to_deadline(deployment: Deployment, status: DeploymentStatus, now: datetime) -> float | None:
    """Seconds until progress is to be judged again; None if nothing is under way (requeueStuckDeployment)."""
    current = conditions.find(status.conditions, PROGRESSING)
    if not has_deadline(deployment) or deployment.spec.paused or current is None:
        return None
    if complete(deployment, status) or current.reason in (TIMED_OUT, NEW_AVAILABLE):
        return None
    # A second more, as the times in conditions are whole seconds.
    return max(1.0, (_deadline(deployment, current, now) - now).total_seconds() + 1.0)


def _deadline(deployment: Deployment, current: Condition, now: datetime) -> datetime:
    since = current.last_update_time or current.last_transition_time or now
    return since + timedelta(seconds=deployment.spec.progress_deadline_seconds)


def _failure(*groups: Iterable[ReplicaSet]) -> Condition | None:
    """The first ReplicaFailure of the first group that has one, as a Deployment's condition."""
    for group in groups:
        for rs in group:
            failure = conditions.find(rs.status.conditions, REPLICA_FAILURE)
            if failure is not None:
                return conditions.replaced(failure, last_update_time=failure.last_transition_time)
    return None


def _condition(type: str, status: str, reason: str, message: str, now: datetime) -> Condition:
    # Conditions carry whole seconds; with fractions one would differ from itself read back.
    now = now.replace(microsecond=0)
    return Condition(
        type=type, status=status, reason=reason, message=message, last_update_time=now, last_transition_time=now
    )


def _with_conditions(status: DeploymentStatus, known: Conditions) -> DeploymentStatus:
    fields = {name: getattr(status, name) for name in status.__struct_fields__}
    return DeploymentStatus(**{**fields, "conditions": known})

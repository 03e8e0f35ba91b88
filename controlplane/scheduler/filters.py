"""Filters: which nodes a pod may go to, and in Kubernetes' own words why not to the others.

Pure. A filter gives the rows that it refuses, with the reason; the order, the texts and the rule that only a
node's first refusing filter is counted are those of the plugins in
k8s.io/kubernetes/pkg/scheduler/framework/plugins. A filter for one more thing is one more function in NODE_FILTERS
(what depends on the node and the pod alone) or ROOM_FILTERS (what depends on the pods that are there).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from controlplane.scheduler.requirements import PODS, Port, Requirements
from controlplane.scheduler.snapshot import NAME_FIELD, Bools, Ints, Snapshot
from controlplane.scheduler.usage import Usage
from shared.api.core import Taint
from shared.api.meta import LabelSelectorRequirement
from shared.api.pod import NodeSelector, NodeSelectorTerm, Toleration

UNSCHEDULABLE = "node(s) were unschedulable"
AFFINITY = "node(s) didn't match Pod's node affinity/selector"
PORTS = "node(s) didn't have free ports for the requested pod ports"
TOO_MANY_PODS = "Too many pods"

_UNSCHEDULABLE_TAINT = Taint(key="node.kubernetes.io/unschedulable", effect="NoSchedule")


@dataclass(frozen=True, slots=True)
class Refusal:
    """Rows that are refused for one reason."""

    reason: str
    rows: Bools


Filter = Callable[[Snapshot, Usage, Requirements], Iterator[Refusal]]


def unschedulable(snapshot: Snapshot, usage: Usage, pod: Requirements) -> Iterator[Refusal]:
    """Cordoned nodes, unless the pod tolerates the taint of that name (plugin NodeUnschedulable)."""
    if snapshot.unschedulable.any() and not _tolerated(_UNSCHEDULABLE_TAINT, pod.tolerations):
        yield Refusal(UNSCHEDULABLE, snapshot.unschedulable)


def taints(snapshot: Snapshot, usage: Usage, pod: Requirements) -> Iterator[Refusal]:
    """NoSchedule and NoExecute taints; the first that is not tolerated is named (plugin TaintToleration)."""
    by_reason: dict[str, list[int]] = {}
    for code, taint_set in enumerate(snapshot.taint_sets):
        for taint in taint_set:
            if taint.effect != "PreferNoSchedule" and not _tolerated(taint, pod.tolerations):
                reason = f"node(s) had untolerated taint {{{taint.key}: {taint.value}}}"
                by_reason.setdefault(reason, []).append(code)
                break
    for reason, codes in by_reason.items():
        table = np.zeros(len(snapshot.taint_sets), np.bool_)
        table[codes] = True
        yield Refusal(reason, table[snapshot.taints])


def node_affinity(snapshot: Snapshot, usage: Usage, pod: Requirements) -> Iterator[Refusal]:
    """nodeSelector and the required node affinity (plugin NodeAffinity)."""
    if pod.node_selector or pod.required is not None:
        matching = np.ones(len(snapshot.exists), np.bool_)
        for key, value in pod.node_selector:
            matching &= _in(snapshot, key, (value,))
        if pod.required is not None:
            matching &= matches_selector(snapshot, pod.required)
        yield Refusal(AFFINITY, ~matching)


def ports(snapshot: Snapshot, usage: Usage, pod: Requirements) -> Iterator[Refusal]:
    """Host ports that another pod holds (plugin NodePorts)."""
    if pod.ports:
        taken = np.zeros(len(snapshot.exists), np.bool_)
        for port in pod.ports:
            for row, held in usage.ports.get(port[1:], {}).items():
                if _conflicts(port, held):
                    taken[row] = True
        yield Refusal(PORTS, taken)


def resources(snapshot: Snapshot, usage: Usage, pod: Requirements) -> Iterator[Refusal]:
    """Requests against what is left of allocatable; a node can be short of several (plugin NodeResourcesFit)."""
    left = usage.left
    yield Refusal(TOO_MANY_PODS, left[snapshot.resources[PODS]] < 1)
    for name, amount in pod.requests:
        if name == PODS:
            continue
        column = snapshot.resources.get(name)
        short = left[column] < amount if column is not None else np.ones(len(snapshot.exists), np.bool_)
        yield Refusal(f"Insufficient {name}", short)


NODE_FILTERS: tuple[Filter, ...] = (unschedulable, taints, node_affinity)
ROOM_FILTERS: tuple[Filter, ...] = (ports, resources)


def feasible(usage: Usage, pod: Requirements) -> Bools:
    """Rows that every filter lets through; a new array."""
    snapshot = usage.snapshot
    key = (feasible, pod.tolerations, pod.node_selector, pod.required)
    suited: Bools | None = usage.remembered.get(key)
    if suited is None:
        suited = snapshot.exists.copy()
        for check in NODE_FILTERS:
            for refusal in check(snapshot, usage, pod):
                suited &= ~refusal.rows
        usage.remembered[key] = suited
    rows = suited.copy()
    for check in ROOM_FILTERS:
        for refusal in check(snapshot, usage, pod):
            rows &= ~refusal.rows
    return rows


def explain(usage: Usage, pod: Requirements) -> dict[str, int]:
    """How many nodes are refused, by reason: each by the first filter that refuses it, for all its reasons."""
    snapshot = usage.snapshot
    alive = snapshot.exists.copy()
    reasons: dict[str, int] = {}
    for check in (*NODE_FILTERS, *ROOM_FILTERS):
        left = alive.copy()
        for refusal in check(snapshot, usage, pod):
            if count := int(np.count_nonzero(alive & refusal.rows)):
                reasons[refusal.reason] = reasons.get(refusal.reason, 0) + count
                left &= ~refusal.rows
        alive = left
    return reasons


def message(nodes: int, reasons: dict[str, int]) -> str:
    """The text of FailedScheduling and of the PodScheduled condition (FitError.Error in Kubernetes)."""
    if not nodes:
        return "no nodes available to schedule pods"
    parts = sorted(f"{count} {reason}" for reason, count in reasons.items())
    return f"0/{nodes} nodes are available: {', '.join(parts)}."


# --- taints


def prefers_not(snapshot: Snapshot, pod: Requirements) -> Ints:
    """Of each row the number of PreferNoSchedule taints that the pod does not tolerate."""
    table = [
        sum(1 for taint in taint_set if taint.effect == "PreferNoSchedule" and not _tolerated(taint, pod.tolerations))
        for taint_set in snapshot.taint_sets
    ]
    return np.array(table, np.int64)[snapshot.taints]


def _tolerated(taint: Taint, tolerations: Iterable[Toleration]) -> bool:
    return any(tolerates(toleration, taint) for toleration in tolerations)


def tolerates(toleration: Toleration, taint: Taint) -> bool:
    """ToleratesTaint of k8s.io/api/core/v1: an empty key with Exists, and an empty effect, match every one."""
    if toleration.effect and toleration.effect != taint.effect:
        return False
    if toleration.key and toleration.key != taint.key:
        return False
    if toleration.operator == "Exists":
        return True
    if toleration.operator in ("", "Equal"):
        return bool(toleration.key) and toleration.value == taint.value
    return False


# --- node selectors


def matches_selector(snapshot: Snapshot, selector: NodeSelector) -> Bools:
    """Rows that match one of the terms; without any there is nothing that matches."""
    found = np.zeros(len(snapshot.exists), np.bool_)
    for term in selector.node_selector_terms:
        found |= matches_term(snapshot, term)
    return found


def matches_term(snapshot: Snapshot, term: NodeSelectorTerm) -> Bools:
    """Rows that match all of a term; an empty term matches nothing (nodeaffinity.NewNodeSelector)."""
    if not term.match_expressions and not term.match_fields:
        return np.zeros(len(snapshot.exists), np.bool_)
    found = np.ones(len(snapshot.exists), np.bool_)
    for expression in term.match_expressions:
        found &= _matches(snapshot, expression.key, expression)
    for expression in term.match_fields:
        if expression.key != NAME_FIELD:
            return np.zeros(len(snapshot.exists), np.bool_)
        found &= _matches(snapshot, NAME_FIELD, expression)
    return found


def _matches(snapshot: Snapshot, key: str, requirement: LabelSelectorRequirement) -> Bools:
    """One requirement; a node without the label satisfies NotIn and DoesNotExist, and nothing else."""
    if requirement.operator == "In":
        return _in(snapshot, key, requirement.values)
    if requirement.operator == "NotIn":
        return ~_in(snapshot, key, requirement.values)
    column = snapshot.label_column(key)
    if requirement.operator == "Exists":
        return np.greater_equal(column.codes, 0)
    if requirement.operator == "DoesNotExist":
        return np.less(column.codes, 0)
    limit = _integer(requirement.values[0]) if len(requirement.values) == 1 else None
    table = np.zeros(len(column.vocabulary) + 1, np.bool_)  # the last entry is that of code -1
    if limit is not None and requirement.operator in ("Gt", "Lt"):
        for value, code in column.vocabulary.items():
            number = _integer(value)
            if number is not None:
                table[code] = number > limit if requirement.operator == "Gt" else number < limit
    found: Bools = table[column.codes]
    return found


def _in(snapshot: Snapshot, key: str, values: Iterable[str]) -> Bools:
    column = snapshot.label_column(key)
    codes = [code for value in values if (code := column.vocabulary.get(value)) is not None]
    if len(codes) == 1:
        return np.equal(column.codes, codes[0])
    return np.isin(column.codes, codes)


def _integer(text: str) -> int | None:
    """As Go's ParseInt reads it; None for anything else."""
    digits = text[1:] if text[:1] in ("+", "-") else text
    return int(text) if digits.isascii() and digits.isdigit() else None


# --- host ports


def _conflicts(port: Port, held: Iterable[str]) -> bool:
    """Whether a port is taken by one of the host IPs that hold it; 0.0.0.0 stands for all of them."""
    return any(port[0] == ip or "0.0.0.0" in (port[0], ip) for ip in held)  # noqa: S104 - a comparison

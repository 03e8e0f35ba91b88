"""The cluster as arrays: one row for each node, kept up to date by watch events.

Owns what is known of nodes and of the pods on them. Never decides. Rows of removed nodes are used again; a
label becomes a column of integer codes the first time a selector names it, and a set of taints is one code, so
that a filter is an array operation or a look-up in a short table. Used on one event loop.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from controlplane.scheduler.requirements import (
    CPU,
    EPHEMERAL_STORAGE,
    LARGEST,
    MEMORY,
    PODS,
    Port,
    Requirements,
    amounts,
)
from shared.api.core import Node, Taint

logger = logging.getLogger(__name__)

A = TypeVar("A")
B = TypeVar("B")

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Codes = NDArray[np.int32]

NAME_FIELD = "metadata.name"
"""The column of node names, for matchFields; no label key has this form."""


@dataclass(slots=True)
class LabelColumn:
    """Of each row the code of its value; -1 where the node has no such label."""

    codes: Codes
    vocabulary: dict[str, int] = field(default_factory=dict)

    def set(self, row: int, value: str | None) -> None:
        self.codes[row] = -1 if value is None else self.vocabulary.setdefault(value, len(self.vocabulary))


@dataclass(frozen=True, slots=True)
class Placement:
    """A pod on a node. ``spread`` tells whether it counts for its owner's spread (a terminating one does not)."""

    node: str
    requirements: Requirements
    spread: bool


class Snapshot:
    """See the module. Arrays are longer than there are nodes; ``exists`` tells which rows are nodes."""

    def __init__(self, rows: int = 16) -> None:
        self.resources: dict[str, int] = {CPU: 0, MEMORY: 1, EPHEMERAL_STORAGE: 2, PODS: 3}
        """The first index of ``allocatable`` and ``requested``; the second is the row, so that a resource of all
        nodes lies together in memory."""
        self.allocatable: Ints = np.zeros((4, rows), np.int64)
        self.requested: Ints = np.zeros((4, rows), np.int64)
        self.scored: Ints = np.zeros((2, rows), np.int64)
        """Requested cpu and memory with the defaults for pods that request none."""
        self.exists: Bools = np.zeros(rows, np.bool_)
        self.unschedulable: Bools = np.zeros(rows, np.bool_)
        self.taints: Codes = np.zeros(rows, np.int32)
        """Codes into ``taint_sets``."""
        self.taint_sets: list[tuple[Taint, ...]] = [()]
        self.names: list[str] = [""] * rows
        self.owners: dict[str, dict[int, int]] = {}
        """Pods of an owner by row."""
        self.ports: dict[tuple[str, int], dict[int, dict[str, int]]] = {}
        """By (protocol, port), by row, by host IP: how many pods hold it."""
        self.nodes = 0
        self._labels: list[Mapping[str, str]] = [{} for _ in range(rows)]
        self._columns: dict[str, LabelColumn] = {}
        self._row: dict[str, int] = {}
        self._free = list(range(rows - 1, -1, -1))
        self._placed: dict[str, Placement] = {}
        self._by_node: dict[str, dict[str, Placement]] = {}

    # --- nodes

    def put_node(self, node: Node) -> bool:
        """Add or change a node; whether anything changed that may let a pod fit that did not."""
        name = node.metadata.name
        row = self._row.get(name)
        new = row is None
        if row is None:
            if not self._free:
                self._grow()
            row = self._row[name] = self._free.pop()
            self.names[row] = name
            self.exists[row] = True
            self.nodes += 1
            for placement in self._by_node.get(name, {}).values():
                self._count(row, placement, 1)
        try:
            allocatable = amounts(node.status.allocatable)
        except ValueError as error:
            logger.warning("a node's allocatable is not a quantity", extra={"node": name, "error": str(error)})
            allocatable = {}
        columns = [(self._resource(resource), min(amount, LARGEST - 1)) for resource, amount in allocatable.items()]
        wanted = np.zeros(len(self.resources), np.int64)
        for column, amount in columns:
            wanted[column] = amount
        taints = self._taint_code(node.spec.taints)
        labels = node.metadata.labels
        changed = (
            new
            or bool(self.unschedulable[row]) != node.spec.unschedulable
            or int(self.taints[row]) != taints
            or self._labels[row] != labels
            or not np.array_equal(self.allocatable[:, row], wanted)
        )
        self.allocatable[:, row] = wanted
        self.unschedulable[row] = node.spec.unschedulable
        self.taints[row] = taints
        self._labels[row] = labels
        for key, label_column in self._columns.items():
            label_column.set(row, name if key == NAME_FIELD else labels.get(key))
        return changed

    def remove_node(self, name: str) -> None:
        """Forget a node; its pods stay known, for the case that it comes back."""
        row = self._row.pop(name, None)
        if row is None:
            return
        for placement in self._by_node.get(name, {}).values():
            self._count(row, placement, -1)
        self.exists[row] = False
        self.allocatable[:, row] = 0
        self.requested[:, row] = 0
        self.scored[:, row] = 0
        self.taints[row] = 0
        self.unschedulable[row] = False
        self.names[row], self._labels[row] = "", {}
        for column in self._columns.values():
            column.codes[row] = -1
        self._free.append(row)
        self.nodes -= 1

    # --- pods on nodes

    def place(self, uid: str, node: str, requirements: Requirements, *, spread: bool = True) -> None:
        """A pod is on (or assumed to be on) a node. Telling it again changes nothing."""
        placement = Placement(node, requirements, spread)
        if self._placed.get(uid) == placement:
            return
        self.forget(uid)
        self._placed[uid] = placement
        self._by_node.setdefault(node, {})[uid] = placement
        row = self._row.get(node)
        if row is not None:
            self._count(row, placement, 1)

    def forget(self, uid: str) -> bool:
        """A pod is gone or needs nothing any more; whether it was placed."""
        placement = self._placed.pop(uid, None)
        if placement is None:
            return False
        there = self._by_node[placement.node]
        del there[uid]
        if not there:
            del self._by_node[placement.node]
        row = self._row.get(placement.node)
        if row is not None:
            self._count(row, placement, -1)
        return True

    def placement(self, uid: str) -> Placement | None:
        """Where a pod is."""
        return self._placed.get(uid)

    # --- for filters and scores

    def label_column(self, key: str) -> LabelColumn:
        """The column of a label key, or of ``NAME_FIELD``."""
        column = self._columns.get(key)
        if column is None:
            column = self._columns[key] = LabelColumn(np.full(len(self.exists), -1, np.int32))
            for name, row in self._row.items():
                column.set(row, name if key == NAME_FIELD else self._labels[row].get(key))
        return column

    # --- inside

    def _count(self, row: int, placement: Placement, sign: int) -> None:
        requirements = placement.requirements
        for name, amount in requirements.requests:
            self.requested[self._resource(name), row] += sign * amount
        self.scored[0, row] += sign * requirements.scored_cpu
        self.scored[1, row] += sign * requirements.scored_memory
        if requirements.owner and placement.spread:
            _add(self.owners, requirements.owner, row, sign)
        for port in requirements.ports:
            self._count_port(row, port, sign)

    def _count_port(self, row: int, port: Port, sign: int) -> None:
        ip, protocol, number = port
        rows = self.ports.setdefault((protocol, number), {})
        _add(rows, row, ip, sign)
        if not rows:
            del self.ports[(protocol, number)]

    def _resource(self, name: str) -> int:
        column = self.resources.get(name)
        if column is None:
            column = self.resources[name] = len(self.resources)
            more = np.zeros((1, len(self.exists)), np.int64)
            self.allocatable = np.vstack([self.allocatable, more])
            self.requested = np.vstack([self.requested, more])
        return column

    def _taint_code(self, taints: tuple[Taint, ...]) -> int:
        if not taints:
            return 0
        # timeAdded makes every node's set its own and means nothing here.
        plain = tuple(Taint(key=t.key, value=t.value, effect=t.effect) for t in taints)
        try:
            return self.taint_sets.index(plain)
        except ValueError:
            self.taint_sets.append(plain)
            return len(self.taint_sets) - 1

    def _grow(self) -> None:
        old = len(self.exists)
        self.allocatable = np.hstack([self.allocatable, np.zeros_like(self.allocatable)])
        self.requested = np.hstack([self.requested, np.zeros_like(self.requested)])
        self.scored = np.hstack([self.scored, np.zeros_like(self.scored)])
        self.exists = np.concatenate([self.exists, np.zeros(old, np.bool_)])
        self.unschedulable = np.concatenate([self.unschedulable, np.zeros(old, np.bool_)])
        self.taints = np.concatenate([self.taints, np.zeros(old, np.int32)])
        for column in self._columns.values():
            column.codes = np.concatenate([column.codes, np.full(old, -1, np.int32)])
        self.names += [""] * old
        self._labels += [{} for _ in range(old)]
        self._free = list(range(2 * old - 1, old - 1, -1))


def _add(table: dict[A, dict[B, int]], first: A, second: B, amount: int) -> None:
    """Count in a two-level table and leave no zeros or empty tables in it."""
    inner = table.setdefault(first, {})
    total = inner.get(second, 0) + amount
    if total:
        inner[second] = total
    else:
        inner.pop(second, None)
        if not inner:
            del table[first]

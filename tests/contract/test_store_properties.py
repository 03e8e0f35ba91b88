"""The store against a model: a dict for every revision, and a list of changes.

Whatever the order of transactions, compactions, restarts and reads, store and model agree on every kept
revision, and a watch from any kept revision gives the model's changes from there on.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from controlplane.store.base import CompactedError, Compare, Delete, FutureRevisionError, Put
from controlplane.store.sqlite import SqliteStore

KEYS = st.sampled_from(["/a", "/a/b", "/a/b/c", "/ab", "/b", "/b/\u00e9", "/b/\U0001f600", "/c"])
PREFIXES = st.sampled_from(["", "/", "/a", "/a/", "/a/b", "/b/", "/nothing"])
VALUES = st.binary(max_size=20)
OPS = st.lists(st.tuples(KEYS, st.none() | VALUES), min_size=1, max_size=4, unique_by=lambda op: op[0])

Version = tuple[bytes, int, int, int]
"""value, create_revision, mod_revision, version"""


class StoreAgainstModel(RuleBasedStateMachine):
    """One store, and what it should hold."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.directory = Path(tempfile.mkdtemp(prefix="longboat-store-"))
        self.states: dict[int, dict[str, Version]] = {1: {}}
        self.changes: list[tuple[int, str, bytes | None, bytes | None, int]] = []
        self.revision = 1
        self.compacted = 0
        self.watches: list[tuple[object, str, int]] = []

    def run(self, coroutine):
        return self.runner.run(coroutine)

    @initialize()
    def open(self) -> None:
        self.store = self.run(SqliteStore.open(self.directory, history_revisions=0, reserve_bytes=0))

    def teardown(self) -> None:
        self.run(self.store.close())
        self.runner.close()
        shutil.rmtree(self.directory)

    def apply(self, ops) -> bool:
        state = dict(self.states[self.revision])
        revision, wrote = self.revision + 1, False
        for key, value in ops:
            old = state.pop(key, None)
            if value is not None:
                state[key] = (value, old[1] if old else revision, revision, old[3] + 1 if old else 1)
            if old or value is not None:
                wrote = True
                self.changes.append((revision, key, value, old[0] if old else None, old[2] if old else 0))
        if wrote:
            self.revision, self.states[revision] = revision, state
        return wrote

    @rule(ops=OPS)
    def write(self, ops) -> None:
        result = self.run(self.store.txn([], [Delete(k) if v is None else Put(k, v) for k, v in ops]))
        self.apply(ops)
        assert (result.succeeded, result.revision) == (True, self.revision)

    @rule(several=st.lists(OPS, min_size=2, max_size=8))
    def write_at_once(self, several) -> None:
        async def all_together():
            return await asyncio.gather(
                *(self.store.txn([], [Delete(k) if v is None else Put(k, v) for k, v in ops]) for ops in several)
            )

        results = self.run(all_together())
        for ops, result in zip(several, results, strict=True):
            self.apply(ops)
            assert result.revision == self.revision

    @rule(ops=OPS, compare=st.dictionaries(KEYS, st.integers(0, 40), max_size=2), right=st.booleans())
    def compare_and_set(self, ops, compare, right) -> None:
        now = self.states[self.revision]
        if right:
            compare = {key: now[key][2] if key in now else 0 for key in compare}
        holds = all((now[key][2] if key in now else 0) == revision for key, revision in compare.items())
        result = self.run(
            self.store.txn(
                [Compare(k, r) for k, r in compare.items()], [Delete(k) if v is None else Put(k, v) for k, v in ops]
            )
        )
        assert result.succeeded == holds
        if holds:
            self.apply(ops)
        else:
            for key, found in result.failed:
                expected = now.get(key)
                assert (found and (found.value, found.create_revision, found.mod_revision, found.version)) == expected
        assert result.revision == self.revision

    @rule(prefix=PREFIXES, back=st.integers(0, 30), limit=st.integers(0, 4), after=st.none() | KEYS)
    def read(self, prefix, back, limit, after) -> None:
        revision = max(1, self.revision - back) if back else 0
        wanted = self.states[revision or self.revision]
        matching = sorted((k, *v) for k, v in wanted.items() if k.startswith(prefix))
        later = [item for item in matching if not after or item[0] > after]
        try:
            result = self.run(self.store.range(prefix, revision=revision, limit=limit, start_after=after or ""))
        except CompactedError:
            assert 0 < revision < self.compacted
            return
        assert not 0 < revision < self.compacted
        found = [(kv.key, kv.value, kv.create_revision, kv.mod_revision, kv.version) for kv in result.items]
        assert found == (later[:limit] if limit else later)
        assert result.count == len(matching)
        assert result.more == (len(later) > len(found))
        assert result.revision == (revision or self.revision)
        for key, value in wanted.items():
            kv = self.run(self.store.get(key, revision))
            assert (kv.value, kv.create_revision, kv.mod_revision, kv.version) == value

    @rule(back=st.integers(-1, 20))
    def compact(self, back) -> None:
        revision = self.revision - back
        if revision > self.revision:
            with pytest.raises(FutureRevisionError):
                self.run(self.store.compact(revision))
            return
        self.run(self.store.compact(max(0, revision)))
        self.compacted = max(self.compacted, revision)

    @rule(prefix=PREFIXES, back=st.integers(-2, 20))
    def watch(self, prefix, back) -> None:
        revision = max(0, self.revision - back)

        async def subscribe():
            return self.store.watch(prefix, revision)

        self.watches.append((self.run(subscribe()), prefix, revision or self.revision + 1))

    @precondition(lambda self: self.watches)
    @rule()
    def drain(self) -> None:
        for watch, prefix, first in self.watches:
            expected = [c for c in self.changes if c[0] >= first and c[1].startswith(prefix)]

            async def read(watch=watch, count=len(expected)):
                seen = []
                while len(seen) < count:
                    seen += await asyncio.wait_for(anext(watch), 10)
                await watch.aclose()
                return [(c.revision, c.key, c.value, c.previous, c.previous_revision) for c in seen]

            try:
                assert self.run(read()) == expected
            except CompactedError:
                assert first < self.compacted
        self.watches = []

    @rule()
    def restart(self) -> None:
        self.drain()
        self.run(self.store.close())
        self.open()
        assert self.run(self.store.revision()) == self.revision


StoreAgainstModel.TestCase.settings = settings(
    max_examples=30, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
TestStoreAgainstModel = StoreAgainstModel.TestCase

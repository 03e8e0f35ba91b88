"""The store backends that the contract suite runs on. A backend is one class with ``open``; see ``Backend``."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Protocol

import pytest

from controlplane.store.base import Store
from controlplane.store.sqlite import SqliteStore


class Backend(Protocol):
    async def open(self, **limits: Any) -> Store:
        """A store on this backend's data, the same data each time; the test closes the one before."""
        ...

    async def close(self) -> None: ...


class SqliteBackend:
    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._stores: list[SqliteStore] = []

    async def open(self, **limits: Any) -> Store:
        store = await SqliteStore.open(self._directory, **limits)
        self._stores.append(store)
        return store

    async def close(self) -> None:
        for store in self._stores:
            await store.close()


@pytest.fixture(params=["sqlite"])
async def backend(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Backend]:
    made = {"sqlite": SqliteBackend}[request.param](tmp_path / "data")
    yield made
    await made.close()


@pytest.fixture
async def store(backend: Backend) -> Store:
    return await backend.open()

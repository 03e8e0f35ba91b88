"""A real API server on a real store in a temporary directory, with a clock that stands still."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from controlplane.apiserver.api import ApiServer
from controlplane.apiserver.app import build_app
from controlplane.apiserver.identity import Attributes, User
from controlplane.apiserver.kinds.table import KINDS
from controlplane.apiserver.local_client import LocalClient
from controlplane.apiserver.lookups import Lookups
from controlplane.apiserver.reach.endpoints import Endpoints
from controlplane.apiserver.streams.hub import TunnelHub
from controlplane.apiserver.webhooks.admission import WebhookAdmission
from controlplane.apiserver.webhooks.caller import Caller
from controlplane.store.sqlite import SqliteStore
from shared.api.kinds import NAMESPACES
from shared.work.clock import FakeClock
from shared.work.supervisor import Supervisor
from tests.hooks import Hooks


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(datetime(2026, 5, 4, 12, 0, tzinfo=UTC))


@pytest.fixture
def history() -> int:
    """Events of each resource that watches may reach back; a test overrides it with ``parametrize``."""
    return 200


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    opened = await SqliteStore.open(tmp_path)
    yield opened
    await opened.close()


@pytest.fixture
async def api(store: SqliteStore, clock: FakeClock, history: int) -> AsyncIterator[ApiServer]:
    async with Supervisor() as supervisor:
        server = ApiServer(store, KINDS, clock=clock, rng=random.Random(7), history=history)
        supervisor.service("watch cache", server.run())
        async with asyncio.timeout(10):
            await server.ready()
        yield server
        server.close()
        supervisor.stop()


@pytest.fixture
async def client(api: ApiServer) -> LocalClient:
    """The local client, with the namespaces ``g`` and ``other`` in the cluster."""
    local = LocalClient(api)
    for name in ("g", "other"):
        await local.create(NAMESPACES, {"metadata": {"name": name}})
    return local


class Anybody:
    """Lets an administrator in without credentials."""

    def authenticate(self, request: web.BaseRequest) -> User:
        return User("admin", ("system:masters", "system:authenticated"))

    def authorize(self, user: User, attributes: Attributes) -> None:
        return None


@pytest.fixture
async def http(api: ApiServer, client: LocalClient) -> AsyncIterator[TestClient]:  # type: ignore[type-arg]
    """HTTP without TLS, the user always the administrator."""
    anybody = Anybody()
    async with TestClient(TestServer(build_app(api, anybody, anybody))) as session:
        yield session


@pytest.fixture
async def hooks(api: ApiServer, tmp_path: Path) -> AsyncIterator[Hooks]:
    served, caller = Hooks(tmp_path), Caller(Endpoints(api, Lookups(api, lambda node: ()), TunnelHub()))
    await served.start()
    api.admission.append(WebhookAdmission(api, caller))
    yield served
    await caller.close()
    await served.server.close()

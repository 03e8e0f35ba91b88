"""kubectl's typed commands, which send protobuf, against the API alone: what is stored is what they would print."""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from controlplane.apiserver.api import ApiServer
from controlplane.apiserver.app import build_app
from controlplane.apiserver.identity import Attributes, User
from controlplane.apiserver.kinds.table import KINDS
from controlplane.apiserver.local_client import LocalClient
from controlplane.store.sqlite import SqliteStore
from shared.api.kinds import NAMESPACES
from shared.work.supervisor import Supervisor

SEARCH = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"


class Administrator:
    def authenticate(self, request: web.BaseRequest) -> User:
        return User("admin", ("system:masters", "system:authenticated"))

    def authorize(self, user: User, attributes: Attributes) -> None:
        return None


@pytest.fixture
async def kubectl(tmp_path: Path) -> AsyncIterator[Any]:
    """Runs kubectl against a server without TLS; gives (code, stdout, stderr)."""
    store = await SqliteStore.open(tmp_path / "data")
    async with Supervisor() as supervisor:
        api = ApiServer(store, KINDS, rng=random.Random(1))
        supervisor.service("watch cache", api.run())
        await api.ready()
        await LocalClient(api).create(NAMESPACES, {"metadata": {"name": "default"}})
        admin = Administrator()
        server = TestServer(build_app(api, admin, admin))
        await server.start_server()
        program = shutil.which("kubectl", path=SEARCH)
        assert program, "kubectl is missing: install the test extra"

        async def run(*arguments: str) -> tuple[int, str, str]:
            process = await asyncio.create_subprocess_exec(
                program, "--server", str(server.make_url("")), f"--cache-dir={tmp_path}/cache", *arguments,
                stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
                env={"HOME": str(tmp_path), "KUBECONFIG": "/dev/null"},
            )  # fmt: skip
            async with asyncio.timeout(60):
                out, err = await process.communicate()
            return process.returncode or 0, out.decode(), err.decode()

        yield run
        api.close()
        await server.close()
        supervisor.stop()
    await store.close()


def _without_server_fields(tree: Any) -> Any:
    meta = {k: v for k, v in tree["metadata"].items() if k in ("name", "labels", "annotations") and v}
    return {**tree, "metadata": meta}


def _is_part(part: Any, whole: Any, at: str = "") -> None:
    """Everything of ``part`` that says something stands in ``whole`` too."""
    if isinstance(part, dict):
        for key, value in part.items():
            if value not in (None, {}, [], ""):
                _is_part(value, (whole or {}).get(key), f"{at}.{key}")
    elif isinstance(part, list):
        assert len(part) == len(whole), at
        for index, value in enumerate(part):
            _is_part(value, whole[index], f"{at}[{index}]")
    else:
        assert part == whole, at


@pytest.mark.parametrize(
    "command",
    [
        "namespace n", "configmap c --from-literal a=1 --from-literal b=2", "secret generic s --from-literal a=1",
        "deployment d --image nginx:1 --replicas 3 --port 80", "service clusterip v --tcp 80:8080",
        "service nodeport w --tcp 80:http", "serviceaccount a",
        "secret docker-registry r --docker-username u --docker-password p --docker-server example.com",
    ],
)  # fmt: skip
async def test_create_stores_what_it_prints(kubectl: Any, command: str) -> None:
    words = command.split()
    code, printed, err = await kubectl("create", *words, "--dry-run=client", "-o", "json")
    assert code == 0, err
    code, _, err = await kubectl("create", *words)
    assert code == 0, err
    wanted = json.loads(printed)
    code, stored, err = await kubectl("get", wanted["kind"].lower(), wanted["metadata"]["name"], "-o", "json")
    assert code == 0, err
    _is_part(_without_server_fields(wanted), json.loads(stored))


async def test_a_kind_that_is_not_served_is_named(kubectl: Any, tmp_path: Path) -> None:
    manifest = tmp_path / "w.yaml"
    manifest.write_text("apiVersion: v1\nkind: Widget\nmetadata:\n  name: c\n")
    code, _, err = await kubectl("apply", "-f", str(manifest))
    assert code == 1
    assert 'no matches for kind "Widget"' in err

"""The garbage collector and namespace deletion look after custom objects as after all others."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from controlplane.apiserver.local_client import LocalClient
from controlplane.controllers.custom_resources import resource_of
from shared.api.errors import NotFound
from shared.api.extensions import CustomResourceDefinition
from shared.api.kinds import CONFIG_MAPS, CUSTOM_RESOURCE_DEFINITIONS, NAMESPACES
from tests.controllers import running
from tests.custom import crontab, define, definition


async def gone(get: Callable[[], Awaitable[Any]]) -> None:
    async with asyncio.timeout(20):
        while True:
            try:
                await get()
            except NotFound:
                return
            await asyncio.sleep(0.01)


async def test_custom_owners_and_namespaces(tmp_path: Path) -> None:
    async with running(tmp_path) as cluster:
        client: LocalClient = cluster.client
        await define(cluster.api, definition())
        crd: CustomResourceDefinition = await client.get(CUSTOM_RESOURCE_DEFINITIONS, "crontabs.stable.example.com")
        tabs = resource_of(crd)
        assert tabs is not None
        await client.create(NAMESPACES, {"metadata": {"name": "n"}})
        owner = await client.create(tabs, crontab("owner"), "n")
        reference = {"apiVersion": "stable.example.com/v1", "kind": "CronTab", "name": "owner",
                     "uid": owner["metadata"]["uid"]}  # fmt: skip
        child = {"metadata": {"name": "child", "ownerReferences": [reference]}}
        await client.create(CONFIG_MAPS, child, "n")
        dependent = crontab("dependent")
        dependent["metadata"]["ownerReferences"] = [reference]
        await client.create(tabs, dependent, "n")
        await client.delete(tabs, "owner", "n")
        await gone(lambda: client.get(CONFIG_MAPS, "child", "n"))
        await gone(lambda: client.get(tabs, "dependent", "n"))

        await client.create(tabs, crontab("left"), "n")
        await client.delete(NAMESPACES, "n")
        await gone(lambda: client.get(NAMESPACES, "n"))
        assert (await client.list(tabs)).items == []

        await client.create(NAMESPACES, {"metadata": {"name": "m"}})
        owner = await client.create(tabs, crontab("owner"), "m")
        child["metadata"]["ownerReferences"] = [{**reference, "uid": owner["metadata"]["uid"]}]
        await client.create(CONFIG_MAPS, child, "m")
        await client.delete(CUSTOM_RESOURCE_DEFINITIONS, "crontabs.stable.example.com")
        await gone(lambda: client.get(CUSTOM_RESOURCE_DEFINITIONS, "crontabs.stable.example.com"))
        await gone(lambda: client.get(CONFIG_MAPS, "child", "m"))
        await client.delete(NAMESPACES, "m")
        await gone(lambda: client.get(NAMESPACES, "m"))

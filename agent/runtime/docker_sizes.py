"""What containers take on the disk: what they have written, and their logs. Slow; no state."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from docker import APIClient

from agent.runtime import docker_names as names
from agent.runtime.docker_engine import DockerEngine


async def container_sizes(engine: DockerEngine, node: str) -> Mapping[str, int]:
    """Bytes by container id. Raises RuntimeFailure."""
    filters = {"label": [f"{names.NODE}={node}", names.CONTAINER]}

    def ask(client: APIClient) -> tuple[list[dict[str, Any]], str]:
        root = str(client.info().get("DockerRootDir", ""))
        return client.containers(all=True, size=True, filters=filters), root

    listed, root = await engine.call("sizes", ask, write=True)
    logs = await asyncio.to_thread(lambda: {one["Id"]: _log_bytes(Path(root), one["Id"]) for one in listed})
    return {one["Id"]: int(one.get("SizeRw") or 0) + logs[one["Id"]] for one in listed}


def _log_bytes(root: Path, container_id: str) -> int:
    """0 where the daemon is on another machine."""
    return sum(file.stat().st_blocks * 512 for file in (root / "containers" / container_id).glob("*.log*"))

"""Static pods of a host: they run without the server's doing, and the API shows them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from pathlib import Path

import pytest
import yaml

from agent.pods.dispatcher import Dispatcher
from agent.static_pods.source import StaticPods
from shared.api.kinds import NODES, PODS
from shared.api.pod import Pod
from tests.agent_host import NODE, Host

MIRROR = "kubernetes.io/config.mirror"


def manifest(**spec: object) -> str:
    whole = {"containers": [{"name": "c", "image": "app:1"}]} | spec
    return yaml.safe_dump({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"}, "spec": whole})


@pytest.fixture
async def node(host: Host) -> Host:
    await host.client.create(NODES, {"metadata": {"name": NODE}})
    return host


class Directory:
    """An agent's directory of static pods. The agent of a test looks only when it is told to."""

    def __init__(self, host: Host, agent: object, path: Path) -> None:
        path.mkdir(exist_ok=True)
        self.host, self.path = host, path
        self.source = StaticPods(path, NODE, agent, host.client, host.pods)  # type: ignore[arg-type]

    async def sync(self) -> None:
        await self.source.look()
        await self.source.reflect()

    @property
    def mirrors(self) -> list[Pod]:
        return [pod for pod in self.host.pods if MIRROR in pod.metadata.annotations]

    @property
    def uids(self) -> list[str]:
        """Of the mirrors."""
        return [mirror.metadata.uid for mirror in self.mirrors]


@pytest.fixture
async def files(node: Host, tmp_path: Path) -> AsyncIterator[Directory]:
    async with node.agent() as agent:
        yield Directory(node, agent, tmp_path / "manifests")


async def test_a_file_becomes_a_pod_that_the_api_shows(files: Directory) -> None:
    host = files.host
    (files.path / "web.yaml").write_text(manifest())
    await files.sync()
    await host.until(lambda: host.ready(f"web-{NODE}"))
    [mirror] = files.mirrors
    [info] = host.running()
    assert mirror.metadata.annotations[MIRROR] == info.pod.uid != mirror.metadata.uid
    assert [owner.kind for owner in mirror.metadata.owner_references] == ["Node"]
    assert mirror.status.pod_ip.startswith("10.7.0.")
    (files.path / "web.yaml").unlink()
    await files.sync()
    await host.until(lambda: not host.runtime.containers and not files.mirrors)


async def test_a_deleted_mirror_comes_back_and_its_pod_never_stopped(files: Directory) -> None:
    host = files.host
    (files.path / "web.yaml").write_text(manifest())
    await files.sync()
    await host.until(lambda: host.ready(f"web-{NODE}"))
    before, [uid] = host.running(), files.uids
    await host.client.delete(PODS, f"web-{NODE}", "default")
    await host.until(lambda: not files.mirrors or files.mirrors[0].metadata.deletion_timestamp is not None)
    await files.sync()
    await host.until(lambda: uid not in files.uids)
    await files.sync()
    await host.until(lambda: host.ready(f"web-{NODE}"))
    assert host.running() == before


async def test_a_changed_file_is_another_pod_and_a_broken_one_none(files: Directory) -> None:
    host = files.host
    path = files.path / "web.yaml"
    path.write_text(manifest())
    await files.sync()
    await host.until(lambda: host.ready(f"web-{NODE}"))
    old, [uid] = host.running()[0].id, files.uids
    path.write_text("kind: [")
    await files.sync()
    assert [info.id for info in host.running()] == [old], "what it held goes on until it is mended"
    path.write_text(manifest(containers=[{"name": "c", "image": "app:2"}]))
    await files.sync()
    await host.until(lambda: [info.image for info in host.running()] == ["app:2"])
    await host.until(lambda: uid not in files.uids)
    await files.sync()
    await host.until(lambda: host.ready(f"web-{NODE}"))
    assert host.status(f"web-{NODE}").image == "app:2"  # type: ignore[union-attr]


async def test_files_that_are_not_for_it_are_left_alone(files: Directory) -> None:
    (files.path / ".hidden.yaml").write_text(manifest())
    (files.path / "notes.txt").write_text("hello")
    (files.path / "large.yaml").write_bytes(b"#" * (2 << 20))
    (files.path / "folder.yaml").mkdir()
    (files.path / "a.yaml").write_text(manifest())
    (files.path / "b.yaml").write_text(manifest(hostname="other"))
    await files.sync()
    assert [static.pod.spec.hostname for static in files.source.pods.values()] == [""], "the first of a name"
    files.source._directory = files.path / "nowhere"
    assert not await files.source.look()
    assert files.source.pods


async def test_it_runs_while_the_server_is_away_and_after_a_restart_of_the_agent(node: Host, tmp_path: Path) -> None:
    host, path = node, tmp_path / "manifests"
    path.mkdir()
    (path / "web.yaml").write_text(manifest())

    def look(agent: Dispatcher) -> Awaitable[bool]:
        return Directory(host, agent, path).source.look()

    host.reachable.clear()
    async with host.agent(online=False, prepare=look):
        [first] = await host.until(host.running)
    host.reachable.set()
    async with host.agent(prepare=look) as agent:
        directory = Directory(host, agent, path)
        await directory.sync()
        await host.until(lambda: host.ready(f"web-{NODE}"))
        assert [info.id for info in host.running()] == [first.id]

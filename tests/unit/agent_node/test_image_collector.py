"""Which images go when the disk fills: only ours, only unused, the longest unused first."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent.host import FileSystem
from agent.image_collector import ImageCollector, Limits, Pulled, names_to_remove, to_free
from agent.runtime.base import Image, RuntimeFailure
from shared.work.clock import FakeClock

GB = 1 << 30


class Engine:
    """Images by id; those of ``used`` cannot go."""

    def __init__(self, *images: Image) -> None:
        self.images = {image.id: image for image in images}
        self.used: set[str] = set()
        self.fails = False

    async def list_images(self) -> list[Image]:
        return list(self.images.values())

    async def remove_image(self, name: str) -> bool:
        if self.fails:
            raise RuntimeFailure("no")
        found = next((i for i in self.images.values() if name in (*i.tags, *i.digests, i.id)), None)
        if found is not None and found.id in self.used:
            return False
        if found is not None:
            del self.images[found.id]
        return True


def image(name: str, size: int = GB) -> Image:
    return Image(f"sha256:{name}", (f"r.example/{name}:1",), (f"r.example/{name}@sha256:{name}",), size)


class Host:
    """A collector on an engine, with a disk that is as full as a test says."""

    def __init__(self, folder: Path, *images: Image) -> None:
        self.clock = FakeClock(datetime(2026, 1, 1, tzinfo=UTC))
        self.engine, self.in_use, self.free = Engine(*images), set[str](), 5
        self.folder = folder
        self.collector = self.begun()

    def begun(self) -> ImageCollector:
        return ImageCollector(
            self.engine, self.folder, lambda: self.in_use, lambda: FileSystem(100 * GB, self.free * GB), self.clock
        )

    async def pull(self, *names: str) -> None:
        for name in names:
            await self.collector.pulled(f"r.example/{name}:1", self.engine.images[f"sha256:{name}"])
            self.clock.advance(1)

    @property
    def left(self) -> set[str]:
        return {id.removeprefix("sha256:") for id in self.engine.images}


@pytest.mark.parametrize(
    ("free", "wanted"), [(50, 0), (16, 0), (15, 5), (3, 17), (-1, 0)], ids=["empty", "below", "at", "full", "unknown"]
)
def test_how_much_is_to_go(free: int, wanted: int) -> None:
    assert to_free(FileSystem(100 * GB, free * GB if free >= 0 else -1), Limits()) == wanted * GB


async def test_the_longest_unused_go_until_there_is_room(tmp_path: Path) -> None:
    host = Host(tmp_path, *(image(name) for name in "abcd"))
    await host.pull(*"abcd")
    host.in_use = {"sha256:a"}
    host.free = 18
    host.clock.advance(200)
    assert await host.collector.collect() == 0
    host.in_use = set()
    host.free = 15
    assert await host.collector.collect() == 4 * GB, "four are there, five are wanted"
    assert host.left == set()


async def test_what_was_in_use_lately_stays_longer(tmp_path: Path) -> None:
    host = Host(tmp_path, *(image(name, 6 * GB) for name in "abc"))
    await host.pull(*"abc")
    host.clock.advance(200)
    host.in_use, host.free = {"sha256:a"}, 50
    await host.collector.collect()
    host.in_use, host.free = set(), 15
    assert await host.collector.collect() == 6 * GB
    assert host.left == {"a", "c"}


async def test_images_of_others_in_use_and_young_ones_stay(tmp_path: Path) -> None:
    host = Host(tmp_path, *(image(name) for name in ("mine", "used", "young", "other", "shared")))
    await host.pull("mine", "used", "shared")
    shared = host.engine.images["sha256:shared"]
    host.engine.images[shared.id] = Image(shared.id, (*shared.tags, "their/name:2"), shared.digests, GB)
    host.clock.advance(200)
    await host.pull("young")
    host.in_use, host.free = {"sha256:used"}, 1
    assert await host.collector.collect() == GB
    assert host.left == {"used", "young", "other", "shared"}


async def test_the_record_outlives_the_agent(tmp_path: Path) -> None:
    host = Host(tmp_path, image("a"))
    await host.pull("a")
    assert (tmp_path / "images.json").stat().st_mode & 0o777 == 0o600
    host.clock.advance(200)
    assert await host.begun().collect() == GB


@pytest.mark.parametrize("content", ["", "[]", '{"sha256:a": {"what": 1}}', '{"sha256:a": 1}'])
async def test_with_a_broken_record_nothing_goes(tmp_path: Path, content: str) -> None:
    (tmp_path / "images.json").write_text(content)
    host = Host(tmp_path, image("a"))
    assert await host.collector.collect(everything=True) == 0
    assert host.left == {"a"}


async def test_everything_unused_goes_when_asked_for(tmp_path: Path) -> None:
    host = Host(tmp_path, image("a"), image("b"))
    host.free = 90
    await host.pull("a", "b")
    host.in_use = {"sha256:b"}
    assert await host.collector.collect(everything=True) == GB
    assert host.left == {"b"}


async def test_what_the_engine_does_not_let_go_stays_in_the_record(tmp_path: Path) -> None:
    host = Host(tmp_path, image("a"))
    await host.pull("a")
    host.clock.advance(200)
    host.engine.used = {"sha256:a"}
    assert await host.collector.collect() == 0
    host.engine.used, host.engine.fails = set(), True
    assert await host.collector.collect() == 0
    host.engine.fails = False
    assert await host.collector.collect() == GB


async def test_a_tag_that_moved_leaves_its_old_image_to_go_by_its_id(tmp_path: Path) -> None:
    host = Host(tmp_path, image("a"))
    await host.pull("a")
    old = host.engine.images["sha256:a"]
    host.engine.images[old.id] = Image(old.id, (), (), GB)
    moved = Image("sha256:new", old.tags, (), GB)
    host.engine.images[moved.id] = moved
    await host.collector.pulled("r.example/a:1", moved)
    host.clock.advance(200)
    host.in_use = {moved.id}
    assert await host.collector.collect() == GB
    assert host.left == {"new"}


@pytest.mark.parametrize(
    ("tags", "names", "removed"),
    [
        (("docker.io/a:1",), ["docker.io/a:1"], ["docker.io/a:1"]),
        (("a:latest", "b:1"), ["a:latest"], []),
        ((), ["a:1"], ["sha256:x"]),
    ],
    ids=["ours", "theirs too", "none"],
)
def test_names(tags: tuple[str, ...], names: list[str], removed: list[str]) -> None:
    assert names_to_remove(Image("sha256:x", tags, (), 1), Pulled(names)) == removed

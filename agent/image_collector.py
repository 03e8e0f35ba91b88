"""Removes images that this agent pulled and no pod uses any more, when the disk fills.

Owns the record of what was pulled and when it was last used (``images.json`` of the agent's data directory), so that an
image that somebody else put on this host is never touched: whoever built one here could not get it back. Thresholds and
order are the kubelet's (pkg/kubelet/images/image_gc_manager.go): from ``high`` percent of the disk on, the images that
were unused for longest go until ``low`` is reached, none younger than ``least_age``. One task; blocking work runs in
threads.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Protocol

from agent import metrics
from agent.host import FileSystem
from agent.runtime.base import Image, RuntimeFailure
from shared.work.clock import Clock

logger = logging.getLogger(__name__)

INTERVAL = 300.0
"""Seconds between looks (the kubelet's ImageGCPeriod)."""


class Images(Protocol):
    """See ``agent.runtime.base.Runtime``."""

    async def list_images(self) -> Iterable[Image]: ...
    async def remove_image(self, name: str) -> bool: ...


@dataclass(slots=True)
class Pulled:
    """An image that this agent pulled, by its id: under which names, and when (seconds since the epoch) it was pulled
    and last seen in use."""

    names: list[str] = field(default_factory=list)
    pulled: float = 0.0
    used: float = 0.0


@dataclass(frozen=True, slots=True)
class Limits:
    """Percent of the disk that holds images, and seconds."""

    high: int = 85
    low: int = 80
    least_age: float = 120.0


def to_free(disk: FileSystem, limits: Limits) -> int:
    """How many bytes are to be freed now; 0 while the disk is not that full."""
    if disk.total <= 0 or disk.free < 0 or 100 * (disk.total - disk.free) < limits.high * disk.total:
        return 0
    return max(0, disk.total * (100 - limits.low) // 100 - disk.free)


def candidates(
    records: Mapping[str, Pulled], in_use: Collection[str], now: float, least_age: float
) -> list[tuple[str, Pulled]]:
    """What may go, that which was unused for longest first."""
    found = [
        (id, record) for id, record in records.items() if id not in in_use and now - record.pulled >= least_age
    ]  # fmt: skip
    return sorted(found, key=lambda each: (each[1].used, each[1].pulled))


def names_to_remove(image: Image, record: Pulled) -> list[str]:
    """The names under which this agent knows an image, else its id where nobody gave it a name. Names of others keep
    it: then nothing is removed."""
    names = [*image.tags, *image.digests]
    ours = [name for name in names if name in record.names]
    if any(tag not in record.names for tag in image.tags):
        return []
    return ours or [image.id]


class ImageCollector:
    """``in_use`` tells the ids of images of all containers and of pods that are about to start; ``disk`` reads where
    images are, in a thread."""

    def __init__(
        self,
        runtime: Images,
        data_dir: Path,
        in_use: Callable[[], Collection[str]],
        disk: Callable[[], FileSystem],
        clock: Clock,
        limits: Limits = Limits(),
    ) -> None:
        self._runtime, self._path, self._in_use, self._disk = runtime, data_dir / "images.json", in_use, disk
        self._clock, self._limits = clock, limits
        self._records: dict[str, Pulled] | None = None
        self._lock = asyncio.Lock()

    async def pulled(self, name: str, image: Image) -> None:
        """Note that ``name`` was pulled for a pod."""
        async with self._lock:
            records = await self._load()
            now = self._clock.now().timestamp()
            record = records.setdefault(image.id, Pulled(pulled=now, used=now))
            record.used = now
            known = {name, *(tag for tag in image.tags if _same(tag, name)), *image.digests}
            record.names = sorted({*record.names, *known})
            for other_id, other in records.items():  # a tag is of one image only
                if other_id != image.id:
                    other.names = [each for each in other.names if each not in image.tags]
            await self._save()

    async def run(self) -> None:
        """Look now and then, until cancelled."""
        while True:
            await asyncio.sleep(INTERVAL)
            try:
                await self.collect()
            except (RuntimeFailure, OSError) as error:
                logger.warning("cannot look for images to remove", extra={"error": str(error)})

    async def collect(self, *, everything: bool = False) -> int:
        """Bytes freed: what the disk's fill asks for, or all that is unused. Raises RuntimeFailure, OSError."""
        async with self._lock:
            records = await self._load()
            present = {image.id: image for image in await self._runtime.list_images()}
            in_use, now = set(self._in_use()), self._clock.now().timestamp()
            for id in [id for id in records if id not in present]:
                del records[id]
            for id in in_use & records.keys():
                records[id].used = now
            disk = await asyncio.to_thread(self._disk)
            wanted = disk.total if everything else to_free(disk, self._limits)
            freed = 0
            age = 0.0 if everything else self._limits.least_age
            for id, record in candidates(records, in_use, now, age) if wanted else ():
                if freed >= wanted:
                    break
                if await self._remove(present[id], record):
                    del records[id]
                    freed += present[id].size_bytes
            await self._save()
        if wanted and not everything and freed < wanted:
            logger.warning(
                "the disk is full, and images that may go do not suffice", extra={"wanted": wanted, "freed": freed}
            )
        return freed

    async def _remove(self, image: Image, record: Pulled) -> bool:
        names = names_to_remove(image, record)
        for name in names:
            try:
                if not await self._runtime.remove_image(name):
                    return False
            except RuntimeFailure as error:
                logger.warning("an image cannot be removed", extra={"image": name, "error": error.message})
                return False
        if names:
            metrics.IMAGES_REMOVED.inc()
            logger.info("removed an image that nobody uses", extra={"image": names[0], "bytes": image.size_bytes})
        return bool(names)

    async def _load(self) -> dict[str, Pulled]:
        if self._records is None:
            self._records = await asyncio.to_thread(_read, self._path)
        return self._records

    async def _save(self) -> None:
        content = json.dumps({id: asdict(record) for id, record in (self._records or {}).items()})
        await asyncio.to_thread(_write, self._path, content)


def _same(tag: str, name: str) -> bool:
    """Whether an engine's tag is the name that was pulled: it leaves the default registry out, and adds ``latest``."""
    plain = name.removeprefix("docker.io/").removeprefix("library/")
    return tag in (name, plain, f"{name}:latest", f"{plain}:latest")


def _read(path: Path) -> dict[str, Pulled]:
    try:
        return {id: Pulled(**record) for id, record in json.loads(path.read_text()).items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, AttributeError) as error:  # then none is known to be ours, and none goes
        logger.warning("the record of pulled images cannot be read", extra={"path": str(path), "error": str(error)})
        return {}


def _write(path: Path, content: str) -> None:
    fresh = path.with_suffix(".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(content)
    fresh.replace(path)

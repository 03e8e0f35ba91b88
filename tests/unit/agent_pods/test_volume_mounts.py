"""How volumes are mounted: parts of them, whose they are, how large they may be."""

import ctypes
import os
import threading
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent.pods.expansion import UnknownVariable, expand_all
from agent.pods.volumes.atomic import File
from agent.pods.volumes.base import PodPaths, VolumeFailure
from agent.pods.volumes.empty_dir import make_empty_dir, memory_size
from agent.pods.volumes.memory import mounts_below, unmount_below
from agent.pods.volumes.mounts import container_mounts
from agent.pods.volumes.ownership import give_folder, give_payload
from agent.pods.volumes.payload import for_group
from agent.pods.volumes.sub_paths import bind_sub_path, open_beneath
from agent.runtime.base import Mount
from shared.api.pod import EmptyDirVolumeSource, Pod


def pod(*mounts: dict[str, Any], **container: Any) -> Pod:
    mounted = {"name": "c", "volumeMounts": list(mounts)} | container
    return msgspec.convert({"metadata": {"name": "p", "uid": "u"}, "spec": {"containers": [mounted]}}, Pod)


def mounts(directory: Path, *wanted: dict[str, Any], possible: bool = False, **source: Any) -> list[Mount]:
    found = pod(*wanted)
    volume = directory / "v"
    volume.mkdir(exist_ok=True)
    sources = {"v": Mount(str(volume), "", **source)}
    made = container_mounts(
        found, found.spec.containers[0], sources, PodPaths(directory, "u"), {"POD": "x"}, recursive_read_only=possible
    )
    return [mount for mount in made if not mount.target.startswith("/etc")]


@pytest.fixture
def directory(tmp_path: Path):
    yield tmp_path
    unmount_below(tmp_path)


@pytest.mark.parametrize(
    ("wanted", "possible", "expected"),
    [
        ({}, False, {}),
        ({"readOnly": True}, True, {"read_only": True}),
        ({"mountPropagation": "None"}, False, {}),
        ({"mountPropagation": "HostToContainer"}, False, {"propagation": "rslave"}),
        ({"mountPropagation": "Bidirectional"}, False, {"propagation": "rshared"}),
        ({"readOnly": True, "recursiveReadOnly": "Enabled"}, True, {"read_only": True, "recursive": True}),
        ({"readOnly": True, "recursiveReadOnly": "IfPossible"}, True, {"read_only": True, "recursive": True}),
        ({"readOnly": True, "recursiveReadOnly": "IfPossible"}, False, {"read_only": True}),
        ({"readOnly": True, "recursiveReadOnly": "Disabled"}, True, {"read_only": True}),
    ],
)
def test_ways_of_mounting(directory: Path, wanted: dict[str, Any], possible: bool, expected: dict[str, Any]) -> None:
    [mount] = mounts(directory, {"name": "v", "mountPath": "/m"} | wanted, possible=possible)
    assert mount == Mount(str(directory / "v"), "/m", **expected)


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (
            {"readOnly": True, "recursiveReadOnly": "Enabled"},
            'volume "v" requested recursive read-only mode, but it is not supported by the runtime',
        ),
        (
            {"subPathExpr": "a/$(NONE)"},
            'failed to expand subPath for volumeMount "v" of container "c": missing value for "NONE"',
        ),
        ({"subPathExpr": "/$(POD)"}, "error SubPath `/x` must not be an absolute path"),
        ({"subPathExpr": "$(POD)/../.."}, "unable to provision SubPath `x/../..`: must not contain '..'"),
    ],
)
def test_mounts_that_are_refused(directory: Path, wanted: dict[str, Any], message: str) -> None:
    with pytest.raises(VolumeFailure) as raised:
        mounts(directory, {"name": "v", "mountPath": "/m"} | wanted)
    assert str(raised.value) == message


def test_parts_of_a_volume_are_bound_to_a_place_of_the_agents(directory: Path) -> None:
    [first, second] = mounts(
        directory,
        {"name": "v", "mountPath": "/a", "subPath": "one/two"},
        {"name": "v", "mountPath": "/b", "subPathExpr": "logs-$(POD)"},
    )
    (directory / "v/one/two/file").write_text("1")
    assert Path(first.source, "file").read_text() == "1"
    assert first.source == str(directory / "pods/u/volume-subpaths/v/c/0")
    Path(second.source, "log").touch()
    assert (directory / "v/logs-x/log").exists()
    unmount_below(directory / "pods/u")
    assert not mounts_below(directory)
    assert (directory / "v/one/two/file").exists()


def test_a_part_that_became_another_one_is_bound_anew(directory: Path) -> None:
    place = directory / "place"
    volume = directory / "v"
    volume.mkdir()
    (volume / "f").write_text("1")
    bind_sub_path(volume, "f", place)
    bind_sub_path(volume, "f", place)
    assert len(mounts_below(place)) == 1
    (volume / "new").write_text("2")
    (volume / "new").rename(volume / "f")
    assert place.read_text() == "1"
    bind_sub_path(volume, "f", place)
    assert place.read_text() == "2"
    (volume / "f").unlink()
    bind_sub_path(volume, "f", place)
    assert place.is_dir()
    assert len(mounts_below(place)) == 1


def test_missing_folders_have_the_rights_of_the_volume(tmp_path: Path) -> None:
    tmp_path.chmod(0o2777)
    descriptor, path = open_beneath(tmp_path, "a/b")
    os.close(descriptor)
    assert [p.stat().st_mode & 0o7777 for p in (path.parent, path)] == [0o2777, 0o2777]


@pytest.mark.parametrize("bad", ["../x", "/etc", "out", "out/passwd", "a/../../y"])
def test_no_path_leads_out_of_the_volume(tmp_path: Path, bad: str) -> None:
    (tmp_path / "out").symlink_to("/etc")
    with pytest.raises(ValueError):
        open_beneath(tmp_path, bad)


def test_a_symlink_within_the_volume_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    descriptor, path = open_beneath(tmp_path, "link/x")
    os.close(descriptor)
    assert path == tmp_path / "real/x"


def test_a_folder_swapped_for_a_symlink_meanwhile_leads_nowhere_else(tmp_path: Path) -> None:
    volume, outside = tmp_path / "v", tmp_path / "outside"
    (outside / "b").mkdir(parents=True)
    (volume / "a/b").mkdir(parents=True)
    (volume / "link").symlink_to(outside)
    over = threading.Event()
    libc, here, exchange = ctypes.CDLL(None), -100, 2

    def swap() -> None:
        while not over.is_set():
            libc.renameat2(here, os.fsencode(volume / "a"), here, os.fsencode(volume / "link"), exchange)

    attacker = threading.Thread(target=swap)
    attacker.start()
    forbidden = (outside / "b").stat().st_ino
    noticed = 0
    try:
        for _ in range(2000):
            try:
                descriptor, _ = open_beneath(volume, "a/b")
            except (ValueError, OSError):
                noticed += 1
                continue
            found = os.fstat(descriptor).st_ino
            os.close(descriptor)
            assert found != forbidden
    finally:
        over.set()
        attacker.join()
    assert 0 < noticed < 2000, "it was swapped, and not only"


def test_expressions_need_all_their_variables() -> None:
    assert expand_all("$(A)/$$(B)/x", {"A": "1"}) == "1/$(B)/x"
    with pytest.raises(UnknownVariable, match='missing value for "B"'):
        expand_all("$(A)$(B)", {"A": "1"})


def test_folders_are_the_groups(tmp_path: Path) -> None:
    folder = tmp_path / "v"
    (folder / "..data-1").mkdir(parents=True)
    (folder / "..data").symlink_to("..data-1")
    folder.chmod(0o755)
    give_payload(folder, 1234)
    for path in (folder, folder / "..data-1"):
        assert (path.stat().st_gid, path.stat().st_mode & 0o7777) == (1234, 0o2755)
    give_folder(folder, 1234)
    assert folder.stat().st_mode & 0o7777 == 0o2775
    assert for_group({"a": File(b"", 0o600)}, 7) == {"a": File(b"", 0o640, 7)}
    assert for_group({"a": File(b"", 0o600)}, None) == {"a": File(b"", 0o600)}


@pytest.mark.parametrize(
    ("limit", "container", "size"),
    [
        (None, None, 1 << 30),
        ("64Mi", None, 64 << 20),
        ("2Gi", None, 1 << 30),
        (None, "32Mi", 32 << 20),
        ("64Mi", "32Mi", 32 << 20),
    ],
)
def test_memory_of_an_empty_dir(limit: str | None, container: str | None, size: int) -> None:
    found = pod(resources={"limits": {"memory": container}} if container else {})
    assert memory_size(found, EmptyDirVolumeSource(medium="Memory", size_limit=limit), 1 << 30) == size


def test_unknown_media_are_refused(tmp_path: Path) -> None:
    with pytest.raises(VolumeFailure, match='unknown storage medium "HugePages"'):
        make_empty_dir(tmp_path / "v", EmptyDirVolumeSource(medium="HugePages"), pod(), 0)

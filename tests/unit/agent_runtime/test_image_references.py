"""Image references, the memory of images, orphans, and the sandbox's program."""

from __future__ import annotations

import io
import platform
import signal
import subprocess
import tarfile
from datetime import UTC, datetime, timedelta

import pytest

from agent.runtime import pause
from agent.runtime.base import Image, RuntimeFailure
from agent.runtime.images import PresentImages, Reference, parse_reference
from agent.runtime.orphans import ABANDONED_AFTER, Listed, find_orphans
from shared.work.clock import FakeClock

NOW = datetime(2026, 11, 23, tzinfo=UTC)
DIGEST = "sha256:" + "0a" * 32


@pytest.mark.parametrize(
    ("image", "reference", "version"),
    [
        ("nginx", Reference("nginx", "", ""), "latest"),
        ("nginx:1.27", Reference("nginx", "1.27", ""), "1.27"),
        ("host:5000/a/b", Reference("host:5000/a/b", "", ""), "latest"),
        ("host:5000/a/b:x_1", Reference("host:5000/a/b", "x_1", ""), "x_1"),
        ("[::1]:5000/a:1", Reference("[::1]:5000/a", "1", ""), "1"),
        (f"a/b:1@{DIGEST}", Reference("a/b", "1", DIGEST), DIGEST),
        ("a__b--c.d", Reference("a__b--c.d", "", ""), "latest"),
    ],
)
def test_reference(image, reference, version):
    assert parse_reference(image) == reference
    assert parse_reference(image).version == version


@pytest.mark.parametrize(
    ("image", "message"),
    [
        ("", "empty"), ("a b", "white space"), ("Nginx", "lower case"), ("http://a/b", "scheme"),
        ("a:", "want"), ("a@sha256:12", "want"), ("-a", "want"), ("a" * 256, "longer"), ("0a" * 32, "is an id"),
        ("a\n", "white space"),
    ],
)  # fmt: skip
def test_bad_reference_says_what_is_wrong(image, message):
    with pytest.raises(RuntimeFailure, match=message) as raised:
        parse_reference(image)
    assert raised.value.reason == "InvalidImageName"


def test_memory_of_images_ends_is_bounded_and_forgets():
    clock = FakeClock(NOW)
    known = PresentImages(clock, 30.0, limit=2)
    image = Image("id", (), (), 1)
    for name in ("a", "b", "c"):
        known.put(name, image)
    assert [known.get(name) is None for name in ("a", "b", "c")] == [True, False, False]
    known.forget("b")
    assert known.get("b") is None
    clock.advance(30.0)
    assert known.get("c") is None


def listed(name: str, age: float = ABANDONED_AFTER + 1, status: str = "running", **values: object) -> Listed:
    return Listed(name, name, status, NOW - timedelta(seconds=age), **values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("found", "orphans"),
    [
        ([listed("warm", sandbox=True, warm=True)], []),
        ([listed("warm", status="exited", sandbox=True, warm=True)], ["warm"]),
        ([listed("warm", status="created", age=5, sandbox=True, warm=True)], []),
        ([listed("pod", status="exited", sandbox=True)], []),
        ([listed("probe", status="created")], ["probe"]),
        ([listed("c0", status="created", pod_uid="u", container="c")], []),
        ([listed("c0", status="created", pod_uid="u", container="c"),
          listed("c1", pod_uid="u", container="c", attempt=1)], ["c0"]),
        ([listed("c0", status="exited", pod_uid="u", container="c"),
          listed("c1", pod_uid="u", container="c", attempt=1)], []),
        ([listed("c0", status="created", pod_uid="u", container="c"),
          listed("c1", pod_uid="v", container="c", attempt=1)], []),
    ],
    ids=["warm runs", "warm ended", "warm being made", "a pod's own", "neither", "to be started", "never started",
         "ended attempt", "another pod's attempt"],
)  # fmt: skip
def test_orphans(found, orphans):
    assert [orphan.id for orphan in find_orphans(found, NOW)] == orphans


@pytest.mark.parametrize("architecture", ["amd64", "arm64"])
def test_sandbox_image_is_one_small_file_and_always_the_same(architecture):
    archive = pause.root_file_system(architecture)
    assert archive == pause.root_file_system(architecture)
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        [entry] = tar.getmembers()
    assert (entry.name, entry.mode) == ("pause", 0o755)
    assert entry.size < 256
    assert pause.image_name(architecture) == f"longboat/pause:{pause.image_tag(architecture)}"


def test_unknown_processor_is_named():
    with pytest.raises(pause.UnknownArchitecture, match="not on riscv64"):
        pause.image_name("riscv64")


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT])
def test_program_waits_through_a_pause_and_ends_at_a_signal(tmp_path, end):
    architecture = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
    program = tmp_path / "pause"
    program.write_bytes(pause.executable(architecture))
    program.chmod(0o755)
    process = subprocess.Popen([program])
    for number in (signal.SIGSTOP, signal.SIGCONT):
        process.send_signal(number)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.1)
    process.send_signal(end)
    assert process.wait(5) == 0

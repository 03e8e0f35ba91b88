"""Numbers out of the kernel's files, of both versions of control groups."""

from pathlib import Path

import pytest

from agent.usage.kernel import Reading, group_of, host

ID = "0123456789ab" * 5 + "cdef"
V1 = f"12:cpu,cpuacct:/docker/{ID}\n5:memory:/docker/{ID}\n1:name=systemd:/docker/{ID}\n0::/\n"
V2 = f"0::/system.slice/docker-{ID}.scope\n"


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "cgroup"


@pytest.mark.parametrize(
    ("groups", "files"),
    [
        (
            V1,
            {
                f"cpuacct/docker/{ID}/cpuacct.usage": "123000\n",
                f"memory/docker/{ID}/memory.usage_in_bytes": "5000\n",
                f"memory/docker/{ID}/memory.stat": "inactive_file 1\ntotal_inactive_file 2000\n",
            },
        ),
        (
            V2,
            {
                f"system.slice/docker-{ID}.scope/cpu.stat": "usage_usec 123\nuser_usec 100\n",
                f"system.slice/docker-{ID}.scope/memory.current": "5000\n",
                f"system.slice/docker-{ID}.scope/memory.stat": "anon 1\ninactive_file 2000\n",
            },
        ),
    ],
    ids=["version 1", "version 2"],
)
def test_a_container(tmp_path: Path, root: Path, groups: str, files: dict[str, str]) -> None:
    write(tmp_path / "proc", {"7/cgroup": groups})
    write(root, files)
    assert group_of(7, root, tmp_path / "proc").read() == Reading(cpu=123_000, memory=3000)


def test_a_cache_larger_than_what_is_used(tmp_path: Path, root: Path) -> None:
    write(tmp_path / "proc", {"7/cgroup": "0::/x\n"})
    write(root, {"x/cpu.stat": "usage_usec 0\n", "x/memory.current": "5\n", "x/memory.stat": "inactive_file 9\n"})
    assert group_of(7, root, tmp_path / "proc").read().memory == 0


@pytest.mark.parametrize("groups", [V1, V2])
def test_a_group_that_cannot_be_read(tmp_path: Path, root: Path, groups: str) -> None:
    write(tmp_path / "proc", {"7/cgroup": groups})
    with pytest.raises(FileNotFoundError, match="no memory group of process 7"):
        group_of(7, root, tmp_path / "proc")


def test_a_process_that_has_gone(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        group_of(7, tmp_path, tmp_path / "proc")


def test_the_host(tmp_path: Path) -> None:
    stat = "cpu  100 0 50 1000 200 0 0 0 40 0\ncpu0 1 1 1\n"
    meminfo = "MemTotal:  1000 kB\nMemFree:  300 kB\nInactive:  5 kB\nInactive(file):  200 kB\n"
    write(tmp_path, {"stat": stat, "meminfo": meminfo})
    assert host(tmp_path) == Reading(cpu=1_500_000_000, memory=500 << 10)


def test_this_host_is_read() -> None:
    assert host().cpu > 0
    assert host().memory > 0

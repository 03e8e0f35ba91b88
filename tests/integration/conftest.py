"""Servers, engines, images and network namespaces for the integration tests; each is cleaned up by whoever made it."""

from __future__ import annotations

import ctypes
import io
import os
import shutil
import signal
import subprocess
import tarfile
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.agent_host import Host, hollow_host
from tests.cluster import Cluster
from tests.docker_cluster import DockerCluster, running_cluster
from tests.hollow import hollow_cluster
from tests.packages import program

BUSYBOX = Path("/bin/busybox")
DEFAULT_SOCKET = "unix:///var/run/docker.sock"
_CLONE_NEWNET = 0x40000000


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A server process for the tests of one file, without nodes."""
    made = Cluster(tmp_path_factory.mktemp("server"))
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture(scope="module")
def hollow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A server process for the tests of one file with two nodes, ``hollow-0`` and ``hollow-1``, that only pretend."""
    with hollow_cluster(tmp_path_factory.mktemp("hollow")) as made:
        yield made


@dataclass(frozen=True)
class Engine:
    """A Docker daemon for the tests. ``process_id`` is 0 for one that was here before."""

    host: str
    process_id: int = 0


class PrivateEngine:
    """A Docker daemon of the tests' own that leaves the host's network alone, for those that stop and freeze it."""

    def __init__(self) -> None:
        self.place = Path(tempfile.mkdtemp(prefix="lbt", dir="/tmp"))
        self.host = f"unix://{self.place}/s"
        self.process = _spawn_dockerd(self.place)

    def wait(self) -> None:
        _wait_for(lambda: _answers(self.host), 60, lambda: _last_lines(self.place / "log"))

    def restart(self) -> None:
        """As an upgrade of the package does: containers end, as there is no live-restore."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)
        self.process = _spawn_dockerd(self.place)
        self.wait()

    def import_busybox(self) -> str:
        return _import_busybox(self.host)

    def freeze(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def remove(self) -> None:
        self.thaw()
        _stop_dockerd(self.process, self.place)


@pytest.fixture(scope="session")
def docker_engine() -> Iterator[Engine]:
    """The machine's own daemon if it answers, else one of the tests' own."""
    _need_root_and("dockerd")
    if _answers(DEFAULT_SOCKET):
        yield Engine(DEFAULT_SOCKET)
        return
    engine = PrivateEngine()
    try:
        engine.wait()
        yield Engine(engine.host, engine.process.pid)
    finally:
        engine.remove()


@pytest.fixture
def private_engine() -> Iterator[PrivateEngine]:
    """A daemon that the test may restart and freeze."""
    _need_root_and("dockerd")
    engine = PrivateEngine()
    try:
        engine.wait()
        yield engine
    finally:
        engine.remove()


def _spawn_dockerd(place: Path) -> subprocess.Popen[bytes]:
    command = ["dockerd", "--data-root", f"{place}/d", "--exec-root", f"{place}/x", "-p", f"{place}/pid"]
    command += ["-H", f"unix://{place}/s", "--bridge=none", "--iptables=false", "--ip-masq=false"]
    with (place / "log").open("ab") as log:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)


def _stop_dockerd(process: subprocess.Popen[bytes], place: Path) -> None:
    """End it, its containers and its mounts, and remove ``place``."""
    host = f"unix://{place}/s"
    ids = subprocess.run(["docker", "-H", host, "ps", "-aq"], capture_output=True, text=True, timeout=60).stdout.split()
    if ids:
        subprocess.run(["docker", "-H", host, "rm", "-fv", *ids], capture_output=True, timeout=120)
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(10)
    mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for mount in sorted((mount for mount in mounts if mount.startswith(f"{place}/")), reverse=True):
        subprocess.run(["umount", "-l", mount], check=False)
    shutil.rmtree(place, ignore_errors=True)


@pytest.fixture(scope="session")
def busybox_image(docker_engine: Engine) -> str:
    """An image with a shell and the usual tools, made of Debian's busybox-static without any registry."""
    if not BUSYBOX.exists():
        pytest.fail("the tests need busybox-static: apt install busybox-static")
    return _import_busybox(docker_engine.host)


def _import_busybox(host: str) -> str:
    """Make the image in the daemon at ``host``."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.add(BUSYBOX.resolve(), "bin/busybox")
        listed = subprocess.run([BUSYBOX, "--list"], capture_output=True, text=True, check=True).stdout.split()
        for applet in listed:
            if applet != "busybox":
                link = tarfile.TarInfo(f"bin/{applet}")
                link.type, link.linkname = tarfile.SYMTYPE, "busybox"
                tar.addfile(link)
        for name in ("tmp", "etc", "proc", "sys", "dev"):
            folder = tarfile.TarInfo(name)
            folder.type, folder.mode = tarfile.DIRTYPE, 0o1777 if name == "tmp" else 0o755
            tar.addfile(folder)
    name = "longboat-test/busybox:1"
    subprocess.run(
        ["docker", "-H", host, "import", "--change", 'CMD ["sh"]', "-", name],
        input=archive.getvalue(), check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    return name


@dataclass(frozen=True)
class HostNamespace:
    """A "host" in a network namespace, with a neighbour outside. The test runs inside the host."""

    name: str
    outside: str
    address: str = "192.0.2.1"
    outside_address: str = "192.0.2.2"

    def run(self, *command: str, outside: bool = False, check: bool = True) -> str:
        """A command in the host, or at its neighbour."""
        where = self.outside if outside else self.name
        done = subprocess.run(
            ["nsenter", f"--net=/run/netns/{where}", *command], capture_output=True, text=True, timeout=30
        )
        if check and done.returncode != 0:
            raise AssertionError(f"{command}: {done.stderr}")
        return done.stdout


@pytest.fixture
def host_namespace() -> Iterator[HostNamespace]:
    """A network namespace for a host, joined to a neighbour, and entered by the test's thread."""
    with _entered_namespace() as host:
        yield host


@pytest.fixture(scope="session")
def old_kubectl() -> str:
    """A kubectl of 2021. To be asked for before a network namespace is entered, from which nothing can be fetched."""
    return str(program("kubernetes-client", "usr/bin/kubectl"))


@pytest.fixture(scope="module")
def docker_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerCluster]:
    """A server and an agent on a Docker daemon of their own, in a network namespace that the test's thread is in."""
    with _entered_namespace() as host:
        _need_root_and("dockerd")
        engine = PrivateEngine()
        try:
            engine.wait()
            engine.import_busybox()
            with running_cluster(tmp_path_factory.mktemp("cluster"), engine.host, host.address) as cluster:
                yield cluster
        finally:
            engine.remove()


@contextmanager
def _entered_namespace() -> Iterator[HostNamespace]:
    _need_root_and("ip", "nft", "iptables", "nsenter")
    tag = f"{os.getpid() % 100000}"
    host = HostNamespace(f"lbt-h{tag}", f"lbt-o{tag}")
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        for name in (host.name, host.outside):
            subprocess.run(["ip", "netns", "add", name], check=True)
            subprocess.run(["ip", "-n", name, "link", "set", "lo", "up"], check=True)
        commands = [
            f"ip -n {host.name} link add up0 type veth peer name up0 netns {host.outside}",
            f"ip -n {host.name} addr add {host.address}/24 dev up0",
            f"ip -n {host.outside} addr add {host.outside_address}/24 dev up0",
            f"ip -n {host.name} link set up0 mtu 1400 up",
            f"ip -n {host.outside} link set up0 mtu 1400 up",
            f"ip -n {host.name} route add default via {host.outside_address}",
        ]
        for command in commands:
            subprocess.run(command.split(), check=True)
        _enter(f"/run/netns/{host.name}")
        yield host
    finally:
        if ctypes.CDLL(None, use_errno=True).setns(home, _CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "cannot leave the network namespace")
        os.close(home)
        for name in (host.name, host.outside):
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


def _enter(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        if ctypes.CDLL(None, use_errno=True).setns(descriptor, _CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"cannot enter {path}")
    finally:
        os.close(descriptor)


def _need_root_and(*programs: str) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root: it starts a Docker daemon and network namespaces")
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        pytest.fail(f"the tests need {', '.join(missing)}; tests/run installs them")


def _answers(host: str) -> bool:
    return subprocess.run(["docker", "-H", host, "version"], capture_output=True, timeout=30).returncode == 0


def _wait_for(condition, seconds: float, explain) -> None:  # type: ignore[no-untyped-def]
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:g} s: {explain()}")
        time.sleep(0.05)


def _last_lines(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-5:])


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[Host]:
    """A server in this process with one host that only pretends."""
    async with hollow_host(tmp_path) as found:
        yield found

"""kubectl exec, attach and cp on real containers: streams, exit codes, terminals, and what becomes of it when somebody
goes."""

import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from fcntl import ioctl

import pytest
from kubernetes import client as kubernetes
from kubernetes import config
from kubernetes.stream import stream

from tests.cluster import eventually


@pytest.fixture(scope="module")
def host(old_kubectl, docker_cluster):
    docker_cluster.run_pod("p")
    return docker_cluster


@pytest.fixture(params=["websocket", "spdy"])
def kubectl(request, old_kubectl):
    """The kubectl of today, and one of 2021, which knows SPDY only."""
    return "kubectl" if request.param == "websocket" else old_kubectl


@contextmanager
def terminal(command, environ):
    """A command on a terminal of its own of 100 columns and 40 lines; what reads and writes it."""
    process_id, descriptor = pty.fork()
    if process_id == 0:
        os.execvpe(command[0], command, environ)
    ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
    try:
        yield Terminal(process_id, descriptor)
    finally:
        os.close(descriptor)
        os.waitpid(process_id, 0)


class Terminal:
    def __init__(self, process_id, descriptor):
        self.process_id, self.descriptor, self.seen = process_id, descriptor, b""

    def type(self, text):
        os.write(self.descriptor, text.encode())

    def until(self, text, seconds=30):
        """Read until ``text`` shows."""
        deadline = time.monotonic() + seconds
        while text.encode() not in self.seen:
            ready, _, _ = select.select([self.descriptor], [], [], max(0, deadline - time.monotonic()))
            assert ready, f"not within {seconds} s: {text!r}; seen: {self.seen!r}"
            try:
                self.seen += os.read(self.descriptor, 65536)
            except OSError:
                raise AssertionError(f"the command ended; seen: {self.seen!r}") from None
        before, _, self.seen = self.seen.partition(text.encode())
        return before

    def resize(self, lines, columns):
        ioctl(self.descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))


@contextmanager
def killed(command, environ, stdin=subprocess.DEVNULL):
    """A command that is killed at the end."""
    process = subprocess.Popen(command, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environ)
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=10)


# --- exec


def test_output_and_exit_code(host, kubectl):
    done = host.run("exec", "p", "--", "sh", "-c", "echo out; echo err >&2; exit 7", program=kubectl)
    assert (done.returncode, done.stdout) == (7, b"out\n")
    assert done.stderr.startswith(b"err\n")
    assert b"command terminated with exit code 7" in done.stderr


def test_success_says_nothing(host, kubectl):
    done = host.run("exec", "p", "--", "true", program=kubectl)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_stdin_is_passed_on_to_its_end(host, kubectl):
    data = os.urandom(10 << 20)
    done = host.run("exec", "-i", "p", "--", "cat", program=kubectl, data=data)
    assert done.returncode == 0, done.stderr
    assert done.stdout == data


def test_without_i_there_is_no_stdin(host, kubectl):
    done = host.run("exec", "p", "--", "cat", program=kubectl, data=b"nobody reads this")
    assert (done.returncode, done.stdout) == (0, b"")


def test_a_command_that_reads_only_a_part_of_its_stdin(host, kubectl):
    done = host.run("exec", "-i", "p", "--", "head", "-c", "5", program=kubectl, data=b"12345" + b"x" * (4 << 20))
    assert (done.returncode, done.stdout) == (0, b"12345")


def test_a_command_that_closes_its_output_long_before_it_ends(host):
    done = host.run("exec", "p", "--", "sh", "-c", "exec >&- 2>&-; sleep 1; exit 3")
    assert done.returncode == 3


def test_a_terminal_and_its_size(host, kubectl):
    with terminal(host.kubectl("exec", "-it", "p", "--", "sh", program=kubectl), host.environ) as screen:
        screen.until("#")
        screen.type("tty; stty size\n")
        screen.until("/dev/pts/")
        screen.until("40 100")
        screen.resize(24, 80)
        os.kill(screen.process_id, signal.SIGWINCH)
        for _ in range(50):
            screen.until("#")
            screen.type("stty size\n")
            screen.until("\n")
            if b"24 80" in screen.until("\n"):
                break
        else:
            raise AssertionError("the terminal was not resized")
        screen.type("exit\n")


REFUSED = {
    "no such pod": (("nobody", "--", "true"), 'pods "nobody" not found'),
    "no such container": (("p", "-c", "x", "--", "true"), "container x is not valid for pod p"),
    "no such command": (("p", "--", "/no/such"), "no such file or directory"),
}


@pytest.mark.parametrize(("arguments", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_run(host, kubectl, arguments, message):
    done = host.run("exec", *arguments, program=kubectl)
    assert done.returncode != 0
    assert message in (done.stdout + done.stderr).decode()


def test_who_may(host, kubectl):
    """A WebSocket asks with GET, and needs what a POST does."""
    cluster = host.cluster
    cluster.kubectl("create", "role", "looker", "--verb=get", "--resource=pods,pods/exec,pods/attach,pods/portforward")
    cluster.kubectl("create", "rolebinding", "looker", "--role=looker", "--user=alice")
    try:
        refused = host.run("exec", "p", "--as=alice", "--", "true", program=kubectl)
        assert refused.returncode == 1
        assert b'cannot create resource "pods/exec"' in refused.stderr
        cluster.kubectl("create", "role", "doer", "--verb=create", "--resource=pods/exec")
        cluster.kubectl("create", "rolebinding", "doer", "--role=doer", "--user=alice")
        assert host.run("exec", "p", "--as=alice", "--", "true", program=kubectl).returncode == 0
    finally:
        cluster.kubectl("delete", "roles,rolebindings", "--all")


def test_which_of_several_containers(host, kubectl):
    host.run_pod("two", {"name": "a"}, {"name": "b"})
    chosen = host.run("exec", "two", "-c", "b", "--", "hostname", program=kubectl)
    assert (chosen.returncode, chosen.stdout) == (0, b"two\n")
    path = "/api/v1/namespaces/default/pods/two/exec?command=true&stdout=true"
    assert "choose one of: [a b]" in host.run("get", "--raw", path).stderr.decode()
    path = "/api/v1/namespaces/default/pods/p/exec?command=true&stdout=true"
    assert "Upgrade request required" in host.run("get", "--raw", path).stderr.decode()


def test_the_command_of_a_client_that_is_killed_loses_its_stdin(host, kubectl):
    command = host.kubectl("exec", "-i", "p", "--", "cat", "-", program=kubectl)
    with killed(command, host.environ, stdin=subprocess.PIPE) as process:
        process.stdin.write(b"hello\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"hello\n"
        assert "cat -" in host.commands("p")
    eventually(lambda: "cat -" not in host.commands("p"), "cat ended", timeout=20)


def test_the_shell_of_a_terminal_that_is_killed_is_hung_up(host, kubectl):
    with terminal(host.kubectl("exec", "-it", "p", "--", "sh", program=kubectl), host.environ) as screen:
        screen.until("#")
        screen.type("sleep 54321\n")
        eventually(lambda: "sleep 54321" in host.commands("p"), "sleep runs", timeout=20)
        os.kill(screen.process_id, signal.SIGKILL)
        eventually(lambda: host.commands("p") == [], "the shell and sleep ended", timeout=20)


def test_a_client_that_is_killed_while_nobody_reads_its_stdin(host):
    host.run_pod("deaf")
    command = host.kubectl("exec", "-i", "deaf", "--", "sh", "-c", "echo here; sleep 98765")
    with open("/dev/zero", "rb") as zeros, killed(command, host.environ, stdin=zeros) as process:
        assert process.stdout.readline() == b"here\n"
    host.expect_no_streams(40)
    host.cluster.kubectl("delete", "pod", "deaf")


def test_many_at_once(host):
    def one(number):
        done = host.run("exec", "-i", "p", "--", "sh", "-c", f"cat; exit {number}", data=b"%d" % number, timeout=100)
        return done.returncode, done.stdout, done.stderr.count(b"rror from server")

    with ThreadPoolExecutor(60) as pool:
        found = list(pool.map(one, range(60)))
    assert found == [(number, b"%d" % number, 0) for number in range(60)]
    host.expect_no_streams(20)


def test_the_python_client(host):
    config.load_kube_config(str(host.cluster.kubeconfig))
    api = kubernetes.CoreV1Api()
    streams = {"stdin": True, "stdout": True, "stderr": True, "tty": False}
    said = stream(api.connect_get_namespaced_pod_exec, "p", "default", command=["echo", "hello"], **streams)
    assert said == "hello\n"
    talk = stream(
        api.connect_get_namespaced_pod_exec, "p", "default", command=["sh"], _preload_content=False, **streams
    )
    talk.write_stdin("echo two >&2; exit 5\n")
    talk.run_forever(timeout=10)
    assert talk.read_stderr() == "two\n"
    assert talk.returncode == 5


# --- cp


def test_files_are_copied_both_ways(host, kubectl, tmp_path):
    source = tmp_path / "data"
    (source / "folder").mkdir(parents=True)
    (source / "folder/small").write_text("small")
    (source / "large").write_bytes(os.urandom(20 << 20))
    assert host.run("cp", str(source), "p:/tmp/data", program=kubectl).returncode == 0
    assert host.run("cp", "p:/tmp/data", str(tmp_path / "back"), program=kubectl).returncode == 0
    assert subprocess.run(["diff", "-r", source, tmp_path / "back"], check=False).returncode == 0
    assert host.run("exec", "p", "--", "rm", "-r", "/tmp/data").returncode == 0


# --- attach


def test_attach_shows_what_the_container_says(host, kubectl):
    host.run_pod("speaker", {"command": ["sh", "-c", "while true; do echo tick; sleep 0.1; done"]})
    command = host.kubectl("attach", "speaker", program=kubectl)
    with killed(command, host.environ) as process:
        assert process.stdout.readline() == b"tick\n"
    host.cluster.kubectl("delete", "pod", "speaker", "--wait=true")


def test_attach_gives_stdin_once(host, kubectl):
    listener = {"command": ["sh", "-c", "cat; echo the end"], "stdin": True, "stdinOnce": True}
    host.run_pod("listener", listener, restartPolicy="Never")
    done = host.run("attach", "-i", "listener", program=kubectl, data=b"one\ntwo\n")
    assert done.returncode == 0, done.stderr
    assert b"one\ntwo\n" in done.stdout
    eventually(lambda: host.cluster.get("pod", "listener")["status"]["phase"] == "Succeeded", "listener ended")
    assert b"the end" in host.run("logs", "listener").stdout
    host.cluster.kubectl("delete", "pod", "listener")


def test_run_with_a_terminal(host):
    arguments = ("run", "shell", "-it", "--rm", "--restart=Never", "--image=longboat-test/busybox:1", "--", "sh")
    with terminal(host.kubectl(*arguments), host.environ) as screen:
        screen.type("\n")
        screen.until("#")
        screen.type("stty size\n")
        screen.until("40 100")
        screen.type("exit 0\n")
        screen.until("deleted")

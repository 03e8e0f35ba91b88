"""The supervisor for machines without systemd, on real processes."""

import os
import sys
import time
from pathlib import Path

import pytest

from deploy import supervise

ENVIRON = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}


def eventually(condition, timeout=20.0):
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "timed out"
        time.sleep(0.02)


@pytest.fixture
def files(tmp_path):
    pid_file, log_file = tmp_path / "run" / "x.pid", tmp_path / "log" / "x.log"
    yield pid_file, log_file
    supervise.stop(pid_file)


def test_it_restarts_what_ends_and_stops_on_request(files, tmp_path):
    pid_file, log_file = files
    count = tmp_path / "count"
    command = [sys.executable, "-c", f"open({str(count)!r}, 'a').write('x'); raise SystemExit(3)"]
    supervise.start(command, pid_file=pid_file, log_file=log_file, environ=ENVIRON)
    eventually(lambda: count.exists() and len(count.read_text()) >= 2)
    assert supervise.running(pid_file)
    assert supervise.stop(pid_file)
    assert not supervise.running(pid_file)
    assert not pid_file.exists()
    assert "ended with 3" in log_file.read_text()


def test_stopping_ends_the_command_too(files, tmp_path):
    pid_file, log_file = files
    child = tmp_path / "child"
    script = f"import os, time; open({str(child)!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    supervise.start([sys.executable, "-c", script], pid_file=pid_file, log_file=log_file, environ=ENVIRON)
    eventually(lambda: child.exists() and child.read_text())
    assert supervise.stop(pid_file)
    assert not Path(f"/proc/{child.read_text()}").exists()


def test_stopping_nothing(files):
    assert not supervise.stop(files[0])


def test_a_pid_that_now_is_another_process_is_not_ours(files):
    pid_file, _ = files
    pid_file.parent.mkdir()
    pid_file.write_text(str(os.getpid()))
    assert not supervise.running(pid_file)

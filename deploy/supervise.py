"""A process supervisor for machines without systemd: restarts a command with back-off and keeps its log short.

``python -m deploy.supervise --pid-file FILE --log-file FILE -- COMMAND ...`` detaches, writes its own process id,
and runs the command until it gets SIGTERM, which it passes on. Uses the standard library only, so that it runs
from an unpacked artefact before anything else does.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

LOG_LIMIT = 20_000_000
"""Bytes after which the log becomes ``<log>.1`` and a new one begins; checked at each start of the command."""

FIRST_DELAY, LONGEST_DELAY, STEADY = 0.2, 10.0, 30.0
"""Seconds: the back-off's first and longest delay, and how long a run must last to reset it."""


def running(pid_file: Path) -> int:
    """The process id in ``pid_file`` if that process lives and is a supervisor, else 0."""
    try:
        pid = int(pid_file.read_text())
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError):
        return 0
    return pid if b"deploy.supervise" in command and os.fsencode(pid_file) in command else 0


def start(command: Sequence[str], *, pid_file: Path, log_file: Path, environ: dict[str, str] | None = None) -> None:
    """Start a detached supervisor of ``command``, in a session of its own."""
    subprocess.Popen(
        [sys.executable, "-m", "deploy.supervise", "--pid-file", str(pid_file), "--log-file", str(log_file), "--",
         *command],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        cwd="/", env=environ,
    )  # fmt: skip


def stop(pid_file: Path, timeout: float = 30.0) -> bool:
    """End the supervisor and its command; False if none was running. Kills what outlasts ``timeout`` seconds."""
    pid = running(pid_file)
    if not pid:
        return False
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + timeout
    while running(pid_file) == pid:
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)
    pid_file.unlink(missing_ok=True)
    return True


def supervise(command: Sequence[str], pid_file: Path, log_file: Path) -> int:
    """Run ``command`` again and again until SIGTERM; its own exit code is 0 then."""
    child: subprocess.Popen[bytes] | None = None
    stopping = False

    def end(signum: int, frame: FrameType | None) -> None:
        nonlocal stopping
        stopping = True
        if child is not None and child.poll() is None:
            child.terminate()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    pid_file.parent.mkdir(parents=True, exist_ok=True)
    log_file.parent.mkdir(parents=True, exist_ok=True)
    pid_file.write_text(f"{os.getpid()}\n")
    delay = FIRST_DELAY
    while not stopping:
        with contextlib.suppress(OSError):
            if log_file.stat().st_size > LOG_LIMIT:
                log_file.replace(log_file.with_name(log_file.name + ".1"))
        began = time.monotonic()
        with log_file.open("ab") as log:
            child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        if stopping:
            child.terminate()
        code = child.wait()
        if stopping:
            break
        delay = FIRST_DELAY if time.monotonic() - began > STEADY else min(LONGEST_DELAY, delay * 2)
        with log_file.open("a") as words:
            print(f"supervise: {command[0]} ended with {code}; again in {delay:.1f} s", file=words)
        deadline = time.monotonic() + delay
        while not stopping and time.monotonic() < deadline:
            signal.sigtimedwait([], min(0.2, delay))
    pid_file.unlink(missing_ok=True)
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m deploy.supervise", description=__doc__)
    parser.add_argument("--pid-file", type=Path, required=True)
    parser.add_argument("--log-file", type=Path, required=True)
    parser.add_argument("command", nargs="+")
    arguments = parser.parse_args()
    return supervise(arguments.command, arguments.pid_file, arguments.log_file)


if __name__ == "__main__":
    sys.exit(main())

"""The Docker engine of this machine, through its own command line: is it there, start it, load an image.

(The SDK has one door, the agent's runtime; these few calls before there is an agent do without it.)
"""

from __future__ import annotations

import shutil
import subprocess
import time

from deploy.services import Service, Services, Systemd

SERVICE = "longboat-dockerd"
"""The name that a dockerd of ours is supervised under, where no systemd runs."""


class EngineError(Exception):
    """Docker cannot be used; the message says what to do."""


def version() -> str:
    """The engine's version, or "" when none answers."""
    if shutil.which("docker") is None:
        return ""
    done = subprocess.run(
        ["docker", "version", "--format", "{{.Server.Version}}"], capture_output=True, text=True, timeout=30
    )
    return done.stdout.strip() if done.returncode == 0 else ""


def ensure(services: Services, timeout: float = 60.0) -> tuple[str, bool]:
    """A running engine (blocks until it runs): its version, and whether it had to be started. Raises EngineError."""
    if found := version():
        return found, False
    if shutil.which("dockerd") is None:
        raise EngineError("there is no Docker engine here; install one (on Debian: apt-get install docker.io)")
    if isinstance(services, Systemd):
        done = subprocess.run(["systemctl", "start", "docker"], capture_output=True, text=True, timeout=120)
        if done.returncode:
            raise EngineError(f"systemctl start docker: {done.stderr.strip()}; see journalctl -u docker")
    else:
        services.start(Service(SERVICE, (shutil.which("dockerd") or "dockerd",)))
    deadline = time.monotonic() + timeout
    while not (found := version()):
        if time.monotonic() > deadline:
            raise EngineError(f"Docker did not start in {timeout:.0f} s; see {services.log_hint(SERVICE)}")
        time.sleep(0.2)
    return found, True


def has_image(tag: str) -> bool:
    done = subprocess.run(["docker", "image", "inspect", tag], capture_output=True, timeout=30)
    return done.returncode == 0


def load(archive: bytes) -> None:
    """``docker load``. Raises EngineError."""
    done = subprocess.run(["docker", "load", "-q"], input=archive, capture_output=True, timeout=120)
    if done.returncode:
        raise EngineError(f"docker load: {done.stderr.decode(errors='replace').strip()}")


def remove_ours() -> int:
    """Remove every container of a Longboat agent on this engine; how many there were."""
    if not version():
        return 0
    found = _lines("ps", "-aq", "--filter", "label=dev.longboat.node")
    if found:
        subprocess.run(["docker", "rm", "-f", "-v", *found], capture_output=True, timeout=300)
    return len(found)


def remove_images(*tags: str) -> None:
    """Remove images of ours; those not there are no error."""
    if version():
        subprocess.run(["docker", "image", "rm", "-f", *tags], capture_output=True, timeout=60)


def pause_images() -> list[str]:
    """The sandbox images that agents imported."""
    return _lines("images", "--format", "{{.Repository}}:{{.Tag}}", "longboat/pause") if version() else []


def _lines(*arguments: str) -> list[str]:
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=60).stdout.split()

"""``longboat up`` and ``longboat down``: a cluster of this machine alone, in the background.

Everything it makes is below one state directory (server, agent, run, log), in services that begin with
``longboat-``, in containers with the label dev.longboat.node, and in the network that the agent made. ``up`` is
level-based: it looks, changes what is not as it should be, and says which.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from importlib import resources
from pathlib import Path
from typing import Any

import aiohttp

from deploy import engine, services, tokens
from deploy.cluster import Connection, connect
from deploy.progress import Progress
from deploy.samples import image
from deploy.services import Service, longboat_command
from shared import codec, pki
from shared.addresses import outward_address
from shared.api.errors import AlreadyExists, NotFound, StatusError
from shared.api.kinds import DEPLOYMENTS, LEASES, NODE_LEASE_NAMESPACE, PODS
from shared.client.kubeconfig import ADMIN_KUBECONFIG

SERVER, AGENT = "longboat-server", "longboat-agent"
HELLO_IMAGE = "longboat/hello:1"
HELLO_PORT = 8088
PAGE = b"<!doctype html><title>Longboat</title><h1>Hello from Longboat</h1><p>A pod on this machine.</p>\n"


class LocalError(Exception):
    """The local cluster could not be made; the message says where to look."""


async def bring_up(state: Path, *, port: int, sample: bool) -> None:
    """Start what does not run, wait until the node is Ready, apply the sample. Raises LocalError."""
    _check_root("up")
    progress = Progress()
    chosen = services.choose(state)
    state.mkdir(parents=True, exist_ok=True, mode=0o755)
    with progress.step("Docker engine") as step:
        version, started = await asyncio.to_thread(engine.ensure, chosen)
        (step.did if started else step.found)(f"Docker engine {version}{' started' if started else ''}")
    address = outward_address() or "127.0.0.1"
    kubeconfig = state / "server" / ADMIN_KUBECONFIG
    with progress.step("control plane") as step:
        _check_port(port, chosen)
        command = longboat_command(
            "server", "--data-dir", str(state / "server"), "--listen", f"0.0.0.0:{port}", "--advertise",
            f"{address}:{port}",
        )  # fmt: skip
        started = chosen.start(Service(SERVER, command))
        await _until(lambda: _ready(kubeconfig), f"the control plane did not start; see {chosen.log_hint(SERVER)}")
        (step.did if started else step.found)(f"control plane at https://{address}:{port}")
    async with connect(kubeconfig) as connection:
        await _bring_up_node(progress, connection, chosen, state)
        if sample:
            await _bring_up_sample(progress, connection, chosen, f"http://{address}:{HELLO_PORT}/")
    _say_what_next(progress, kubeconfig, address if sample else "")


async def take_down(state: Path, *, purge: bool) -> None:
    """Stop agent, containers, server, and an engine that ``up`` started; with ``purge`` remove all state."""
    _check_root("down")
    progress = Progress()
    chosen = services.choose(state)
    for name, text in ((AGENT, "agent"), (SERVER, "control plane")):
        with progress.step(text) as step:
            stopped = chosen.stop(name)
            if purge:
                chosen.remove(name)
            (step.did if stopped else step.found)(f"{text} {'stopped' if stopped else 'was not running'}")
    with progress.step("containers and network") as step:
        from agent.network.teardown import teardown
        from agent.pods.volumes.memory import unmount_below

        count = engine.remove_ours()
        await teardown()
        (step.did if count else step.found)(f"{count} containers removed")
    if purge:
        with progress.step("state") as step:
            engine.remove_images(HELLO_IMAGE, *engine.pause_images())
            chosen.remove(engine.SERVICE)
            existed = state.exists()
            unmount_below(state / "agent")
            shutil.rmtree(state, ignore_errors=True)
            (step.did if existed else step.found)(f"{state} {'removed' if existed else 'was not there'}")
    elif chosen.stop(engine.SERVICE):
        progress.say("done    the Docker engine that `longboat up` had started is stopped")
    if not progress.changed:
        progress.say("Nothing was running: nothing changed.")


async def _bring_up_node(progress: Progress, connection: Connection, chosen: services.Services, state: Path) -> None:
    name = socket.gethostname().lower()
    agent_dir = state / "agent"
    with progress.step(f"node {name}") as step:
        command = [
            "agent", "--server", connection.access.server, "--data-dir", str(agent_dir), "--node-name", name,
            "--token-file", str(state / "join-token"),
        ]  # fmt: skip
        if not (agent_dir / "node.crt").exists():
            token = await tokens.create_with(connection, timedelta(minutes=30), "longboat up")
            pki.write_private(state / "join-token", token.encode())
        began = datetime.now(UTC)
        started = chosen.start(Service(AGENT, longboat_command(*command), after=f"{SERVER}.service docker.service"))

        async def ready() -> bool:
            try:
                lease = await connection.client.get(LEASES, name, NODE_LEASE_NAMESPACE)
            except NotFound:
                return False
            # After a restart the old Ready stands until the lease ends: an agent just started must have reported.
            reported = lease.spec.renew_time
            fresh = not started or (reported is not None and reported >= began)
            return fresh and await connection.node_ready(name)

        await _until(ready, f"the node did not become Ready; see {chosen.log_hint(AGENT)}", timeout=90)
        (state / "join-token").unlink(missing_ok=True)
        (step.did if started else step.found)(f"node {name} is Ready")


async def _bring_up_sample(progress: Progress, connection: Connection, chosen: services.Services, url: str) -> None:
    with progress.step("sample image") as step:
        if engine.has_image(HELLO_IMAGE):
            step.found(f"image {HELLO_IMAGE}")
        else:
            await asyncio.to_thread(engine.load, image.archive(HELLO_IMAGE, files={"www/index.html": PAGE}))
            step.did(f"image {HELLO_IMAGE} made")
    with progress.step("deploy/samples/hello.yaml") as step:
        manifest: dict[str, Any] = codec.decode_yaml(
            resources.files("deploy.samples").joinpath("hello.yaml").read_bytes()
        )
        try:
            await connection.client.create(DEPLOYMENTS, manifest, "default")
            created = True
        except AlreadyExists:
            created = False

        async def available() -> bool:
            found = await connection.client.get(DEPLOYMENTS, "hello", "default")
            return (
                found.status.observed_generation >= found.metadata.generation
                and any(c.type == "Available" and c.status == "True" for c in found.status.conditions)
                and await _answers(url)
            )

        try:
            await _until(available, "", timeout=90)
        except LocalError:
            raise LocalError(await _why_not(connection, chosen)) from None
        (step.did if created else step.found)("deployment hello is available")


async def _why_not(connection: Connection, chosen: services.Services) -> str:
    pods = await connection.client.list(PODS, "default", label_selector="app=hello")
    for pod in pods.items:
        for status in pod.status.container_statuses:
            if status.state.waiting is not None and status.state.waiting.reason:
                return f"pod {pod.metadata.name}: {status.state.waiting.reason}: {status.state.waiting.message}"
        for condition in pod.status.conditions:
            if condition.status == "False" and condition.message:
                return f"pod {pod.metadata.name}: {condition.reason}: {condition.message}"
    return f"deployment hello did not become available; see {chosen.log_hint(AGENT)}"


def _say_what_next(progress: Progress, kubeconfig: Path, address: str) -> None:
    beside = Path(sys.executable).parent / "kubectl"
    kubectl = "kubectl" if shutil.which("kubectl") or not beside.exists() else str(beside)
    progress.say()
    if not progress.changed:
        progress.say("Everything was up already: nothing changed.")
    if address:
        progress.say(f"The page:    http://{address}:{HELLO_PORT}/")
    progress.say(f"Kubeconfig:  {kubeconfig}")
    progress.say("Try next:")
    progress.say(f"  export KUBECONFIG={kubeconfig}")
    progress.say(f"  {kubectl} get pods -o wide")
    progress.say(f"  {kubectl} describe deployment hello" if address else f"  {kubectl} get nodes -o wide")


async def _until(check: Callable[[], Awaitable[bool]], failure: str, timeout: float = 30.0) -> None:
    deadline = asyncio.get_running_loop().time() + timeout
    while True:
        try:
            if await check():
                return
        except StatusError as error:
            if asyncio.get_running_loop().time() > deadline:
                raise LocalError(f"{failure} ({error.message})") from error
        if asyncio.get_running_loop().time() > deadline:
            raise LocalError(failure)
        await asyncio.sleep(0.1)


async def _answers(url: str) -> bool:
    timeout = aiohttp.ClientTimeout(total=2)
    try:
        async with aiohttp.ClientSession(timeout=timeout) as session, session.get(url) as response:
            return response.status == 200
    except (aiohttp.ClientError, TimeoutError):
        return False


async def _ready(kubeconfig: Path) -> bool:
    if not kubeconfig.exists():
        return False
    async with connect(kubeconfig) as connection:
        await connection.client.request("GET", "/readyz")
        return True


def _check_port(port: int, chosen: services.Services) -> None:
    if chosen.running(SERVER):
        return
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))
        except OSError as error:
            raise LocalError(f"port {port} is in use by another program; choose one with --port") from error


def _check_root(command: str) -> None:
    if os.geteuid() != 0:
        raise LocalError(f"longboat {command} needs root: it uses Docker and the host's network")

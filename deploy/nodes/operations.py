"""``longboat node add`` and ``longboat node remove``: several hosts side by side, one line for each.

A run looks at each host, plans, does the plan, and reports. It is level-based: run again, it repairs. The join
token is made for one run, goes over SSH's stdin into a 0600 file, and is revoked at the end.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from deploy import tokens
from deploy.cluster import Connection, connect
from deploy.nodes import artifact, facts, onhost, plan, remote
from deploy.nodes.artifact import Artifact
from deploy.nodes.errors import NodeError
from deploy.nodes.inventory import Target, parse_all
from deploy.nodes.plan import DeleteNode, Operation, Start, Uninstall, Upload, WaitReady
from deploy.nodes.remote import Remote
from shared import join
from shared.api.errors import NotFound, StatusError
from shared.api.kinds import NODES, SECRETS

AT_A_TIME = 16
READY_TIMEOUT = 90.0
"""Seconds that a host may take from the agent's start until its node is Ready."""

TOKEN_LIFE = timedelta(minutes=15)
Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class _Run:
    """What all hosts of one run share."""

    connection: Connection
    key: Path | None
    accept_new: bool
    dry_run: bool
    report: Report
    artifact: Artifact | None = None
    token: str = ""


async def add_nodes(
    hosts: Sequence[str],
    *,
    kubeconfig: Path | None,
    key: Path | None,
    accept_new: bool,
    dry_run: bool,
    report: Report,
) -> int:
    """Install, join, wait. The exit code: 0 when every host is Ready, else 1. Raises NodeError for a bad list."""
    targets = parse_all(hosts)
    async with connect(kubeconfig) as connection:
        built = await asyncio.to_thread(artifact.build)
        token = "" if dry_run else await tokens.create_with(connection, TOKEN_LIFE, "longboat node add")
        run = _Run(connection, key, accept_new, dry_run, report, built, token)
        try:
            return await _all(targets, lambda target: _add(run, target), report)
        finally:
            if token:
                await _revoke(connection, token)


async def remove_nodes(
    hosts: Sequence[str],
    *,
    kubeconfig: Path | None,
    key: Path | None,
    accept_new: bool,
    dry_run: bool,
    report: Report,
) -> int:
    """Undo ``add_nodes``. The exit code as there."""
    targets = parse_all(hosts)
    async with connect(kubeconfig) as connection:
        run = _Run(connection, key, accept_new, dry_run, report)
        return await _all(targets, lambda target: _remove(run, target), report)


async def _all(targets: Sequence[Target], work: Callable[[Target], Awaitable[str]], report: Report) -> int:
    width = max(len(target.text) for target in targets)
    slots = asyncio.Semaphore(AT_A_TIME)

    async def one(target: Target) -> bool:
        async with slots:
            try:
                report(f"{target.text:<{width}}  {await work(target)}")
                return True
            except (NodeError, StatusError) as error:
                report(f"{target.text:<{width}}  FAILED: {error}")
                return False

    return 0 if all(await asyncio.gather(*(one(target) for target in targets))) else 1


async def _add(run: _Run, target: Target) -> str:
    assert run.artifact is not None
    async with remote.connect(target, key=run.key, accept_new=run.accept_new) as host:
        found = facts.parse(await host.script(facts.SCRIPT))
        if wrong := facts.problems(found):
            raise NodeError("; ".join(wrong))
        steps = plan.add(found, run.artifact.digest)
        if run.dry_run:
            return _dry(steps)
        said = [text for step in steps if (text := await _do(run, host, step))]
    return f"node {found.hostname}: " + ", ".join(said)


async def _remove(run: _Run, target: Target) -> str:
    async with remote.connect(target, key=run.key, accept_new=run.accept_new) as host:
        found = facts.parse(await host.script(facts.SCRIPT))
        if not found.root and not found.sudo:
            raise NodeError("needs root: log in as root, or allow this user sudo without a password")
        steps = plan.remove(found)
        if run.dry_run:
            return _dry(steps)
        said = [text for step in steps if (text := await _do(run, host, step))]
    return f"node {found.hostname}: " + ", ".join(said)


async def _do(run: _Run, host: Remote, step: Operation) -> str:
    match step:
        case Upload():
            return await _upload(run, host, step)
        case Start():
            return await _start(run, host, step)
        case WaitReady():
            return await _wait_ready(run, step.node)
        case Uninstall():
            answer = await _onhost(host, "remove")
            return "agent, containers and network removed" if answer else ""
        case DeleteNode():
            try:
                await run.connection.client.delete(NODES, step.node)
            except NotFound:
                return "was not in the cluster"
            return "deleted from the cluster"


async def _upload(run: _Run, host: Remote, step: Upload) -> str:
    assert run.artifact is not None
    release = f"{onhost.ROOT}/releases/{step.digest}"
    await host.run("rm", "-rf", release)
    await host.run("mkdir", "-p", release)
    await host.run("tar", "-xzf", "-", "-C", release, "--no-same-owner", data=run.artifact.data)
    await host.run("python3", "-m", "compileall", "-q", release, check=False)
    await host.run("ln", "-sfn", release, f"{onhost.ROOT}/current.new")
    # Renamed over: at every moment there is a whole release behind the name.
    await host.run("mv", "-T", f"{onhost.ROOT}/current.new", f"{onhost.ROOT}/current")
    others = ["-mindepth", "1", "-maxdepth", "1", "!", "-name", step.digest]
    await host.run("find", f"{onhost.ROOT}/releases", *others, "-exec", "rm", "-rf", "{}", "+")
    return f"agent {step.digest} installed"


async def _start(run: _Run, host: Remote, step: Start) -> str:
    await host.write(str(onhost.TOKEN_FILE), run.token.encode())
    arguments = ["start", "--server", run.connection.access.server, "--node", step.node]
    if step.anew or not await run.connection.node_ready(step.node):
        arguments.append("--restart")
    return "agent started" if await _onhost(host, *arguments) else "agent runs"


async def _wait_ready(run: _Run, node: str) -> str:
    deadline = asyncio.get_running_loop().time() + READY_TIMEOUT
    while not await run.connection.node_ready(node):
        if asyncio.get_running_loop().time() > deadline:
            raise NodeError(
                f"node {node} was not Ready within {READY_TIMEOUT:.0f} s; on the host: journalctl -u {onhost.SERVICE}"
                f" (without systemd: tail {onhost.STATE}/log/{onhost.SERVICE}.log)"
            )
        await asyncio.sleep(0.2)
    return "Ready"


async def _onhost(host: Remote, *arguments: str) -> bool:
    """Run the artefact's own module on the host; whether it changed something. Raises NodeError."""
    path = f"PYTHONPATH={onhost.ROOT}/current"
    said = await host.run("env", path, "python3", "-m", "deploy.nodes.onhost", *arguments, check=False)
    try:
        answer = json.loads(said.strip().splitlines()[-1])
    except (IndexError, ValueError):
        raise NodeError(f"the agent's installer gave no answer: {said.strip()[-200:] or 'nothing'}") from None
    if "error" in answer:
        raise NodeError(str(answer["error"]))
    return bool(answer["changed"])


async def _revoke(connection: Connection, token: str) -> None:
    try:
        await connection.client.delete(SECRETS, join.secret_name(tokens.id_of(token)), join.NAMESPACE)
    except NotFound:
        return  # expired and gone by itself


def _dry(steps: Sequence[Operation]) -> str:
    return "would " + "; ".join(str(step) for step in steps)

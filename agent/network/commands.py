"""The host's nft and iptables, run from argument lists with a time limit. No state; no shell.

iptables is touched for one thing only: where Docker sets the policy of FORWARD to DROP, what our bridge forwards
must be accepted there, as no other table can undo a drop. Docker names DOCKER-USER as the place for that
("Packet filtering and firewalls" in its documentation); where Docker has not made it, FORWARD itself.
"""

from __future__ import annotations

import asyncio
import logging
import shutil

import orjson

from agent.network import rules
from agent.network.base import NetworkFailure
from agent.network.rules import HostPort, Target

logger = logging.getLogger(__name__)
_SEARCH = "/usr/sbin:/sbin:/usr/bin:/bin:/usr/local/sbin:/usr/local/bin"
_LOCK_WAIT = "5"
"""Seconds that iptables waits for its own lock."""


class CommandFailed(Exception):
    """A command ended with another code than 0; the message is what it wrote."""


async def nft(batch: str, timeout: float) -> None:
    """Apply a batch wholly or not at all. Raises NetworkFailure."""
    try:
        await _run(["nft", "-f", "-"], timeout, batch.encode())
    except CommandFailed as error:
        raise NetworkFailure(f"nft refused our rules: {error}") from error


async def list_ports(table: str, timeout: float) -> dict[HostPort, Target] | None:
    """The host ports in our table; None when there is no such table. Raises NetworkFailure."""
    try:
        output = await _run(["nft", "-j", "list", "table", "ip", table], timeout)
    except CommandFailed as error:
        if "No such file or directory" in str(error):
            return None
        raise NetworkFailure(f"nft cannot list our rules: {error}") from error
    return rules.read_ports(orjson.loads(output))


async def accept_forwarding(bridge: str, timeout: float) -> bool:
    """Let the bridge forward, where iptables exists. Whether anything had to be changed."""
    if _find("iptables") is None:
        return False
    chain = "DOCKER-USER" if await _succeeds(["iptables", "-w", _LOCK_WAIT, "-n", "-L", "DOCKER-USER"], timeout) else ""
    changed = False
    for direction in ("-i", "-o"):
        rule = _forward_rule(direction, bridge)
        if not await _succeeds(["iptables", "-w", _LOCK_WAIT, "-C", chain or "FORWARD", *rule], timeout):
            try:
                await _run(["iptables", "-w", _LOCK_WAIT, "-I", chain or "FORWARD", *rule], timeout)
            except CommandFailed as error:
                raise NetworkFailure(f"iptables refused to accept what {bridge} forwards: {error}") from error
            changed = True
    return changed


async def withdraw_forwarding(bridge: str, timeout: float) -> None:
    """Remove what ``accept_forwarding`` added, wherever it is."""
    if _find("iptables") is None:
        return
    for chain in ("DOCKER-USER", "FORWARD"):
        for direction in ("-i", "-o"):
            rule = _forward_rule(direction, bridge)
            for _ in range(8):  # were it there more than once
                if not await _succeeds(["iptables", "-w", _LOCK_WAIT, "-D", chain, *rule], timeout):
                    break


def _forward_rule(direction: str, bridge: str) -> list[str]:
    return [direction, bridge, "-m", "comment", "--comment", "longboat", "-j", "ACCEPT"]


def _find(program: str) -> str | None:
    """Where a daemon's short PATH may not lead."""
    return shutil.which(program) or shutil.which(program, path=_SEARCH)


async def _succeeds(command: list[str], timeout: float) -> bool:
    try:
        await _run(command, timeout)
    except CommandFailed:
        return False
    return True


async def _run(command: list[str], timeout: float, stdin: bytes = b"") -> bytes:
    """Its output. Raises CommandFailed; NetworkFailure when it is not installed or does not end."""
    program = _find(command[0])
    if program is None:
        raise NetworkFailure(f"{command[0]} is not installed on this host; install it (Debian: apt install nftables)")
    process = await asyncio.create_subprocess_exec(
        program, *command[1:], stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        async with asyncio.timeout(timeout):
            output, errors = await process.communicate(stdin)
    except TimeoutError as error:
        raise NetworkFailure(f"{command[0]} did not end within {timeout:g} s") from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        raise CommandFailed(errors.decode(errors="replace").strip() or f"exit code {process.returncode}")
    return output

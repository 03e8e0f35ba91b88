"""One SSH connection to one host: commands from argument lists, bytes to a file, bounded in time.

Host keys: those in ``~/.ssh/known_hosts`` are trusted; one not seen before is refused, or with ``accept_new``
written there first, as OpenSSH's StrictHostKeyChecking=accept-new; one that has changed is always refused.
"""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import asyncssh

from deploy.nodes.errors import NodeError
from deploy.nodes.inventory import Target
from shared.unreachable import why

CONNECT_TIMEOUT = 10.0
COMMAND_TIMEOUT = 120.0
"""Seconds."""


class Remote:
    """Commands on a host, as root where ``privileged`` (through ``sudo -n`` unless the user is root)."""

    def __init__(self, target: Target, connection: asyncssh.SSHClientConnection) -> None:
        self.target = target
        self._connection = connection

    async def script(self, text: str) -> str:
        """Run constant shell text as the SSH user; its stdout. Raises NodeError."""
        return await self._run(["sh"], text.encode(), check=False)

    async def run(self, *command: str, data: bytes = b"", check: bool = True) -> str:
        """Run one command as root, with ``data`` on its stdin; its stdout. Raises NodeError with its stderr."""
        words = list(command) if self.target.user == "root" else ["sudo", "-n", "--", *command]
        return await self._run(words, data, check=check)

    async def write(self, path: str, data: bytes) -> None:
        """A file of mode 0600 that nobody could read at any moment."""
        await self.run("mkdir", "-p", str(Path(path).parent))
        await self.run("install", "-m", "600", "/dev/null", path)
        await self.run("tee", path, data=data)

    async def _run(self, words: Sequence[str], data: bytes, *, check: bool) -> str:
        try:
            async with asyncio.timeout(COMMAND_TIMEOUT):
                # without input, the end of it at once: asyncssh would leave stdin open, and who reads it would hang
                given = {"input": data} if data else {"stdin": asyncssh.DEVNULL}
                done = await self._connection.run(shlex.join(words), encoding=None, **given)
        except TimeoutError:
            raise NodeError(f"{words[0]}: no end after {COMMAND_TIMEOUT:.0f} s") from None
        except (asyncssh.Error, OSError) as error:
            raise NodeError(f"the SSH connection broke: {error}") from error
        stdout, stderr = _text(done.stdout), _text(done.stderr)
        if check and done.exit_status != 0:
            said = (stderr or stdout).strip().splitlines()
            raise NodeError(f"{words[0]}: {said[-1] if said else f'exit code {done.exit_status}'}")
        return stdout


@asynccontextmanager
async def connect(target: Target, *, key: Path | None, accept_new: bool) -> AsyncIterator[Remote]:
    """A connection for the length of the block. Raises NodeError with what to do."""
    known = Path.home() / ".ssh" / "known_hosts"
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT):
            if accept_new:
                await _accept(target, known)
            connection = await asyncssh.connect(
                target.host,
                target.port,
                username=target.user,
                client_keys=[str(key)] if key else (),
                known_hosts=str(known) if known.exists() else b"",
                keepalive_interval=15,
            )
    except TimeoutError:
        raise NodeError(f"no SSH at {target.host}:{target.port} within {CONNECT_TIMEOUT:.0f} s") from None
    except asyncssh.HostKeyNotVerifiable as error:
        raise NodeError(
            f"its host key is not in {known} or has changed: --accept-new takes one never seen before ({error})"
        ) from error
    except asyncssh.PermissionDenied as error:
        raise NodeError(f"SSH refused {target.user}: give the right user and key (-i)") from error
    except asyncssh.KeyImportError as error:
        raise NodeError(f"the SSH key cannot be used: {error}") from error
    except (asyncssh.Error, OSError) as error:
        raise NodeError(f"no SSH at {target.host}:{target.port}: {why(error)}") from error
    async with connection:
        yield Remote(target, connection)


async def _accept(target: Target, known: Path) -> None:
    """Remember the host's key if this host has none in ``known`` yet."""
    name = target.host if target.port == 22 else f"[{target.host}]:{target.port}"
    text = known.read_text() if known.exists() else ""
    if text:
        trusted = asyncssh.import_known_hosts(text).match(target.host, target.host, target.port)
        if any(trusted[:3]):
            return
    found = await asyncssh.get_server_host_key(target.host, target.port)
    if found is None:
        raise NodeError("shows no host key")
    known.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with known.open("a") as file:
        file.write(f"{name} {found.export_public_key('openssh').decode().strip()}\n")


def _text(data: bytes | str | None) -> str:
    return data.decode(errors="replace") if isinstance(data, bytes) else data or ""

"""SSH as ``longboat node`` uses it, against a real SSH server on loopback that runs the commands here."""

from __future__ import annotations

import asyncio
import gc
import os
import stat
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import asyncssh
import pytest

from deploy.nodes import facts, remote
from deploy.nodes.errors import NodeError
from deploy.nodes.inventory import Target


@dataclass
class Server:
    """``accepts`` is the private key that its one user, root, may come with."""

    port: int
    accepts: Path
    listener: asyncssh.SSHAcceptor
    host_key: asyncssh.SSHKey
    keys: Path

    @property
    def target(self) -> Target:
        return Target(f"root@127.0.0.1:{self.port}", "root", "127.0.0.1", self.port)


async def run_here(process: asyncssh.SSHServerProcess[bytes]) -> None:
    """The command through a shell, as sshd does, with the client's stdin."""
    data = await process.stdin.read()
    done = await asyncio.create_subprocess_exec(
        "sh", "-c", process.command or "true", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await done.communicate(data)
    process.stdout.write(out)
    process.stderr.write(err)
    process.exit(done.returncode or 0)


async def listen(host_key: asyncssh.SSHKey, authorized: Path, port: int = 0) -> asyncssh.SSHAcceptor:
    return await asyncssh.listen(
        "127.0.0.1", port, server_host_keys=[host_key], authorized_client_keys=str(authorized),
        process_factory=run_here, encoding=None,
    )  # fmt: skip


@pytest.fixture
async def server(tmp_path, monkeypatch) -> AsyncIterator[Server]:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    key = asyncssh.generate_private_key("ssh-ed25519")
    private, authorized = tmp_path / "id", tmp_path / "authorized"
    key.write_private_key(private)
    key.write_public_key(authorized)
    host_key = asyncssh.generate_private_key("ssh-ed25519")
    listener = await listen(host_key, authorized)
    made = Server(listener.get_port(), private, listener, host_key, authorized)
    yield made
    made.listener.close()
    await made.listener.wait_closed()
    # asyncssh leaves cycles behind; were they collected while some later import parses its source, CPython 3.11
    # ends with "SystemError: AST constructor recursion depth mismatch"
    gc.collect()


async def test_host_seen_for_the_first_time_is_refused_unless_told_to_accept_and_remembered_then(server):
    with pytest.raises(NodeError, match="--accept-new"):
        async with remote.connect(server.target, key=server.accepts, accept_new=False):
            pass
    async with remote.connect(server.target, key=server.accepts, accept_new=True) as host:
        assert await host.run("echo", "a b", "$HOME") == "a b $HOME\n"
    async with remote.connect(server.target, key=server.accepts, accept_new=False) as host:
        assert await host.run("cat", data=b"bytes") == "bytes"


async def test_changed_host_key_is_refused_even_when_told_to_accept(server):
    async with remote.connect(server.target, key=server.accepts, accept_new=True):
        pass
    server.listener.close()
    await server.listener.wait_closed()
    server.listener = await listen(asyncssh.generate_private_key("ssh-ed25519"), server.keys, server.port)
    with pytest.raises(NodeError, match="has changed"):
        async with remote.connect(server.target, key=server.accepts, accept_new=True):
            pass


async def test_wrong_key_says_what_to_give(server, tmp_path):
    asyncssh.generate_private_key("ssh-ed25519").write_private_key(tmp_path / "other")
    with pytest.raises(NodeError, match="give the right user and key"):
        async with remote.connect(server.target, key=tmp_path / "other", accept_new=True):
            pass


async def test_nothing_listens(server):
    server.listener.close()
    await server.listener.wait_closed()
    with pytest.raises(NodeError, match=f"no SSH at 127.0.0.1:{server.port}"):
        async with remote.connect(server.target, key=server.accepts, accept_new=True):
            pass


async def test_secret_file_is_private_and_its_content_is_in_no_command(server, tmp_path):
    path = tmp_path / "deep" / "token"
    async with remote.connect(server.target, key=server.accepts, accept_new=True) as host:
        await host.write(str(path), b"secret")
        await host.write(str(path), b"other secret")
    assert path.read_bytes() == b"other secret"
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600


async def test_failed_command_says_its_last_line(server):
    async with remote.connect(server.target, key=server.accepts, accept_new=True) as host:
        with pytest.raises(NodeError, match="No such file"):
            await host.run("cat", "/no/such/file")


async def test_facts_of_this_machine(server):
    async with remote.connect(server.target, key=server.accepts, accept_new=True) as host:
        found = facts.parse(await host.script(facts.SCRIPT))
    assert found.root == (os.geteuid() == 0)
    assert found.machine == os.uname().machine
    assert found.disk > 0
    assert "nft" not in found.missing

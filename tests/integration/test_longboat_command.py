"""The ``longboat`` command as a person types it: help, exit codes, and refusals that say what to do."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cluster import ROOT

TOKEN = f"lb1.abcdef.0123456789abcdef.{'0' * 64}"
NOBODY = "127.0.0.1:1"
"""Nobody listens at this port."""


def longboat(*arguments, home, **environ):
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("LONGBOAT_", "KUBECONFIG"))}
    return subprocess.run(
        [sys.executable, "-m", "deploy.cli", *arguments],
        cwd=ROOT, env=clean | {"HOME": str(home)} | environ, capture_output=True, text=True, timeout=60,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip


COMMANDS = ["", "server", "agent", "token", "token create", "token list", "token revoke", "node", "node add",
            "node remove", "up", "down"]  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command or "longboat")
def test_everything_has_help(tmp_path, command):
    done = longboat(*command.split(), "--help", home=tmp_path)
    assert done.returncode == 0
    assert done.stdout.startswith(f"Usage: longboat {command}".rstrip())


def test_every_command_shows_its_whole_sentence(tmp_path):
    for group in ([], ["token"], ["node"]):
        listed = longboat(*group, "--help", home=tmp_path).stdout.partition("Commands:")[2]
        assert "..." not in listed


def test_version(tmp_path):
    done = longboat("--version", home=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(r"longboat, version \d+\.\d+\.\d+\n", done.stdout)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(["frob"], "No such command 'frob'", id="no such command"),
        pytest.param(["server", "--nope"], "No such option", id="no such flag"),
        pytest.param(["token", "create", "--ttl", "3x"], "write for example 30m, 24h or 7d", id="no duration"),
        pytest.param(["token", "create", "--ttl", "0s"], "is not between 1s and", id="no time at all"),
        pytest.param(["agent", "--server", NOBODY, "--token", "xyz"], "make one with 'longboat token create'",
                     id="no token"),
        pytest.param(["agent", "--server", "http://h", "--token", TOKEN], "is not https://HOST:PORT", id="no TLS"),
        pytest.param(["agent", "--server", "h:1:2", "--token", TOKEN], "--server", id="no URL"),
        pytest.param(["agent", "--server", NOBODY, "--token", TOKEN, "--node-name", "A_b"], "--node-name: 'A_b'",
                     id="no node name"),
        pytest.param(["agent", "--node-ip", "10.0.0"], "--node-ip: '10.0.0'", id="no address"),
        pytest.param(["agent", "--labels", "a b=c"], "--labels: 'a b'", id="no label"),
        pytest.param(["agent", "--labels", "a=c d"], "--labels: 'c d'", id="no label's value"),
        pytest.param(["agent", "--log-level", "loud"], "--log-level: 'loud'", id="no log level"),
        pytest.param(["agent", "--max-pods", "0"], "--max-pods", id="no pods"),
        pytest.param(["agent", "--metrics-port", "70000"], "--metrics-port", id="no port"),
        pytest.param(["node", "add", "bad host"], "write [USER@]HOST[:PORT]", id="no host"),
        pytest.param(["node", "add", "h:99999"], "'99999' is not a port", id="no SSH port"),
        pytest.param(["node", "remove", "h", "h"], "is named twice", id="a host twice"),
        pytest.param(["up", "--port", "99999"], "is not in the range", id="no API port"),
    ],
)  # fmt: skip
def test_wrong_usage_exits_with_2(tmp_path, arguments, said):
    if arguments[0] == "agent":
        arguments = [*arguments, "--data-dir", str(tmp_path / "agent")]
    done = longboat(*arguments, home=tmp_path)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("config", "environ", "said"),
    [
        ("servers: {listen: x}", {}, "servers is not a section; there are: agent, server"),
        (
            "server: {lissten: x}",
            {},
            "server.lissten is not a setting; there are: admission-control-config-file, advertise",
        ),
        (None, {"LONGBOAT_SERVER_LISSTEN": "x"}, "LONGBOAT_SERVER_LISSTEN is not a setting; there are: LONGBOAT_"),
    ],
    ids=["section", "key", "variable"],
)
def test_an_unknown_setting_is_not_ignored(tmp_path, config, environ, said):
    arguments = ["--data-dir", str(tmp_path / "data"), "--listen", "nowhere"]
    if config is not None:
        Path(tmp_path / "config").write_text(config)
        arguments += ["--config", str(tmp_path / "config")]
    done = longboat("server", *arguments, home=tmp_path, **environ)
    assert done.returncode == 2
    assert said in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["token", "list"], "set KUBECONFIG or --kubeconfig to the admin.kubeconfig"),
        (["token", "list", "--data-dir", "/nonexistent"], "/nonexistent/admin.kubeconfig: no such file"),
        (["agent", "--data-dir", "{home}/agent"], "give --token with a token from 'longboat token create'"),
        (["node", "add", NOBODY, "--kubeconfig", "{home}/none"], "none: no such file"),
        (["agent", "--data-dir", "/proc/nothing"], "--data-dir: /proc/nothing cannot be used"),
        (["agent", "--data-dir", "{home}/agent", "--token-file", "/nonexistent"], "--token-file: /nonexistent"),
    ],
    ids=["no kubeconfig", "no data directory", "not joined", "no cluster", "no place", "no token file"],
)
def test_what_cannot_be_done_exits_with_1(tmp_path, arguments, said):
    done = longboat(*(word.format(home=tmp_path) for word in arguments), home=tmp_path)
    assert done.returncode == 1, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr

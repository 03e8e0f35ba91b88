"""The server as a process: what it refuses to start on, in one line; and kill -9 in a storm of writes."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sqlite3
import subprocess
import sys

import pytest

from shared.api.errors import AlreadyExists, Expired, StatusError
from shared.api.kinds import CONFIG_MAPS
from shared.client import kubeconfig
from shared.client.base import EventType
from shared.client.http import HttpClient
from tests.cluster import ROOT, Cluster, eventually, free_port

KILLS = 50
WRITERS = 16


def serve(*arguments, environ=None):
    command = [sys.executable, "-m", "deploy.cli", "server", *arguments]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=60, env=os.environ | (environ or {})
    )


def refused(done, code, *words):
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("longboat:")]
    assert len(lines) == 1, done.stderr
    for word in words:
        assert word in lines[0]


def test_a_port_in_use(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        refused(
            serve("--data-dir", str(tmp_path), "--listen", address), 1, "--listen", address, "Address already in use"
        )


def test_an_audit_policy_that_cannot_be_used(tmp_path):
    policy = tmp_path / "policy.yaml"
    policy.write_text("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: Everything}]\n")
    arguments = ("--data-dir", str(tmp_path / "data"), "--listen", f"127.0.0.1:{free_port()}")
    done = serve(*arguments, "--audit-policy-file", str(policy))
    refused(done, 1, "--audit-policy-file", str(policy), "rules[0].level", "Everything")
    done = serve(*arguments, "--audit-log-path", str(tmp_path / "audit.log"))
    refused(done, 2, "--audit-log-path", "--audit-policy-file")


def test_an_admission_configuration_that_cannot_be_used(tmp_path):
    file, users = tmp_path / "admission.yaml", tmp_path / "kubeconfig"
    inner = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "WebhookAdmissionConfiguration"}
    plugin = {"name": "ValidatingAdmissionWebhook", "configuration": inner | {"kubeConfigFile": str(users)}}
    file.write_text(json.dumps({
        "apiVersion": "apiserver.config.k8s.io/v1", "kind": "AdmissionConfiguration", "plugins": [plugin],
    }))  # fmt: skip
    users.write_text('{"users": [{"name": "*.svc", "user": {"exec": {"command": "x"}}}]}')
    done = serve(
        "--data-dir", str(tmp_path / "data"), "--listen", f"127.0.0.1:{free_port()}",
        "--admission-control-config-file", str(file),
    )  # fmt: skip
    words = "--admission-control-config-file", str(file), "plugins[0].configuration", str(users), "*.svc", "exec"
    refused(done, 1, *words)


def test_stopping_a_server_is_no_trouble(tmp_path):
    cluster = Cluster(tmp_path)
    cluster.start()
    log = tmp_path / "server.log"
    eventually(lambda: "controllers and scheduler work" in log.read_text(), "the controllers")
    cluster.stop()
    assert cluster.process.returncode == 0
    after = log.read_text().partition("stopping")[2]
    assert after.strip() == "", "nothing that stops is worth a word"


def test_a_data_directory_that_is_a_file(tmp_path):
    path = tmp_path / "file"
    path.write_text("x")
    refused(serve("--data-dir", str(path), "--listen", f"127.0.0.1:{free_port()}"), 1, str(path))


def test_a_data_directory_held_by_another_server(tmp_path):
    cluster = Cluster(tmp_path / "first")
    cluster.start()
    try:
        data = str(tmp_path / "first/data")
        refused(serve("--data-dir", data, "--listen", f"127.0.0.1:{free_port()}"), 1, data)
    finally:
        cluster.stop()


def test_a_data_directory_made_by_a_newer_version(tmp_path):
    cluster = Cluster(tmp_path / "first")
    cluster.start()
    cluster.stop()
    database = tmp_path / "first/data/store/store.db"
    with sqlite3.connect(database) as connection:
        connection.execute("PRAGMA user_version = 999")
    connection.close()
    done = serve("--data-dir", str(tmp_path / "first/data"), "--listen", f"127.0.0.1:{free_port()}")
    refused(done, 1, "newer")


@pytest.mark.parametrize(
    ("arguments", "environ", "word"),
    [
        (["--listen", "nowhere"], {}, "--listen"),
        (["--cluster-cidr", "10.0.0.0/33"], {}, "--cluster-cidr"),
        ([], {"LONGBOAT_SERVER_HISTORY_REVISIONS": "many"}, "LONGBOAT_SERVER_HISTORY_REVISIONS"),
        (["--config", "/nonexistent.yaml"], {}, "/nonexistent.yaml"),
        (["--store", "mysql"], {}, "--store"),
    ],
    ids=["listen", "cidr", "environment", "config", "store"],
)
def test_a_bad_setting_exits_with_2(arguments, environ, word):
    refused(serve(*arguments, environ=environ), 2, word)


@pytest.mark.timeout(300)  # fifty starts
async def test_kill_9_in_a_write_storm_loses_nothing(tmp_path):
    """Every acknowledged write is there afterwards, and a watch across all restarts sees each exactly once."""
    cluster = Cluster(tmp_path / "server")
    await asyncio.to_thread(cluster.start)
    access = kubeconfig.load(cluster.kubeconfig)
    acknowledged: set[str] = set()
    seen: list[str] = []
    stop = asyncio.Event()
    try:
        async with HttpClient(access.server, access.ssl_context()) as client, asyncio.TaskGroup() as group:
            start = (await client.list(CONFIG_MAPS, "default")).resource_version
            writers = [group.create_task(write(client, writer, acknowledged, stop)) for writer in range(WRITERS)]
            watcher = group.create_task(watch(client, start, seen))
            for _ in range(KILLS):
                goal = len(acknowledged) + 100
                async with asyncio.timeout(60):
                    while len(acknowledged) < goal:
                        await asyncio.sleep(0.01)
                await asyncio.to_thread(cluster.stop, kill=True)
                await asyncio.to_thread(cluster.start)
            stop.set()
            await asyncio.wait(writers, timeout=60)
            found = await client.list(CONFIG_MAPS, "default")
            names = {item.metadata.name for item in found.items} - {"kube-root-ca.crt"}
            assert acknowledged <= names, f"lost: {sorted(acknowledged - names)[:5]}"
            async with asyncio.timeout(60):
                while len(seen) < len(names):
                    await asyncio.sleep(0.05)
            watcher.cancel()
    finally:
        await asyncio.to_thread(cluster.stop)
    assert len(seen) == len(set(seen)), "a watch repeated an event"
    assert set(seen) == names, "a watch missed an event"


async def write(client, writer, acknowledged, stop):
    number = 0
    while not stop.is_set():
        name = f"w{writer}-{number}"
        body = {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": name}, "data": {"k": "x" * 500}}
        try:
            await client.create(CONFIG_MAPS, body, "default")
        except AlreadyExists:
            pass  # the answer to an earlier try was lost with the server; the write was not
        except StatusError:
            await asyncio.sleep(0.05)  # the server is away; the same name again
            continue
        acknowledged.add(name)
        number += 1


async def watch(client, revision, seen):
    while True:
        try:
            async for event in client.watch(CONFIG_MAPS, "default", resource_version=revision):
                revision = event.object.metadata.resource_version
                if event.type is EventType.ADDED and event.object.metadata.name.startswith("w"):
                    seen.append(event.object.metadata.name)
        except Expired:
            raise
        except StatusError:
            await asyncio.sleep(0.05)

"""What is too much for a server process: bodies past the limit, a disk that is full. Nothing is lost by it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any

import pytest

from shared.client import kubeconfig
from tests.cluster import Cluster

PATH = "/api/v1/namespaces/default/configmaps"
LIMIT = 3 << 20


class Connection:
    """One connection, so that a refusal that broke it would show."""

    def __init__(self, cluster: Cluster) -> None:
        access = kubeconfig.load(cluster.kubeconfig)
        host, port = cluster.address.split(":")
        self._connection = HTTPSConnection(host, int(port), context=access.ssl_context(), timeout=60)

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def request(self, method: str, path: str, body: bytes | None = None) -> tuple[int, Any]:
        self._connection.request(method, path, body, {"Content-Type": "application/json"})
        answer = self._connection.getresponse()
        return answer.status, json.loads(answer.read())


def config_map(name: str, size: int) -> bytes:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"k": "x" * size}}
    return json.dumps(body).encode()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=96m", "longboat-test", str(disk)], check=True)
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_a_body_of_4_mb_is_refused_and_the_next_is_taken(tmp_path):
    cluster = Cluster(tmp_path)
    cluster.start()
    try:
        for size in (4 << 20, LIMIT):
            with Connection(cluster) as connection:
                status, told = connection.request("POST", PATH, config_map("big", size))
            assert (status, told["reason"]) == (413, "RequestEntityTooLarge")
            assert told["message"] == f"Request entity too large: limit is {LIMIT}"
        with Connection(cluster) as connection:
            assert connection.request("POST", PATH, config_map("small", 1000))[0] == 201
            assert connection.request("GET", f"{PATH}/big")[0] == 404
            assert connection.request("GET", f"{PATH}/small")[0] == 200
    finally:
        cluster.stop()


def test_a_full_disk_refuses_writes_answers_reads_and_heals(small_disk):
    """kubectl's user is told; what was acknowledged stays, over a kill -9 too; room made, writes go on."""
    cluster = Cluster(small_disk / "server")
    cluster.start()
    acknowledged = []
    try:
        with Connection(cluster) as connection:
            for number in range(400):
                status, told = connection.request("POST", PATH, config_map(f"c{number}", 500_000))
                if status != 201:
                    break
                acknowledged.append(f"c{number}")
            else:
                raise AssertionError("the disk never became full")
            assert status == 500, told
            assert "the disk of the store is full" in told["message"]
            assert "Free space there, or delete objects" in told["message"]
            assert connection.request("GET", f"{PATH}/c0")[0] == 200
            half = len(acknowledged) // 2
            for name in acknowledged[:half]:
                assert connection.request("DELETE", f"{PATH}/{name}")[0] == 200, "deleting works on a full disk"
        cluster.stop(kill=True)
        cluster.start()
        with Connection(cluster) as connection:
            for name in acknowledged[half:]:
                assert connection.request("GET", f"{PATH}/{name}")[0] == 200
            assert connection.request("GET", f"{PATH}/{acknowledged[0]}")[0] == 404
    finally:
        cluster.stop()

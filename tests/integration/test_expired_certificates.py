"""Certificates that ended while somebody was away: each side is told which command mends it, and that does."""

import asyncio
import logging
import random
import ssl
import threading
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from agent import identity
from agent.certificate import CertificateRenewer
from agent.identity import Identity
from shared import pki, tls
from shared.api.errors import ServiceUnavailable
from shared.api.kinds import NODES
from shared.client import kubeconfig
from shared.client.http import HttpClient
from shared.cluster_pki import load_cluster_ca
from tests.cluster import Cluster

ENDED = timedelta(minutes=-1)
"""The rest of the life of certificates that are made already expired."""


def ca_of(cluster):
    return load_cluster_ca(cluster.directory / "data")


@pytest.fixture
def cluster(tmp_path):
    cluster = Cluster(tmp_path / "cluster")
    cluster.start()
    yield cluster
    cluster.stop()


def age(cluster):
    """What a server that was off for long finds: its own certificate and the administrator's have ended."""
    data, ca = cluster.directory / "data", ca_of(cluster)
    pair = pki.server_certificate(ca, ["127.0.0.1", "localhost"], lifetime=ENDED)
    pki.write_private(data / "pki/server.key", pair.key)
    pki.write_private(data / "pki/server.crt", pair.certificate)
    admin = pki.client_certificate(ca, pki.ADMIN_NAME, [pki.ADMIN_GROUP], lifetime=ENDED)
    old = kubeconfig.render(f"https://{cluster.address}", ca.pem, admin, user=pki.ADMIN_NAME)
    pki.write_private(cluster.kubeconfig, old)
    return old


def test_a_server_that_was_off_mends_itself(cluster):
    cluster.stop()
    age(cluster)
    cluster.start()
    assert "kube-system" in cluster.kubectl("get", "namespaces").stdout


def test_an_administrators_certificate(cluster, tmp_path):
    """A copy that somebody has kept: refused with the command, which makes a new one."""
    copy = tmp_path / "copy.kubeconfig"
    cluster.stop()
    copy.write_bytes(age(cluster))
    told = cluster.longboat("token", "list", "--kubeconfig", str(copy), check=False)
    assert told.returncode == 1
    assert f"{copy}: the client certificate expired on" in told.stderr
    assert "run 'longboat certs renew' on the server's host" in told.stderr
    data = cluster.directory / "data"
    done = cluster.longboat("certs", "renew", "--data-dir", str(data))
    assert done.stdout.count("good until 20") == 2
    assert {path.stat().st_mode & 0o777 for path in (cluster.kubeconfig, data / "pki/server.key")} == {0o600}
    renewed = (data / "pki/server.crt").read_bytes()
    cluster.start()
    assert "ID" in cluster.longboat("token", "list", "--data-dir", str(data)).stdout
    assert pki.validity(renewed)[1] > datetime.now(UTC)


def test_renewing_where_there_is_nothing_to_renew(cluster, tmp_path):
    told = cluster.longboat("certs", "renew", "--data-dir", str(tmp_path / "none"), check=False)
    assert (told.returncode, "is " in told.stderr, "Traceback" in told.stderr) == (1, True, False)
    cluster.kubeconfig.unlink()
    told = cluster.longboat("certs", "renew", "--data-dir", str(cluster.directory / "data"), check=False)
    assert "give the server's URL with --server" in told.stderr
    cluster.longboat("certs", "renew", "--data-dir", str(cluster.directory / "data"), "--server",
                     f"https://{cluster.address}")  # fmt: skip
    assert "kube-system" in cluster.kubectl("get", "namespaces").stdout  # while the server runs on


def test_an_agent_that_was_off(cluster, tmp_path):
    ca = ca_of(cluster)
    pair = pki.client_certificate(ca, "system:node:n1", ["system:nodes"], lifetime=ENDED)
    home = tmp_path / "agent"
    home.mkdir(mode=0o700)
    identity.save(Identity(home, f"https://{cluster.address}", "n1", ca.pem, pair))
    told = cluster.longboat("agent", "--data-dir", str(home), check=False, timeout=60)
    assert told.returncode == 1
    assert "the certificate of node n1 expired on" in told.stderr
    assert "run 'longboat node add' for this host again" in told.stderr


async def test_an_agent_whose_certificate_ends_while_it_runs(cluster, tmp_path, caplog):
    ca = ca_of(cluster)
    pair = pki.client_certificate(ca, "system:node:n1", ["system:nodes"], lifetime=ENDED)
    known = Identity(tmp_path, f"https://{cluster.address}", "n1", ca.pem, pair)
    async with HttpClient(known.server_url, known.ssl_context()) as client:
        with pytest.raises(ServiceUnavailable, match=r"the client certificate has expired: .*'longboat node add'"):
            await client.get(NODES, "n1")
        renewer = CertificateRenewer(known, client, rng=random.Random(1))
        with caplog.at_level(logging.ERROR):
            async with asyncio.timeout(90):
                assert not await renewer.renew()
    assert "run 'longboat node add' for this host again" in caplog.text


@contextmanager
def serving(pair, directory):
    """Somebody at a free port who shows ``pair``."""
    (directory / "pair.pem").write_bytes(pair.key + pair.certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "pair.pem")
    server = HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.handle_error = lambda request, address: None
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"https://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()


async def test_a_server_that_shows_an_expired_certificate(tmp_path):
    ca = pki.create_ca()
    with serving(pki.server_certificate(ca, ["127.0.0.1"], lifetime=ENDED), tmp_path) as url:
        async with HttpClient(url, tls.client_context(ca.pem)) as client:
            with pytest.raises(
                ServiceUnavailable, match=r"the server's certificate has expired: .*'longboat certs renew'"
            ):
                await client.get(NODES, "n1")

"""Joining, certificates and their renewal, and who gets in without: agent and server over real TLS."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from agent import identity
from agent.certificate import CertificateRenewer
from agent.join import JoinError, ensure_identity, server_chain
from shared import join, pki
from shared.api.errors import (
    Forbidden,
    ServiceUnavailable,
    Unauthorized,
)
from shared.api.kinds import CERTIFICATE_SIGNING_REQUESTS, NODES, PODS, SECRETS
from shared.client.http import HttpClient
from shared.work.clock import FakeClock
from tests.link import SIGNED_FOR, running, until


@pytest.fixture
async def cluster(tmp_path):
    (tmp_path / "server").mkdir()
    async with running(tmp_path / "server") as found:
        yield found


@pytest.fixture
def home(tmp_path):
    return tmp_path / "agent"


async def test_join_and_start_again_without_a_token(cluster, home):
    told = []
    joined = await ensure_identity(home, cluster.url, str(await cluster.token()), "n1", progress=told.append)
    assert len(told) == 2
    assert joined.ca_pem == cluster.certificates.ca_pem
    assert await ensure_identity(home, "", "", "") == joined
    async with HttpClient(joined.server_url, joined.ssl_context()) as client:
        await client.create(NODES, {"kind": "Node", "apiVersion": "v1", "metadata": {"name": "n1"}})
        with pytest.raises(Forbidden, match='User "system:node:n1" cannot list resource "pods"'):
            await client.list(PODS)


async def test_the_ca_is_in_the_handshake(cluster):
    chain = await server_chain(cluster.url)
    assert [pki.ca_digest(pki.der_to_pem(der)) for der in chain][-1] == cluster.certificates.ca_digest


async def test_another_cas_token_is_refused_before_anything_is_told(cluster, home):
    token = await cluster.token()
    other = join.JoinToken(token.id, token.secret, "0" * 64)
    with pytest.raises(JoinError, match="the server's CA does not match the token"):
        await ensure_identity(home, cluster.url, str(other), "n1")
    assert not (await cluster.local.list(CERTIFICATE_SIGNING_REQUESTS)).items


@pytest.mark.parametrize("wrong", ["unknown", "expired", "revoked"])
async def test_a_token_that_does_not_hold_says_how_to_get_one(cluster, home, wrong):
    token = await cluster.token(timedelta(seconds=-1) if wrong == "expired" else timedelta(hours=1))
    if wrong == "unknown":
        token = join.JoinToken(token.id, "0" * 16, token.ca_digest)
    if wrong == "revoked":
        await cluster.local.delete(SECRETS, join.secret_name(token.id), "kube-system")
    with pytest.raises(JoinError, match=r"does not accept the token .*longboat token create"):
        await ensure_identity(home, cluster.url, str(token), "n1")
    assert not (home / "agent.json").exists()


async def test_nobody_signs_in_time(cluster, home):
    cluster.signing.clear()
    with pytest.raises(JoinError, match="was not approved and signed within"):
        await ensure_identity(home, cluster.url, str(await cluster.token()), "n1", timeout=1)


async def test_a_denied_request_ends_at_once(cluster, home):
    cluster.denied = True
    with pytest.raises(JoinError, match="denied: not you"):
        await ensure_identity(home, cluster.url, str(await cluster.token()), "n1")


async def test_no_server_there(home, unused_tcp_port):
    token = join.new_token("0" * 64)
    with pytest.raises(JoinError, match="cannot be reached"):
        await ensure_identity(home, f"https://127.0.0.1:{unused_tcp_port}", str(token), "n1", timeout=0.5)


@pytest.mark.parametrize(
    ("server", "token", "words"),
    [("", "", "give --token"), ("https://h", "nonsense", "--token: this is not a join token"), ("", "T", "--server")],
    ids=["no-token", "bad-token", "no-server"],
)
async def test_what_is_missing_is_named(home, server, token, words):
    text = str(join.new_token("0" * 64)) if token == "T" else token
    with pytest.raises(JoinError, match=words):
        await ensure_identity(home, server, text, "n1")


async def test_a_data_directory_belongs_to_one_node(cluster, home):
    await ensure_identity(home, cluster.url, str(await cluster.token()), "n1")
    with pytest.raises(JoinError, match="belongs to node n1"):
        await ensure_identity(home, "", "", "n2")


async def test_a_server_that_moved_is_remembered(cluster, home):
    await ensure_identity(home, cluster.url, str(await cluster.token()), "n1")
    assert (await ensure_identity(home, "https://elsewhere:1", "", "")).server_url == "https://elsewhere:1"
    assert (await ensure_identity(home, "", "", "")).server_url == "https://elsewhere:1"


async def test_an_expired_certificate_needs_a_token_and_takes_one(cluster, home):
    first = await ensure_identity(home, cluster.url, str(await cluster.token()), "n1")
    late = FakeClock(datetime.now(UTC) + SIGNED_FOR + timedelta(days=1))
    with pytest.raises(JoinError, match=r"expired on .*longboat node add"):
        await ensure_identity(home, "", "", "", clock=late)
    again = await ensure_identity(home, cluster.url, str(await cluster.token()), "", clock=late)
    assert (again.node_name, again.pair) == ("n1", identity.load(home).pair)
    assert again.pair != first.pair


async def test_a_token_of_another_cluster_joins_that_one(cluster, home, tmp_path):
    await ensure_identity(home, cluster.url, str(await cluster.token()), "n1")
    (tmp_path / "other").mkdir()
    async with running(tmp_path / "other") as other:
        moved = await ensure_identity(home, other.url, str(await other.token()), "n1")
        assert moved.ca_pem == other.certificates.ca_pem


async def test_renewal_shows_the_new_certificate_at_once(cluster, home):
    known = await ensure_identity(home, cluster.url, str(await cluster.token()), "n1")
    async with HttpClient(known.server_url, known.ssl_context()) as client:
        renewer = CertificateRenewer(known, client)
        start, end = pki.validity(known.pair.certificate)
        assert 0.61 < (renewer.due() - start) / (end - start) < 0.72
        assert await renewer.renew()
        assert renewer.identity.pair != known.pair
        assert identity.load(home).pair == renewer.identity.pair
        await client.create(NODES, {"kind": "Node", "apiVersion": "v1", "metadata": {"name": "n1"}})


async def test_a_renewal_that_is_due_happens_by_itself(cluster, home):
    known = await ensure_identity(home, cluster.url, str(await cluster.token()), "n1")
    late = FakeClock(datetime.now(UTC) + SIGNED_FOR * 0.8)
    async with HttpClient(known.server_url, known.ssl_context()) as client:
        renewer = CertificateRenewer(known, client, clock=late)
        task = cluster.supervisor.spawn("renewer", renewer.run())
        await until(lambda: renewer.identity.pair != known.pair)
        task.cancel()


async def test_a_renewal_that_fails_is_no_end(cluster, home):
    known = await ensure_identity(home, cluster.url, str(await cluster.token()), "n1")
    cluster.denied = True
    async with HttpClient(known.server_url, known.ssl_context()) as client:
        assert not await CertificateRenewer(known, client).renew()
    assert identity.load(home) == known


# --- who is let in


async def test_without_credentials_only_health_and_version(cluster):
    async with HttpClient(cluster.url, pki.client_context(cluster.certificates.ca_pem)) as client:
        assert json.loads(await client.request("GET", "/version"))
        for path in ("/api", "/api/v1/pods", "/metrics", "/apis/longboat.dev/v1/nodes/n1/heartbeat"):
            with pytest.raises(Unauthorized):
                await client.request("GET", path)


async def test_a_certificate_of_another_ca_does_not_get_through_the_handshake(cluster):
    stranger = pki.client_certificate(pki.create_ca(), "longboat:admin", ["system:masters"])
    async with HttpClient(cluster.url, pki.client_context(cluster.certificates.ca_pem, stranger)) as client:
        with pytest.raises(ServiceUnavailable):
            await client.request("GET", "/api")


async def test_the_servers_own_certificate_is_no_client_certificate(cluster):
    pair = pki.KeyPair(
        cluster.certificates.server_certificate.read_bytes(), cluster.certificates.server_key.read_bytes()
    )
    async with HttpClient(cluster.url, pki.client_context(cluster.certificates.ca_pem, pair)) as client:
        with pytest.raises((ServiceUnavailable, Unauthorized)):
            await client.request("GET", "/api")

"""A client's further connections resume its session, only with the server that it knows, and keep their identity."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from shared import pki, tls
from shared.cluster_pki import ClusterPki, ensure_cluster_pki


@pytest.fixture
def certificates(tmp_path: Path) -> ClusterPki:
    return ensure_cluster_pki(tmp_path, {"127.0.0.1", "localhost"})


def server_of(certificates: ClusterPki) -> ssl.SSLContext:
    return tls.server_context(certificates.server_certificate, certificates.server_key, certificates.ca_pem)


def connect(
    client: ssl.SSLContext, server: ssl.SSLContext, name: str = "127.0.0.1"
) -> tuple[ssl.SSLObject, ssl.SSLObject]:
    """A handshake in memory, and the tickets that follow it read."""
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = client.wrap_bio(to_client, to_server, server_hostname=name)
    theirs = server.wrap_bio(to_server, to_client, server_side=True)
    left = [ours, theirs]
    for _ in range(10):
        for end in list(left):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            left.remove(end)
    assert not left
    with pytest.raises(ssl.SSLWantReadError):
        ours.read(1)
    return ours, theirs


def test_the_second_connection_resumes_the_first_ones_session(certificates: ClusterPki) -> None:
    client, server = tls.client_context(certificates.ca_pem), server_of(certificates)
    first, _ = connect(client, server)
    assert not first.session_reused
    for _ in range(3):
        again, _ = connect(client, server)
        assert again.session_reused


def test_a_session_outlives_its_connection_once_another_was_made(certificates: ClusterPki) -> None:
    client, server = tls.client_context(certificates.ca_pem), server_of(certificates)
    kept, _ = connect(client, server)
    connect(client, server)
    del kept
    again, _ = connect(client, server)
    assert again.session_reused


def test_the_server_still_knows_who_the_client_is(certificates: ClusterPki) -> None:
    pair = pki.client_certificate(certificates.ca, "longboat:admin", ["system:masters"])
    client, server = tls.client_context(certificates.ca_pem, pair), server_of(certificates)
    _, first = connect(client, server)
    _, again = connect(client, server)
    assert again.session_reused
    assert again.getpeercert() == first.getpeercert()
    assert again.getpeercert()


def test_another_name_is_verified_anew(certificates: ClusterPki) -> None:
    client, server = tls.client_context(certificates.ca_pem), server_of(certificates)
    first, _ = connect(client, server)
    assert first.getpeercert()
    with pytest.raises(ssl.SSLCertVerificationError):
        connect(client, server, "elsewhere.example")


def test_a_server_that_started_anew_makes_a_full_handshake(certificates: ClusterPki) -> None:
    client = tls.client_context(certificates.ca_pem)
    kept, _ = connect(client, server_of(certificates))
    again, _ = connect(client, server_of(certificates))
    assert kept.getpeercert() == again.getpeercert()
    assert not again.session_reused

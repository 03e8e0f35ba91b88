"""A running server makes its certificates anew in time, and shows the new one to whoever connects next."""

from __future__ import annotations

import asyncio
import ssl
from datetime import UTC, datetime
from pathlib import Path

import pytest

from controlplane.server import CERTIFICATE_CHECK, _keep_certificates
from shared import pki
from shared.cluster_pki import ClusterPki, ensure_cluster_pki
from shared.work.clock import FakeClock
from shared.work.supervisor import Supervisor

DAY = 86400.0


def shown(context: ssl.SSLContext) -> bytes:
    """The certificate that a handshake with ``context`` shows."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = context.wrap_bio(to_server, to_client, server_side=True)
    client = pki.unverified_context().wrap_bio(to_client, to_server)
    for _ in range(4):
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    found = client.getpeercert(binary_form=True)
    assert found is not None
    return found


@pytest.mark.looptime
async def test_a_running_server_shows_its_renewed_certificate(tmp_path: Path) -> None:
    clock = FakeClock(datetime(2026, 3, 1, tzinfo=UTC))
    first = ensure_cluster_pki(tmp_path, "10.0.0.1", clock)
    context = pki.server_context(first.server_certificate, first.server_key, first.ca_pem)
    before = shown(context)
    looks: list[ClusterPki] = []

    def renew() -> ClusterPki:
        clock.advance(200 * DAY)
        looks.append(ensure_cluster_pki(tmp_path, "10.0.0.1", clock))
        return looks[-1]

    async def looked(times: int) -> None:
        async with asyncio.timeout(2 * CERTIFICATE_CHECK):
            while len(looks) < times or (times == 2 and shown(context) == before):
                await asyncio.sleep(CERTIFICATE_CHECK / 100)

    async with Supervisor() as supervisor:
        supervisor.service("certificates", _keep_certificates(renew, context))
        await looked(1)
        assert shown(context) == before, "more than a third of its life is left"
        await looked(2)
        supervisor.stop()
    assert shown(context) == pki.load_certificates(first.server_certificate.read_bytes())[0].public_bytes(
        pki.serialization.Encoding.DER
    )

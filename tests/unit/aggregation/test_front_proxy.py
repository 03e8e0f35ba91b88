"""The certificate by which other API servers know this one."""

from __future__ import annotations

import base64
import stat
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509

from controlplane.apiserver.aggregation.certificates import CLIENT_NAME, FrontProxy
from shared import pki
from shared.api.errors import ServiceUnavailable
from shared.work.clock import FakeClock


@pytest.fixture
def clock():
    return FakeClock(datetime.now(UTC))


@pytest.fixture
def place(tmp_path):
    (tmp_path / "pki").mkdir()
    return tmp_path


def contents(place):
    return {path.name: path.read_bytes() for path in (place / "pki").iterdir()}


def test_made_once_and_readable_by_its_owner_only(place, clock):
    FrontProxy(place, clock).ensure()
    made = contents(place)
    assert set(made) == {f"front-proxy-{what}" for what in ("ca.crt", "ca.key", "client.crt", "client.key")}
    assert {stat.S_IMODE(path.stat().st_mode) for path in (place / "pki").iterdir()} == {0o600}
    [leaf] = pki.load_certificates(made["front-proxy-client.crt"])[:1]
    assert leaf.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value == CLIENT_NAME
    assert pki.issued_by(made["front-proxy-client.crt"], pki.load_certificates(FrontProxy(place, clock).ca_pem)[0])
    FrontProxy(place, clock).ensure()
    assert contents(place) == made


def test_made_again_by_the_same_authority_before_it_ends(place, clock):
    front_proxy = FrontProxy(place, clock)
    front_proxy.ensure()
    before = contents(place)
    old = front_proxy.context("", insecure=True)
    clock.advance(timedelta(days=300).total_seconds())
    front_proxy.ensure()
    after = contents(place)
    assert after["front-proxy-ca.crt"] == before["front-proxy-ca.crt"]
    assert after["front-proxy-client.crt"] != before["front-proxy-client.crt"]
    assert front_proxy.context("", insecure=True) is not old, "connections show the new one"


def test_one_that_is_broken_is_made_again(place, clock):
    front_proxy = FrontProxy(place, clock)
    front_proxy.ensure()
    (place / "pki/front-proxy-client.key").write_bytes(b"")
    front_proxy.ensure()
    made = contents(place)
    assert pki.matches(made["front-proxy-client.crt"], made["front-proxy-client.key"])


def test_contexts_verify_but_where_that_is_not_wanted(place, clock):
    front_proxy = FrontProxy(place, clock)
    front_proxy.ensure()
    bundle = base64.b64encode(front_proxy.ca_pem).decode()
    verifying = front_proxy.context(bundle, insecure=False)
    assert verifying.check_hostname
    assert front_proxy.context(bundle, insecure=False) is verifying
    assert not front_proxy.context("", insecure=True).check_hostname


@pytest.mark.parametrize("bundle", ["not base64!", base64.b64encode(b"no certificate").decode()])
def test_a_bundle_that_holds_no_certificates(place, clock, bundle):
    front_proxy = FrontProxy(place, clock)
    front_proxy.ensure()
    with pytest.raises(ServiceUnavailable, match="the caBundle cannot be used"):
        front_proxy.context(bundle, insecure=False)

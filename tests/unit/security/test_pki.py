"""Certificates: what they say, whom they are signed by, and which requests a signer refuses."""

from __future__ import annotations

import ssl
import stat
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from shared import pki
from shared.work.clock import FakeClock

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def ca():
    return pki.create_ca(clock=FakeClock(NOW))


def leaf(pem: bytes) -> x509.Certificate:
    return pki.load_certificates(pem)[0]


def test_a_ca_lives_ten_years_and_signs_leaves_only(ca):
    start, end = pki.validity(ca.pem)
    assert end == NOW + timedelta(days=3650)
    assert start < NOW
    constraints = ca.certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.critical
    assert constraints.value == x509.BasicConstraints(ca=True, path_length=0)


def test_a_server_certificate_names_hosts_and_addresses_and_carries_the_ca(ca):
    pair = pki.server_certificate(ca, ["node.example", "10.0.0.1", "::1", "10.0.0.1"])
    chain = pki.load_certificates(pair.certificate)
    assert [pki.ca_digest(each.public_bytes(serialization.Encoding.PEM)) for each in chain][1] == pki.ca_digest(ca.pem)
    names = chain[0].extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["node.example"]
    assert [str(ip) for ip in names.get_values_for_type(x509.IPAddress)] == ["10.0.0.1", "::1"]
    usage = chain[0].extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.SERVER_AUTH]
    assert pki.matches(pair.certificate, pair.key)


def test_a_leaf_names_its_issuers_key(ca):
    for pem in (pki.server_certificate(ca, ["a"]).certificate, pki.client_certificate(ca, "u", []).certificate):
        named = leaf(pem).extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
        own = ca.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
        assert named == own
        assert pki.issued_by(pem, ca.certificate)


def test_a_leaf_never_outlives_its_ca(ca):
    pem = pki.client_certificate(ca, "u", [], lifetime=timedelta(days=36500)).certificate
    assert pki.validity(pem)[1] == pki.validity(ca.pem)[1]


@pytest.mark.parametrize("name", ["n1", "a" * 200], ids=["short", "longer-than-x520-allows"])
def test_a_csr_for_a_node_is_signed(ca, name):
    key = pki.new_key()
    csr = pki.signing_request(key, f"system:node:{name}", ["system:nodes"])
    assert pki.csr_subject(csr) == (f"system:node:{name}", ("system:nodes",))
    pem = pki.sign_csr(
        ca, csr, expected_cn=f"system:node:{name}", expected_org="system:nodes", lifetime=timedelta(days=1)
    )
    assert pki.matches(pem, pki.key_pem(key))
    assert pki.validity(pem)[1] == NOW + timedelta(days=1)
    usage = leaf(pem).extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]


def custom(key=None, names=(), alternatives=()):
    key = key or pki.new_key()
    builder = x509.CertificateSigningRequestBuilder().subject_name(
        x509.Name([x509.NameAttribute(oid, value) for oid, value in names])
    )
    if alternatives:
        builder = builder.add_extension(x509.SubjectAlternativeName(list(alternatives)), critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


CN, ORG = NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME
GOOD = ((ORG, "system:nodes"), (CN, "system:node:n1"))


@pytest.mark.parametrize(
    ("csr", "words"),
    [
        (b"nonsense", "not a PEM"),
        (custom(names=((ORG, "system:masters"), (CN, "system:node:n1"))), "must be exactly"),
        (custom(names=((ORG, "system:nodes"), (CN, "system:node:n2"))), "must be exactly"),
        (custom(names=((ORG, "system:nodes"), (ORG, "system:masters"), (CN, "system:node:n1"))), "must be exactly"),
        (custom(names=((CN, "system:node:n1"),)), "must be exactly"),
        (custom(names=(*GOOD, (NameOID.COUNTRY_NAME, "XX"))), "must be exactly"),
        (custom(names=GOOD, alternatives=[x509.DNSName("kubernetes")]), "alternative names"),
        (custom(key=ec.generate_private_key(ec.SECP192R1()), names=GOOD), "the key must be"),
        (custom(key=rsa.generate_private_key(65537, 1024), names=GOOD), "the key must be"),
    ],
    ids=["garbage", "other-org", "other-node", "two-orgs", "no-org", "extra", "san", "weak-ec", "weak-rsa"],
)
def test_a_signer_refuses(ca, csr, words):
    with pytest.raises(pki.CsrRefused, match=words):
        pki.sign_csr(ca, csr, expected_cn="system:node:n1", expected_org="system:nodes", lifetime=timedelta(days=1))


def test_a_tampered_csr_is_refused(ca):
    der = bytearray(x509.load_pem_x509_csr(custom(names=GOOD)).public_bytes(serialization.Encoding.DER))
    der[der.index(b"system:node:n1") + 13] = ord("2")
    pem = x509.load_der_x509_csr(bytes(der)).public_bytes(serialization.Encoding.PEM)
    with pytest.raises(pki.CsrRefused, match="not signed with its own key"):
        pki.sign_csr(ca, pem, expected_cn="system:node:n2", expected_org="system:nodes", lifetime=timedelta(days=1))


def test_the_share_of_life_that_is_left():
    clock = FakeClock(NOW)
    pem = pki.client_certificate(pki.create_ca(clock=clock), "u", [], lifetime=timedelta(hours=9)).certificate
    assert pki.remaining_share(pem, NOW - timedelta(hours=1)) == 1.0
    assert pki.remaining_share(pem, NOW + timedelta(hours=4)) == 0.5
    assert pki.remaining_share(pem, NOW + timedelta(hours=10)) < 0


def test_private_files_are_replaced_whole_and_readable_by_their_owner_only(tmp_path):
    path = tmp_path / "key"
    pki.write_private(path, b"one")
    pki.write_private(path, b"two")
    assert path.read_bytes() == b"two"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["key"]


def test_contexts_speak_tls_1_2_or_later(ca, tmp_path):
    pair = pki.server_certificate(ca, ["localhost"])
    pki.write_private(tmp_path / "crt", pair.certificate)
    pki.write_private(tmp_path / "key", pair.key)
    server = pki.server_context(tmp_path / "crt", tmp_path / "key", ca.pem)
    client = pki.client_context(ca.pem, pki.client_certificate(ca, "u", []))
    assert {server.minimum_version, client.minimum_version} == {ssl.TLSVersion.TLSv1_2}
    assert server.verify_mode is ssl.CERT_OPTIONAL
    assert client.verify_mode is ssl.CERT_REQUIRED
    assert client.check_hostname


@pytest.mark.parametrize("ca_pem", [b"", b"nonsense"], ids=["empty", "garbage"])
def test_a_context_without_a_ca_is_refused(ca_pem):
    with pytest.raises(pki.PkiError):
        pki.client_context(ca_pem)

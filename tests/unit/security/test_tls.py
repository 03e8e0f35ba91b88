"""What a certificate's holder reads of it with the standard library, beside what the cryptography library reads."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from agent import keys
from shared import pki, tls
from shared.tls import PkiError

MOMENTS = st.datetimes(datetime(1960, 1, 1), datetime(2190, 1, 1)).map(lambda moment: moment.replace(tzinfo=UTC))


class At:
    """A clock that stands."""

    def __init__(self, now: datetime) -> None:
        self._now = now

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return 0.0


CA = pki.create_ca(clock=At(datetime(2026, 1, 1, tzinfo=UTC)))
PAIR = pki.client_certificate(CA, "system:node:n1", ["system:nodes"])


@settings(max_examples=30)
@given(now=MOMENTS)
def test_validity_is_what_the_certificate_says(now: datetime) -> None:
    """Before 2050 it is written as UTCTime, from then on as GeneralizedTime."""
    pem = pki.create_ca(clock=At(now)).pem
    certificate = x509.load_pem_x509_certificate(pem)
    assert tls.validity(pem) == (certificate.not_valid_before_utc, certificate.not_valid_after_utc)


def test_the_first_certificate_of_several_counts() -> None:
    pem = b"a comment\n" + PAIR.certificate + CA.pem
    assert tls.first_der(pem) == x509.load_pem_x509_certificate(PAIR.certificate).public_bytes(
        serialization.Encoding.DER
    )


@settings(max_examples=200)
@given(cut=st.integers(0, 400), noise=st.binary(max_size=4))
def test_what_is_no_certificate_is_refused_and_never_misread(cut: int, noise: bytes) -> None:
    der = tls.first_der(CA.pem)[:cut] + noise
    try:
        start, end = tls.validity(tls.der_to_pem(der))
    except PkiError:
        return
    assert end - start == timedelta(days=3650) + pki.BACKDATE  # cut behind the dates


@pytest.mark.parametrize("pem", [b"", b"nonsense", b"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n"])
def test_what_is_no_pem_is_refused(pem: bytes) -> None:
    with pytest.raises(PkiError):
        tls.validity(pem)
    with pytest.raises(PkiError):
        tls.ca_digest(pem)


def rsa_key(password: bytes = b"") -> bytes:
    how = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    key = rsa.generate_private_key(65537, 2048)
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, how)


def test_a_key_belongs_to_its_certificate_only() -> None:
    assert tls.matches(PAIR.certificate, PAIR.key)
    assert tls.matches(PAIR.certificate + CA.pem, PAIR.key)
    assert not tls.matches(PAIR.certificate, pki.key_pem(pki.new_key()))


@pytest.mark.parametrize(
    ("certificate", "key"),
    [
        (b"", PAIR.key),
        (PAIR.certificate, b""),
        (b"x", b"y"),
        (PAIR.certificate, rsa_key()),
        (PAIR.certificate, rsa_key(b"secret")),
    ],
    ids=["no certificate", "no key", "nonsense", "key of another kind", "encrypted key"],
)
def test_what_is_no_pair_is_refused_without_asking_for_a_password(certificate: bytes, key: bytes) -> None:
    with pytest.raises(PkiError):
        tls.matches(certificate, key)


def test_no_key_shows_in_a_representation() -> None:
    assert "PRIVATE" not in repr(PAIR)


# --- keys made in a child


@pytest.mark.parametrize("make", [keys.in_child, keys.in_process])
async def test_a_new_key_comes_with_a_request_for_it(make: keys.MakeKey) -> None:
    made = await make("n1")
    request = x509.load_pem_x509_csr(made.request)
    assert pki.csr_subject(made.request) == ("system:node:n1", ("system:nodes",))
    assert request.public_key() == pki.load_key(made.key).public_key()
    assert made != await make("n1")
    assert "PRIVATE" not in repr(made)


async def test_a_child_that_fails_says_why() -> None:
    with pytest.raises(OSError, match=r"(?s)no key could be made: .*surrogates not allowed"):
        await keys.in_child("n\udcff")  # a byte that no certificate's name can hold

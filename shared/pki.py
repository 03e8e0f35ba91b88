"""The cluster's certificates: one CA, and the server, admin and node certificates that it signs.

Owns how keys and certificates are made, signed and checked; what their holders need of them is ``shared.tls``, whose
names are here too. It never decides who may have a certificate (the CSR approver does) and never logs a key. All
keys are EC P-256: an RSA key takes 500 times as long to make. Everything here is synchronous, short (below 1 ms
each) and safe to call from any thread.
"""

from __future__ import annotations

import ipaddress
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes as PublicKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from shared.tls import NODE_GROUP as NODE_GROUP
from shared.tls import NODE_PREFIX as NODE_PREFIX
from shared.tls import KeyPair as KeyPair
from shared.tls import PkiError as PkiError
from shared.tls import ca_digest as ca_digest
from shared.tls import client_context as client_context
from shared.tls import der_to_pem as der_to_pem
from shared.tls import matches as matches
from shared.tls import server_context as server_context
from shared.tls import unverified_context as unverified_context
from shared.tls import validity as validity
from shared.tls import write_private as write_private
from shared.work.clock import Clock, SystemClock

CA_LIFETIME = timedelta(days=3650)
SERVER_LIFETIME = timedelta(days=365)
CLIENT_LIFETIME = timedelta(days=365)
BACKDATE = timedelta(hours=1)
"""Certificates are valid from this long before they are made: the clocks of hosts differ."""

ADMIN_NAME, ADMIN_GROUP = "longboat:admin", "system:masters"


class CsrRefused(PkiError):
    """A signing request asks for what its signer does not give; the message says what."""


# --- making ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CertificateAuthority:
    """A CA's certificate with its private key. ``clock`` is what validity is counted from."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    clock: Clock = SystemClock()

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)


def new_key() -> ec.EllipticCurvePrivateKey:
    """A fresh P-256 private key."""
    return ec.generate_private_key(ec.SECP256R1())


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """The key as unencrypted PKCS #8."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def create_ca(common_name: str = "longboat-ca", clock: Clock = SystemClock()) -> CertificateAuthority:
    """A new self-signed CA, valid for ten years; it signs leaves only (path length 0)."""
    key = new_key()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    now = clock.now().replace(microsecond=0)
    usage = x509.KeyUsage(
        digital_signature=True, key_cert_sign=True, crl_sign=True, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATE)
        .not_valid_after(now + CA_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return CertificateAuthority(certificate, key, clock)


def server_certificate(
    ca: CertificateAuthority, names: Iterable[str], *, lifetime: timedelta = SERVER_LIFETIME
) -> KeyPair:
    """A server certificate for DNS names and IP addresses.

    The PEM carries leaf and CA, so that a joining agent sees the CA in the handshake and can compare its digest.
    """
    key = new_key()
    alternatives = x509.SubjectAlternativeName([_alternative(name) for name in dict.fromkeys(names)])
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "longboat-server")])
    certificate = _sign_leaf(ca, subject, key.public_key(), ExtendedKeyUsageOID.SERVER_AUTH, lifetime, alternatives)
    return KeyPair(certificate + ca.pem, key_pem(key))


def client_certificate(
    ca: CertificateAuthority, user: str, groups: Sequence[str], *, lifetime: timedelta = CLIENT_LIFETIME
) -> KeyPair:
    """A client certificate: the user is its CN, each group an O."""
    key = new_key()
    return KeyPair(
        _sign_leaf(ca, _subject(user, groups), key.public_key(), ExtendedKeyUsageOID.CLIENT_AUTH, lifetime),
        key_pem(key),
    )


def signing_request(key: ec.EllipticCurvePrivateKey, user: str, groups: Sequence[str]) -> bytes:
    """A PEM signing request for a client certificate."""
    request = x509.CertificateSigningRequestBuilder().subject_name(_subject(user, groups)).sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM)


def sign_csr(
    ca: CertificateAuthority, csr_pem: bytes, *, expected_cn: str, expected_org: str, lifetime: timedelta
) -> bytes:
    """A client certificate (PEM) for a signing request whose subject is exactly ``expected_org``/``expected_cn``.

    The rules are those of the signer kubernetes.io/kube-apiserver-client-kubelet (Kubernetes: "Certificates and
    Certificate Signing Requests", Kubernetes signers). Only the public key is taken from the request: usages are
    the signer's. Raises CsrRefused.
    """
    try:
        request = x509.load_pem_x509_csr(csr_pem)
        signed = request.is_signature_valid
        extensions = list(request.extensions)
        with _long_names():
            subject = request.subject
    except (ValueError, InvalidSignature, x509.DuplicateExtension) as error:
        raise CsrRefused(f"the request is not a PEM certificate signing request: {error}") from error
    if not signed:
        raise CsrRefused("the request is not signed with its own key")
    wanted = {NameOID.COMMON_NAME: [expected_cn], NameOID.ORGANIZATION_NAME: [expected_org]}
    found: dict[x509.ObjectIdentifier, list[str | bytes]] = {}
    for attribute in subject:
        found.setdefault(attribute.oid, []).append(attribute.value)
    if found != wanted:
        raise CsrRefused(
            f"the subject must be exactly O={expected_org}, CN={expected_cn}, not {subject.rfc4514_string()!r}"
        )
    if any(isinstance(extension.value, x509.SubjectAlternativeName) for extension in extensions):
        raise CsrRefused("alternative names are not allowed in a client certificate")
    key = request.public_key()
    strong = (
        isinstance(key, ed25519.Ed25519PublicKey)
        or (isinstance(key, ec.EllipticCurvePublicKey) and key.curve.key_size >= 256)
        or (isinstance(key, rsa.RSAPublicKey) and key.key_size >= 2048)
    )
    if not strong:
        raise CsrRefused("the key must be EC with at least 256 bits, Ed25519, or RSA with at least 2048 bits")
    assert isinstance(key, ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey | rsa.RSAPublicKey)
    return _sign_leaf(ca, _subject(expected_cn, [expected_org]), key, ExtendedKeyUsageOID.CLIENT_AUTH, lifetime)


def csr_subject(csr_pem: bytes) -> tuple[str, tuple[str, ...]]:
    """(CN, all O) of a signing request, empty where absent. Raises CsrRefused when it is none."""
    try:
        with _long_names():
            subject = x509.load_pem_x509_csr(csr_pem).subject
    except ValueError as error:
        raise CsrRefused(f"the request is not a PEM certificate signing request: {error}") from error
    names = [str(a.value) for a in subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    groups = tuple(str(a.value) for a in subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME))
    return (names[0] if names else ""), groups


def csr_public_key(csr_pem: bytes) -> PublicKeyTypes:
    """The public key of a signing request. Raises CsrRefused when it is none."""
    try:
        return x509.load_pem_x509_csr(csr_pem).public_key()
    except ValueError as error:
        raise CsrRefused(f"the request is not a PEM certificate signing request: {error}") from error


# --- reading --------------------------------------------------------------------------------------------------


def load_certificates(pem: bytes) -> list[x509.Certificate]:
    """Every certificate of a PEM, leaf first. Raises PkiError."""
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise PkiError(f"not a PEM certificate: {error}") from error


def load_key(pem: bytes) -> ec.EllipticCurvePrivateKey:
    """A PEM EC private key. Raises PkiError."""
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError) as error:
        raise PkiError("not an unencrypted PEM private key") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise PkiError("not an EC private key")
    return key


def remaining_share(pem: bytes, now: datetime) -> float:
    """How much of its life the (first) certificate has left: 1 when new, 0 or below when it has expired."""
    start, end = validity(pem)
    return (end - now) / (end - start)


def issued_by(certificate: bytes, ca: x509.Certificate) -> bool:
    """Whether the (first) certificate carries ``ca``'s signature."""
    try:
        load_certificates(certificate)[0].verify_directly_issued_by(ca)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


# --- inside ---------------------------------------------------------------------------------------------------


def _subject(user: str, groups: Sequence[str]) -> x509.Name:
    with _long_names():
        attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
        return x509.Name([*attributes, x509.NameAttribute(NameOID.COMMON_NAME, user, _validate=False)])


@contextmanager
def _long_names() -> Iterator[None]:
    """X.520 bounds a CN at 64 characters and cryptography warns beyond; a node's name may have 253, and TLS
    libraries take them."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Attribute's length must be", UserWarning)
        yield


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _sign_leaf(
    ca: CertificateAuthority,
    subject: x509.Name,
    key: ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | rsa.RSAPublicKey,
    usage: x509.ObjectIdentifier,
    lifetime: timedelta,
    alternatives: x509.SubjectAlternativeName | None = None,
) -> bytes:
    now = ca.clock.now().replace(microsecond=0)
    key_usage = x509.KeyUsage(
        digital_signature=True, key_cert_sign=False, crl_sign=False, content_commitment=False,
        key_encipherment=isinstance(key, rsa.RSAPublicKey), data_encipherment=False, key_agreement=False,
        encipher_only=False, decipher_only=False,
    )  # fmt: skip
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(ca.certificate.subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(max(now - BACKDATE, ca.certificate.not_valid_before_utc))
        .not_valid_after(min(now + lifetime, ca.certificate.not_valid_after_utc))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(key_usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca.key.public_key()), critical=False)
    )
    if alternatives is not None:
        builder = builder.add_extension(alternatives, critical=False)
    return builder.sign(ca.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

"""The server's own certificates in its data directory: the CA once, the server certificate kept fresh.

Owns the files under ``DIR/pki``. Idempotent: run at every start and, by the server, now and then while running.
One process at a time holds the data directory (the store's lock), so nothing here races.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from shared import pki
from shared.pki import CertificateAuthority, KeyPair, PkiError
from shared.work.clock import Clock, SystemClock

RENEW_BELOW = 1 / 3
"""A certificate of our own is made again when less than this share of its life is left."""

_ALWAYS = (
    "localhost", "127.0.0.1", "::1", "kubernetes", "kubernetes.default", "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ClusterPki:
    """What the server needs: the CA to sign with, and where its own certificate and key are."""

    ca: CertificateAuthority
    directory: Path

    @property
    def server_certificate(self) -> Path:
        return self.directory / "server.crt"

    @property
    def server_key(self) -> Path:
        return self.directory / "server.key"

    @property
    def ca_pem(self) -> bytes:
        return self.ca.pem

    @property
    def ca_digest(self) -> str:
        return pki.ca_digest(self.ca.pem)

    def admin(self) -> KeyPair:
        """A new administrator's certificate."""
        return pki.client_certificate(self.ca, pki.ADMIN_NAME, [pki.ADMIN_GROUP])


def ensure_cluster_pki(
    data_dir: Path, advertise_hosts: str | Iterable[str], clock: Clock = SystemClock()
) -> ClusterPki:
    """Make or keep the CA; make the server certificate again when its names changed, a third of its life is
    left, or it is not the CA's. Raises PkiError, and OSError when the directory cannot be written."""
    directory = data_dir / "pki"
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = ClusterPki(_ensure_ca(directory, clock), directory)
    _check_ca(found.ca, directory / "ca.crt", clock)
    hosts = [advertise_hosts] if isinstance(advertise_hosts, str) else list(advertise_hosts)
    names = {*hosts, *_ALWAYS, socket.gethostname().lower()}
    if not _server_is_fresh(found, names, clock):
        _make_server_certificate(found, names)
    return found


def renew_cluster_pki(data_dir: Path, clock: Clock = SystemClock()) -> ClusterPki:
    """A new server certificate for the names of the old one (the usual names when that cannot be read).

    Raises PkiError, OSError.
    """
    found = ClusterPki(load_cluster_ca(data_dir, clock), data_dir / "pki")
    _check_ca(found.ca, found.directory / "ca.crt", clock)
    try:
        names = _names(pki.load_certificates(found.server_certificate.read_bytes())[0])
    except (OSError, PkiError, x509.ExtensionNotFound):
        names = {*_ALWAYS, socket.gethostname().lower()}  # the server's next start adds its own addresses
    _make_server_certificate(found, names)
    return found


def _make_server_certificate(found: ClusterPki, names: set[str]) -> None:
    pair = pki.server_certificate(found.ca, sorted(names))
    # The key first: after a crash between the two they do not match, which makes both anew.
    pki.write_private(found.server_key, pair.key)
    pki.write_private(found.server_certificate, pair.certificate)


def _check_ca(ca: CertificateAuthority, path: Path, clock: Clock) -> None:
    """Raises PkiError when the CA is past its end."""
    end = ca.certificate.not_valid_after_utc
    if clock.now() >= end:
        raise PkiError(
            f"{path} expired on {end:%Y-%m-%d %H:%M} UTC, and with it everything that it signed: start a new cluster in"
            " another --data-dir, and run 'longboat node add' for every host"
        )


def load_cluster_ca(data_dir: Path, clock: Clock = SystemClock()) -> CertificateAuthority:
    """The CA of a data directory that has one. Raises PkiError."""
    certificate, key = data_dir / "pki" / "ca.crt", data_dir / "pki" / "ca.key"
    try:
        pair = KeyPair(certificate.read_bytes(), key.read_bytes())
    except OSError as error:
        raise PkiError(f"{error.filename}: {error.strerror}; is {data_dir} a server's data directory?") from error
    if not pki.matches(pair.certificate, pair.key):
        raise PkiError(f"{key} does not belong to {certificate}: restore both from the same backup")
    return CertificateAuthority(pki.load_certificates(pair.certificate)[0], pki.load_key(pair.key), clock)


def _ensure_ca(directory: Path, clock: Clock) -> CertificateAuthority:
    certificate, key = directory / "ca.crt", directory / "ca.key"
    if certificate.exists() and not key.exists():
        raise PkiError(f"{key} is missing: restore it from a backup, or start a new cluster in another directory")
    if not certificate.exists():
        # The key is written first, so a key without a certificate is a first start that was cut short.
        ca = pki.create_ca(clock=clock)
        pki.write_private(key, pki.key_pem(ca.key))
        pki.write_private(certificate, ca.pem)
    return load_cluster_ca(directory.parent, clock)


def _server_is_fresh(found: ClusterPki, names: set[str], clock: Clock) -> bool:
    try:
        pem, key = found.server_certificate.read_bytes(), found.server_key.read_bytes()
        leaf = pki.load_certificates(pem)[0]
        return (
            _names(leaf) == names
            and pki.matches(pem, key)
            and pki.issued_by(pem, found.ca.certificate)
            and pki.remaining_share(pem, clock.now()) >= RENEW_BELOW
        )
    except (OSError, PkiError, x509.ExtensionNotFound):
        return False  # absent or unreadable: a server certificate can always be made again


def _names(leaf: x509.Certificate) -> set[str]:
    """The DNS names and addresses of a certificate. Raises x509.ExtensionNotFound."""
    alternatives = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return {
        *alternatives.get_values_for_type(x509.DNSName),
        *(str(address) for address in alternatives.get_values_for_type(x509.IPAddress)),
    }

"""The keys that service account tokens are signed with: the newest signs, older ones verify until nothing that they
signed can be valid.

Owns the files ``DIR/pki/service-accounts/<when it was made>.key`` (0600). ``refresh`` blocks on the disk and may be
called from any thread; the rest reads one tuple, which is replaced as a whole.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from shared import pki
from shared.api.meta import JSON
from shared.pki import PkiError
from shared.work.clock import Clock, SystemClock

ALGORITHM = "ES256"
SIGNS_FOR = timedelta(days=90)
"""A key is replaced when it is so old."""

LONGEST_TOKEN = timedelta(days=365)
"""No token is valid for longer: so long after its last signature a key is still needed
(kube-apiserver's --service-account-max-token-expiration)."""

_STAMP = "%Y%m%dT%H%M%SZ"


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key pair; ``id`` is what a token's header names it by: the digest of the public key, as in Kubernetes."""

    id: str
    made: datetime
    private: ec.EllipticCurvePrivateKey

    @classmethod
    def of(cls, private: ec.EllipticCurvePrivateKey, made: datetime) -> SigningKey:
        der = private.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return cls(base64.urlsafe_b64encode(hashlib.sha256(der).digest()).rstrip(b"=").decode(), made, private)

    def jwk(self) -> JSON:
        """The public half, as RFC 7517 has it."""
        found: dict[str, Any] = ECAlgorithm.to_jwk(self.private.public_key(), as_dict=True)
        return found | {"use": "sig", "kid": self.id, "alg": ALGORITHM}


class SigningKeys:
    """All keys of a server's data directory, the newest first."""

    def __init__(self, data_dir: Path, clock: Clock = SystemClock()) -> None:
        """Raises PkiError, OSError."""
        self._directory, self._clock = data_dir / "pki" / "service-accounts", clock
        self._keys: tuple[SigningKey, ...] = ()
        self.refresh()

    @property
    def signing(self) -> SigningKey:
        return self._keys[0]

    def find(self, id: str) -> SigningKey | None:
        return next((key for key in self._keys if key.id == id), None)

    def jwks(self) -> JSON:
        """The public keys, for who verifies tokens without asking us."""
        return {"keys": [key.jwk() for key in self._keys]}

    def refresh(self) -> None:
        """Make a key when there is none or the newest is too old; drop what nothing needs. Raises PkiError, OSError."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        now = self._clock.now().replace(microsecond=0)
        keys = sorted((_load(path) for path in self._directory.glob("*.key")), key=lambda key: key.made, reverse=True)
        if not keys or now - keys[0].made >= SIGNS_FOR:
            private = pki.new_key()
            pki.write_private(self._path(now), pki.key_pem(private))
            keys.insert(0, SigningKey.of(private, now))
        self._keys = tuple(key for key in keys if now - key.made < SIGNS_FOR + LONGEST_TOKEN)
        for key in keys[len(self._keys) :]:
            self._path(key.made).unlink(missing_ok=True)

    def _path(self, made: datetime) -> Path:
        return self._directory / f"{made.strftime(_STAMP)}.key"


def _load(path: Path) -> SigningKey:
    try:
        made = datetime.strptime(path.stem, _STAMP).replace(tzinfo=UTC)
    except ValueError as error:
        raise PkiError(
            f"{path}: a signing key is named after when it was made, such as 20260102T030405Z.key"
        ) from error
    try:
        return SigningKey.of(pki.load_key(path.read_bytes()), made)
    except PkiError as error:
        raise PkiError(
            f"{path}: {error}; restore it from a backup, or remove it and the tokens it signed end"
        ) from error

"""Join tokens: what a person copies to a new host, and the Secret that stands for one in the cluster.

``lb1.<id>.<secret>.<digest>``: a Kubernetes bootstrap token (6 + 16 characters of a-z0-9) and the SHA-256 of the
cluster's CA certificate, so that an agent trusts the right server with nothing else to copy. Pure functions; a
secret never appears in a message or a repr.
"""

from __future__ import annotations

import base64
import binascii
import re
import secrets
import string
from dataclasses import dataclass, field
from datetime import datetime

import msgspec

from shared.api.core import Secret
from shared.api.meta import JSON, timestamp

NAMESPACE = "kube-system"
SECRET_TYPE = "bootstrap.kubernetes.io/token"  # noqa: S105 - a type's name
SECRET_PREFIX = "bootstrap-token-"  # noqa: S105 - a name's prefix
BOOTSTRAP_GROUP = "system:bootstrappers"

_PREFIX = "lb1"
_ID, _SECRET, _DIGEST = re.compile(r"[a-z0-9]{6}"), re.compile(r"[a-z0-9]{16}"), re.compile(r"[0-9a-f]{64}")
_EXTRA_GROUP = re.compile(r"system:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]")
_ALPHABET = string.ascii_lowercase + string.digits


class TokenError(ValueError):
    """A join token cannot be used; the message says what to do."""


@dataclass(frozen=True, slots=True)
class JoinToken:
    """The parts of a join token. ``ca_digest`` is the SHA-256 of the CA certificate's DER, in hex."""

    id: str
    secret: str = field(repr=False)
    ca_digest: str

    def __str__(self) -> str:
        return f"{_PREFIX}.{self.id}.{self.secret}.{self.ca_digest}"

    @property
    def bearer(self) -> str:
        """The bearer token on the wire: a Kubernetes bootstrap token."""
        return f"{self.id}.{self.secret}"


@dataclass(frozen=True, slots=True)
class TokenInfo:
    """A token as its Secret says. ``expiration`` is None for one that never expires."""

    id: str
    secret: str = field(repr=False)
    expiration: datetime | None
    description: str
    authentication: bool
    """Whether it may be used to authenticate (usage-bootstrap-authentication)."""
    groups: tuple[str, ...]

    def expired(self, now: datetime) -> bool:
        return self.expiration is not None and now >= self.expiration


def new_token(ca_digest: str) -> JoinToken:
    """A token with an unguessable secret (82 bits)."""
    return JoinToken(_random(6), _random(16), ca_digest)


def parse_token(text: str) -> JoinToken:
    """Read what a person pasted. Raises TokenError."""
    parts = text.strip().split(".")
    if parts[0] != _PREFIX:
        raise TokenError(
            "this is not a join token, which begins with 'lb1.': make one with 'longboat token create' on the server"
        )
    if len(parts) != 4:
        raise TokenError(f"a join token has four parts, this has {len(parts)}: copy the whole line")
    _, id, secret, digest = parts
    for name, value, pattern, rule in (
        ("id", id, _ID, "6 characters of a-z and 0-9"),
        ("secret", secret, _SECRET, "16 characters of a-z and 0-9"),
        ("CA digest", digest, _DIGEST, "64 hex digits"),
    ):
        if not pattern.fullmatch(value):
            raise TokenError(f"the join token's {name} is not {rule}: copy the whole line, or create another token")
    return JoinToken(id, secret, digest)


def secret_name(token_id: str) -> str:
    """The name in kube-system of the Secret that stands for a token."""
    return SECRET_PREFIX + token_id


def token_secret(id: str, secret: str, expiration: datetime | None, description: str = "") -> JSON:
    """The Secret of a token, as Kubernetes' documentation "Authenticating with Bootstrap Tokens" has it."""
    data = {"token-id": id, "token-secret": secret, "usage-bootstrap-authentication": "true"}
    if description:
        data["description"] = description
    if expiration is not None:
        data["expiration"] = timestamp(expiration)
    return {
        "kind": "Secret",
        "apiVersion": "v1",
        "metadata": {"name": secret_name(id), "namespace": NAMESPACE},
        "type": SECRET_TYPE,
        "data": {key: base64.b64encode(value.encode()).decode() for key, value in data.items()},
    }


def read_token(secret: Secret | JSON) -> TokenInfo | None:
    """The token that a Secret stands for; None for any other Secret, a malformed token or one being deleted.

    An expiration that cannot be read makes the token None too: it must not count as one without an end.
    """
    try:
        found = secret if isinstance(secret, Secret) else msgspec.convert(secret, Secret)
        values = {key: base64.b64decode(value, validate=True).decode() for key, value in found.data.items()}
        expiration = _time(values["expiration"]) if values.get("expiration") else None
    except (msgspec.ValidationError, binascii.Error, ValueError):
        return None
    id, value = values.get("token-id", ""), values.get("token-secret", "")
    meta = found.metadata
    if (
        found.type != SECRET_TYPE
        or meta.deletion_timestamp is not None
        or meta.namespace != NAMESPACE
        or meta.name != secret_name(id)
        or not _ID.fullmatch(id)
        or not _SECRET.fullmatch(value)
    ):
        return None
    extra = [group.strip() for group in values.get("auth-extra-groups", "").split(",") if group.strip()]
    if not all(_EXTRA_GROUP.fullmatch(group) for group in extra):
        return None
    return TokenInfo(
        id=id,
        secret=value,
        expiration=expiration,
        description=values.get("description", ""),
        authentication=values.get("usage-bootstrap-authentication") == "true",
        groups=(BOOTSTRAP_GROUP, *extra),
    )


def _time(text: str) -> datetime:
    when = datetime.fromisoformat(text)
    if when.tzinfo is None:
        raise ValueError("a time without a zone")
    return when


def _random(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))

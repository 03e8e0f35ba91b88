"""What the server shows to webhooks so that they know who asks: chosen by host, as Kubernetes does.

Owns the tokens that were read of files; each file is read again after ``REREAD`` seconds, in a thread. Nothing of it
is ever logged. On the event loop. Source: k8s.io/apiserver/pkg/util/webhook/authentication.go.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from shared.api.meta import JSON
from shared.client.kubeconfig import Credentials
from shared.pki import KeyPair
from shared.work.clock import Clock, SystemClock

REREAD = 60.0
"""Seconds that a token of a file is used for (k8s.io/client-go/transport, NewCachedFileTokenSource)."""

_HTTPS = 443


class ProofError(Exception):
    """There should be something to show, but it cannot be read; the message says which file."""


class Proof:
    """Of one user."""

    def __init__(self, credentials: Credentials, clock: Clock) -> None:
        self._credentials, self._clock = credentials, clock
        self._token, self._read_at = credentials.token, -REREAD

    @property
    def client(self) -> KeyPair | None:
        """The certificate for TLS."""
        return self._credentials.client

    async def headers(self) -> dict[str, str]:
        """The header ``Authorization``, where there is one. Raises ProofError."""
        shown = self._credentials
        if shown.username or shown.password:
            both = base64.b64encode(f"{shown.username}:{shown.password}".encode()).decode()
            return {"Authorization": f"Basic {both}"}
        if shown.token_file is not None and self._clock.monotonic() - self._read_at >= REREAD:
            self._token = await asyncio.to_thread(read_token, shown.token_file)
            self._read_at = self._clock.monotonic()
        return {"Authorization": f"Bearer {self._token}"} if self._token else {}


class Proofs:
    """``users`` are by whom they are shown to: ``svc.namespace.svc``, ``host:port``, ``*.svc``, ``*``; those whom none
    is for are shown ``otherwise``, the user of the current context."""

    def __init__(self, users: Mapping[str, Credentials], otherwise: str = "", clock: Clock = SystemClock()) -> None:
        self._users = {name: Proof(credentials, clock) for name, credentials in users.items()}
        self._otherwise = self._users.get(otherwise, Proof(Credentials(), clock))

    def of(self, target: str) -> Proof:
        """What ``target`` (``host:port``) is shown."""
        return next((self._users[name] for name in names(target) if name in self._users), self._otherwise)


NOTHING = Proofs({})
"""For whoever is shown nothing."""


def names(target: str) -> Iterator[str]:
    """The names of users that mean ``target`` (``host:port``), the closest first."""
    yield from _with_stars(target)
    host, _, port = target.rpartition(":")
    if port == str(_HTTPS):
        yield from _with_stars(host.removeprefix("[").removesuffix("]"))
    yield "*"


def _with_stars(name: str) -> Iterator[str]:
    yield name
    parts = name.split(".")
    for index in range(1, len(parts)):
        yield ".".join(("*", *parts[index:]))


def target(config: JSON) -> str:
    """Whom a WebhookClientConfig means, as ``host:port``."""
    if url := config.get("url"):
        authority = urlsplit(url).netloc
        return authority if urlsplit(url).port is not None else f"{authority}:{_HTTPS}"
    service: JSON = config.get("service") or {}
    return f"{service.get('name', '')}.{service.get('namespace', '')}.svc:{service.get('port') or _HTTPS}"


def read_token(path: Path) -> str:
    """The token in a file. Blocking. Raises ProofError."""
    try:
        token = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ProofError(f"tokenFile {path} cannot be read: {error}") from error
    if not token:
        raise ProofError(f"tokenFile {path} is empty")
    return token

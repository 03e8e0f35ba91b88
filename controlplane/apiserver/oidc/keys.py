"""A provider's public keys: discovered, fetched and fetched again in the background.

Owns the HTTP to one provider and nothing else. A provider that is down stops nobody: it is tried again, further and
further apart, and its tokens are refused until it has answered. Answers are bounded in size and time, and redirects are
not followed. One task (``run``), on the event loop; ``find`` reads what the last answer said.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import jwt

from controlplane.apiserver.oidc.config import Issuer, OidcError
from shared import codec, tls
from shared.tls import PkiError
from shared.work.backoff import Backoff

logger = logging.getLogger(__name__)

MAX_ANSWER = 1 << 20
"""Bytes of a provider's answer."""

FETCH_SECONDS = 10.0
REFRESH_SECONDS = 600.0
"""Between two fetches of the keys when nobody misses one: a key that was withdrawn verifies no longer than this."""

AT_MOST_EVERY = 5.0
"""Seconds between two fetches for the sake of keys that tokens name and we have not."""

WAITING = 64
"""Requests that wait for a fetch; more are refused at once."""

MAX_KEYS = 100
_RETRY = Backoff(1.0, 60.0)


@dataclass(frozen=True, slots=True)
class Key:
    """A public key; ``algorithm`` is the only one it is for, "" for any of its type."""

    id: str
    public: Any
    algorithm: str


class ProviderKeys:
    """The keys of one provider. ``run`` is a service; ``ready`` once it has answered."""

    def __init__(self, issuer: Issuer, backoff: Backoff = _RETRY) -> None:
        """Raises OidcError when the CAs cannot be used."""
        self._issuer, self._backoff = issuer, backoff
        try:
            self._tls: ssl.SSLContext = tls.client_context(issuer.ca_pem)
        except PkiError as error:
            raise OidcError(f"the CA of {issuer.url}: {error}") from error
        self._keys: tuple[Key, ...] = ()
        self.ready = False
        self._missed = asyncio.Event()
        self._fetched = asyncio.Event()
        self._waiting = 0

    def find(self, id: str) -> tuple[Key, ...]:
        """The keys that a token which names ``id`` may be signed with; of one that names none, all."""
        return tuple(key for key in self._keys if key.id == id) if id else self._keys

    async def fetch_soon(self) -> None:
        """Wait for the next fetch: a token names a key that is not here. Returns at the latest after
        FETCH_SECONDS, at once when too many wait."""
        if not self.ready or self._waiting >= WAITING:
            return
        self._waiting += 1
        self._missed.set()
        try:
            async with asyncio.timeout(FETCH_SECONDS):
                await self._fetched.wait()
        except TimeoutError:
            return
        finally:
            self._waiting -= 1

    async def run(self) -> None:
        """Discover and fetch, for ever."""
        timeout = aiohttp.ClientTimeout(total=FETCH_SECONDS)
        connector = aiohttp.TCPConnector(ssl=self._tls, limit=2)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout, trust_env=True) as session:
            failures = 0
            while True:
                try:
                    self._keys = await self._fetch(session)
                except (OidcError, aiohttp.ClientError, TimeoutError, OSError) as error:
                    extra = {"issuer": self._issuer.url, "error": str(error) or type(error).__name__}
                    logger.warning("the keys of an OpenID Connect provider cannot be fetched", extra=extra)
                    await asyncio.sleep(self._backoff.delay(failures))
                    failures += 1
                    continue
                failures, self.ready = 0, True
                self._missed.clear()
                self._fetched.set()
                self._fetched.clear()
                await self._rest()

    async def _rest(self) -> None:
        """Until the next fetch is due."""
        await asyncio.sleep(AT_MOST_EVERY)
        try:
            async with asyncio.timeout(REFRESH_SECONDS - AT_MOST_EVERY):
                await self._missed.wait()
        except TimeoutError:
            return

    async def _fetch(self, session: aiohttp.ClientSession) -> tuple[Key, ...]:
        document = await _get(session, self._issuer.discovery)
        if document.get("issuer") != self._issuer.url:
            raise OidcError(f"{self._issuer.discovery} is of another issuer: {document.get('issuer')!r}")
        uri = document.get("jwks_uri")
        if not isinstance(uri, str) or urlsplit(uri).scheme != "https":
            raise OidcError(f"{self._issuer.discovery} has no jwks_uri of https://")
        keys = keys_of(await _get(session, uri))
        if not keys:
            raise OidcError(f"{uri} has no key that can verify a token")
        return keys


def keys_of(document: dict[str, Any]) -> tuple[Key, ...]:
    """The keys of a JWK set (RFC 7517) that verify signatures; others are left out."""
    found = document.get("keys")
    keys = []
    for entry in (found if isinstance(found, list) else [])[:MAX_KEYS]:
        if not isinstance(entry, dict) or entry.get("use", "sig") != "sig" or entry.get("kty") not in ("RSA", "EC"):
            continue
        try:
            made = jwt.PyJWK.from_dict(entry, None if "alg" in entry else _ANY[entry["kty"]])
        except (jwt.PyJWTError, ValueError, TypeError, KeyError):
            continue
        keys.append(Key(str(entry.get("kid") or ""), made.key, str(entry.get("alg") or "")))
    return tuple(keys)


_ANY = {"RSA": "RS256", "EC": "ES256"}
"""What reads a key that does not say what it is for."""


async def _get(session: aiohttp.ClientSession, url: str) -> dict[str, Any]:
    """A JSON object. Raises OidcError, aiohttp.ClientError, TimeoutError."""
    async with session.get(url, allow_redirects=False) as response:
        if response.status != 200:
            raise OidcError(f"{url} answers {response.status}")
        body = bytearray()
        async for chunk in response.content.iter_chunked(1 << 16):
            body += chunk
            if len(body) > MAX_ANSWER:
                raise OidcError(f"{url} answers with more than {MAX_ANSWER} bytes")
    try:
        tree = codec.decode(bytes(body))
    except (codec.CodecError, codec.TooDeep) as error:
        raise OidcError(f"{url} does not answer with JSON") from error
    if not isinstance(tree, dict):
        raise OidcError(f"{url} does not answer with a JSON object")
    return tree

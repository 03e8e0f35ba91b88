"""Asks a webhook over HTTPS: which address, which CA, how long.

Owns one client session for URLs, made on first use. Certificates are verified always: against the webhook's caBundle,
or the system's roots where it has none. A service is reached as ``reach.endpoints`` reaches it, through the agent of
its pod, under its own DNS name; each question is a connection of its own then. On the event loop.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import ssl
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from controlplane.apiserver.reach.endpoints import Endpoints
from controlplane.apiserver.webhooks.proofs import NOTHING, Proof, ProofError, Proofs, target
from shared import codec
from shared.api.errors import StatusError
from shared.api.meta import JSON
from shared.pki import KeyPair, PkiError
from shared.tls import client_context

MAX_ANSWER = 3 << 20
"""Bytes of an answer: as much as an object may have, in base64."""

_CONTEXTS = 64
"""TLS contexts kept, each for one CA bundle and one client certificate."""

_HEADERS = {"Content-Type": "application/json", "User-Agent": "kube-apiserver-admission"}


class CallFailed(Exception):
    """A webhook could not be asked; the message says why."""


class Caller:
    """See the module. ``close`` at the end."""

    def __init__(self, endpoints: Endpoints) -> None:
        self._endpoints = endpoints
        self._session: aiohttp.ClientSession | None = None
        self._contexts: OrderedDict[tuple[str, KeyPair | None], ssl.SSLContext] = OrderedDict()

    async def ask(self, config: JSON, body: JSON, timeout: float, proofs: Proofs = NOTHING) -> Any:
        """The decoded answer to ``body``, from what a WebhookClientConfig names, within ``timeout`` seconds.

        It is shown what ``proofs`` have for it. Raises CallFailed.
        """
        url = config.get("url") or f"https://{target(config)}{_path(config)}"
        proof = proofs.of(target(config))
        tls = self._context(config.get("caBundle") or "", proof.client)
        try:
            async with asyncio.timeout(timeout), self._way(config, tls) as session:
                data = await _answer(session, url, tls, codec.encode(body), timeout, proof)
        except TimeoutError as error:
            raise CallFailed(f'Post "{url}": no answer within {timeout:g} s') from error
        except ProofError as error:
            raise CallFailed(str(error)) from error
        except StatusError as error:
            raise CallFailed(f'Post "{url}": {error.message}') from error
        except (aiohttp.ClientError, ssl.SSLError, OSError) as error:
            raise CallFailed(f'Post "{url}": {error}') from error
        if len(data) > MAX_ANSWER:
            raise CallFailed(f"the answer is longer than {MAX_ANSWER} bytes")
        try:
            return codec.decode(data)
        except codec.CodecError as error:
            raise CallFailed(f"the answer is no JSON: {error}") from error

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    @asynccontextmanager
    async def _way(self, config: JSON, tls: ssl.SSLContext) -> AsyncIterator[aiohttp.ClientSession]:
        """A session that leads to what ``config`` means, for one question. Raises StatusErrors."""
        if config.get("url"):
            self._session = self._session or aiohttp.ClientSession()
            yield self._session
            return
        service: JSON = config.get("service") or {}
        namespace, name = service.get("namespace") or "", service.get("name") or ""
        way = self._endpoints.choose(namespace, name, service.get("port") or 443)
        async with self._endpoints.open(way, tls) as backend, backend.session() as session:
            try:
                yield session
            except (aiohttp.ClientError, OSError) as error:
                if backend.failure:
                    raise aiohttp.ClientConnectionError(backend.failure) from error
                raise

    def _context(self, bundle: str, client: KeyPair | None) -> ssl.SSLContext:
        key = bundle, client
        context = self._contexts.get(key)
        if context is None:
            try:
                context = client_context(base64.b64decode(bundle) if bundle else None, client, resumes=False)
            except (binascii.Error, PkiError) as error:
                raise CallFailed(f"caBundle cannot be read: {error}") from error
            self._contexts[key] = context
            if len(self._contexts) > _CONTEXTS:
                self._contexts.popitem(last=False)
        self._contexts.move_to_end(key)
        return context


async def _answer(
    session: aiohttp.ClientSession, url: str, tls: ssl.SSLContext, body: bytes, timeout: float, proof: Proof
) -> bytes:
    """What is answered with 200, at most one byte more than may be. Raises CallFailed, ProofError, ClientError."""
    headers = _HEADERS | await proof.headers()
    async with session.post(
        url, data=body, headers=headers, ssl=tls, params={"timeout": f"{timeout:g}s"}, allow_redirects=False
    ) as response:
        data = await response.content.read(MAX_ANSWER + 1)
        while not response.content.at_eof() and len(data) <= MAX_ANSWER:
            data += await response.content.read(MAX_ANSWER + 1 - len(data))
        if response.status != 200:
            shown = data[:256].decode(errors="replace").strip()
            raise CallFailed(f"the server answered {response.status}: {shown}")
        return data


def _path(config: JSON) -> str:
    path: str = (config.get("service") or {}).get("path") or "/"
    return path

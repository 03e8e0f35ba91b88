"""Asks a webhook over HTTPS: which address, which CA, how long.

Owns one client session, made on first use. Certificates are verified always: against the webhook's caBundle, or the
system's roots where it has none. A service is reached at one of its ready endpoints, under its own DNS name, since the
control plane is no member of the pod network. On the event loop.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import random
import ssl
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import aiohttp

from controlplane.apiserver.api import ApiServer
from controlplane.apiserver.webhooks.proofs import NOTHING, ProofError, Proofs, target
from shared import codec
from shared.api.kinds import ENDPOINT_SLICES, SERVICES
from shared.api.meta import JSON
from shared.pki import KeyPair, PkiError
from shared.tls import client_context

MAX_ANSWER = 3 << 20
"""Bytes of an answer: as much as an object may have, in base64."""

_CONTEXTS = 64
"""TLS contexts kept, each for one CA bundle and one client certificate."""


class CallFailed(Exception):
    """A webhook could not be asked; the message says why."""


@dataclass(frozen=True, slots=True)
class _Place:
    url: str
    server_name: str | None = None


class Caller:
    """See the module. ``close`` at the end."""

    def __init__(self, api: ApiServer) -> None:
        self._api = api
        self._session: aiohttp.ClientSession | None = None
        self._contexts: OrderedDict[tuple[str, KeyPair | None], ssl.SSLContext] = OrderedDict()

    async def ask(self, config: JSON, body: JSON, timeout: float, proofs: Proofs = NOTHING) -> Any:
        """The decoded answer to ``body``, from what a WebhookClientConfig names, within ``timeout`` seconds.

        It is shown what ``proofs`` have for it. Raises CallFailed.
        """
        place = self._place(config)
        proof = proofs.of(target(config))
        session = self._session = self._session or aiohttp.ClientSession()
        try:
            headers = {"Content-Type": "application/json"} | await proof.headers()
            async with asyncio.timeout(timeout), session.post(
                place.url, data=codec.encode(body), headers=headers,
                ssl=self._context(config.get("caBundle") or "", proof.client), server_hostname=place.server_name,
                params={"timeout": f"{timeout:g}s"}, allow_redirects=False,
            ) as response:  # fmt: skip
                data = await response.content.read(MAX_ANSWER + 1)
                while not response.content.at_eof() and len(data) <= MAX_ANSWER:
                    data += await response.content.read(MAX_ANSWER + 1 - len(data))
                if response.status != 200:
                    shown = data[:256].decode(errors="replace").strip()
                    raise CallFailed(f"the server answered {response.status}: {shown}")
        except TimeoutError as error:
            raise CallFailed(f'Post "{place.url}": no answer within {timeout:g} s') from error
        except ProofError as error:
            raise CallFailed(str(error)) from error
        except (aiohttp.ClientError, ssl.SSLError, OSError) as error:
            raise CallFailed(f'Post "{place.url}": {error}') from error
        if len(data) > MAX_ANSWER:
            raise CallFailed(f"the answer is longer than {MAX_ANSWER} bytes")
        try:
            return codec.decode(data)
        except codec.CodecError as error:
            raise CallFailed(f"the answer is no JSON: {error}") from error

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    def _place(self, config: JSON) -> _Place:
        if url := config.get("url"):
            return _Place(url)
        service: JSON = config.get("service") or {}
        namespace, name, port = service.get("namespace", ""), service.get("name", ""), service.get("port") or 443
        path = service.get("path") or "/"
        host, number = self.endpoint(namespace, name, port)
        bracketed = f"[{host}]" if ":" in host else host
        return _Place(f"https://{bracketed}:{number}{path}", f"{name}.{namespace}.svc")

    def endpoint(self, namespace: str, name: str, port: int) -> tuple[str, int]:
        """Address and port of a ready endpoint. Raises CallFailed."""
        services, slices = (
            self._api.cache.find("", SERVICES.plural),
            self._api.cache.find(ENDPOINT_SLICES.group, ENDPOINT_SLICES.plural),
        )
        entry = services.get(namespace, name) if services else None
        if entry is None:
            raise CallFailed(f'service "{name}" not found')
        spec: JSON = entry.tree().get("spec") or {}
        if spec.get("type") == "ExternalName":
            return spec.get("externalName") or "", port
        named = next((item.get("name") or "" for item in spec.get("ports") or () if item.get("port") == port), None)
        if named is None:
            raise CallFailed(f'service "{name}" has no port {port}')
        found: list[tuple[str, int]] = []
        for slice_ in slices.entries(namespace) if slices else ():
            if slice_.labels.get("kubernetes.io/service-name") != name:
                continue
            tree = slice_.tree()
            ports = [item["port"] for item in tree.get("ports") or () if (item.get("name") or "") == named]
            for endpoint in tree.get("endpoints") or ():
                if (endpoint.get("conditions") or {}).get("ready", True) and ports:
                    found += [(address, ports[0]) for address in endpoint.get("addresses") or ()]
        if not found:
            raise CallFailed(f'no endpoints available for service "{name}"')
        return random.choice(found)  # noqa: S311 - spreads load, keeps no secret

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

"""One request of the control plane's own to another API server. Owns nothing; each is a connection of its own."""

from __future__ import annotations

import ssl

from multidict import CIMultiDict
from yarl import URL

from controlplane.apiserver.aggregation.handler import identify
from controlplane.apiserver.identity import User
from controlplane.apiserver.reach.endpoints import Endpoints, Way

MAX_ANSWER = 4 << 20
"""Bytes of an answer that are read; a longer one is no JSON then."""


async def ask(
    endpoints: Endpoints, way: Way, tls: ssl.SSLContext, user: User, path: str, method: str = "GET", body: bytes = b""
) -> tuple[int, bytes]:
    """Status and body of the answer. Raises StatusErrors, aiohttp's ClientErrors and OSError; bounded by the caller."""
    headers: CIMultiDict[str] = CIMultiDict({"Host": way.authority, "Accept": "application/json"})
    if body:
        headers["Content-Type"] = "application/json"
    identify(headers, user)
    url = URL(f"https://backend{path}", encoded=True)
    async with (
        endpoints.open(way, tls) as backend,
        backend.session() as session,
        session.request(method, url, headers=headers, data=body or None, allow_redirects=False) as answer,
    ):
        data = b""
        while not answer.content.at_eof() and len(data) < MAX_ANSWER:
            data += await answer.content.read(MAX_ANSWER - len(data))
        return answer.status, data

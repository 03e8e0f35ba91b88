"""Which answers are compressed: what Accept-Encoding says, and what caches are told."""

from __future__ import annotations

import gzip

import pytest
from aiohttp.test_utils import TestClient

from controlplane.apiserver.local_client import LocalClient
from controlplane.apiserver.negotiation import accepts_gzip
from shared.api.kinds import CONFIG_MAPS

Http = TestClient  # type: ignore[type-arg]
CMS = "/api/v1/namespaces/g/configmaps"


@pytest.mark.parametrize(
    ("header", "taken"),
    [
        ("gzip", True),
        ("GZIP", True),
        ("x-gzip", True),
        ("deflate, gzip;q=0.5, br", True),
        ("gzip ; Q=1.0", True),
        ("*", True),
        ("br, *;q=0.1", True),
        ("", False),
        ("identity", False),
        ("gzip;q=0", False),
        ("gzip; q=0.000", False),
        ("gzip;q=0, *", False),
        ("*;q=0", False),
        ("gzip;q=much", False),
        ("not-gzip", False),
        ("br;gzip=1", False),
    ],
)
def test_what_accept_encoding_says_of_gzip(header: str, taken: bool) -> None:
    assert accepts_gzip(header) is taken


@pytest.mark.parametrize(
    ("path", "vary"),
    [
        (CMS, {"Accept-Encoding"}),
        ("/openapi/v2", {"Accept", "Accept-Encoding"}),
        ("/openapi/v3", {"Accept-Encoding"}),
        ("/openapi/v3/api/v1", {"Accept", "Accept-Encoding"}),
    ],
)
async def test_who_forbids_gzip_gets_the_same_plain(http: Http, client: LocalClient, path: str, vary: set[str]) -> None:
    for index in range(3):
        await client.create(CONFIG_MAPS, {"metadata": {"name": f"a{index}"}, "data": {"k": "x" * 60_000}}, "g")
    bodies = {}
    for coding in ("gzip", "gzip;q=0", "identity"):
        asked = {"Accept-Encoding": coding}
        async with http.session.get(http.make_url(path), headers=asked, auto_decompress=False) as response:
            assert response.headers.get("Content-Encoding") == ("gzip" if coding == "gzip" else None)
            assert {part.strip() for part in response.headers["Vary"].split(",")} == vary
            bodies[coding] = await response.read()
    assert gzip.decompress(bodies["gzip"]) == bodies["gzip;q=0"] == bodies["identity"]

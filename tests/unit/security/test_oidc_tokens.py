"""Id tokens of a real provider over HTTPS: who they stand for, what is refused, and keys that come and go."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from controlplane.apiserver.identity import User
from controlplane.apiserver.oidc import keys as oidc_keys
from controlplane.apiserver.oidc.config import Issuer, Mapped, OidcError
from controlplane.apiserver.oidc.keys import ProviderKeys, keys_of
from controlplane.apiserver.oidc.tokens import OidcTokens, Provider, Refusal, user_of
from shared.work.backoff import Backoff
from shared.work.supervisor import Supervisor
from tests.issuer import AUDIENCE, OidcIssuer

NOW = 1_800_000_000.0
URL = "https://id.example"
PLAIN = Issuer(URL, ("me", "us"), Mapped("sub", "oidc:"), Mapped("groups", "g:"), required={"hd": "here"})
CLAIMS = {"iss": URL, "aud": "me", "sub": "jane", "exp": NOW + 60, "hd": "here"}
EMAIL = replace(PLAIN, username=Mapped("email"), required={})


@pytest.mark.parametrize(
    ("issuer", "more", "user"),
    [
        (PLAIN, {}, User("oidc:jane")),
        (PLAIN, {"aud": ["x", "us"]}, User("oidc:jane")),
        (PLAIN, {"groups": "one"}, User("oidc:jane", ("g:one",))),
        (PLAIN, {"groups": ["one", "two"]}, User("oidc:jane", ("g:one", "g:two"))),
        (PLAIN, {"groups": None}, User("oidc:jane")),
        (PLAIN, {"groups": ["system:masters"]}, User("oidc:jane", ("g:system:masters",))),
        (PLAIN, {"nbf": NOW + 299}, User("oidc:jane")),
        (replace(PLAIN, uid="id"), {"id": "7"}, User("oidc:jane", uid="7")),
        (replace(PLAIN, groups=None), {"groups": ["one"]}, User("oidc:jane")),
        (EMAIL, {"email": "j@example.com"}, User("j@example.com")),
        (EMAIL, {"email": "j@example.com", "email_verified": True}, User("j@example.com")),
    ],
)
def test_who_claims_stand_for(issuer: Issuer, more: dict[str, Any], user: User) -> None:
    assert user_of(issuer, CLAIMS | more, NOW) == user


@pytest.mark.parametrize(
    ("issuer", "more", "said"),
    [
        (PLAIN, {"iss": "https://other"}, "another issuer"),
        (PLAIN, {"aud": "other"}, "another audience"),
        (PLAIN, {"aud": []}, "another audience"),
        (PLAIN, {"aud": {"me": 1}}, "another audience"),
        (PLAIN, {"aud": [["me"]]}, "another audience"),
        (PLAIN, {"exp": NOW}, "expired"),
        (PLAIN, {"exp": None}, "expired"),
        (PLAIN, {"exp": "soon"}, "expired"),
        (PLAIN, {"exp": True}, "expired"),
        (PLAIN, {"nbf": NOW + 301}, "not valid yet"),
        (PLAIN, {"sub": None}, "claim sub is missing"),
        (PLAIN, {"sub": ""}, "claim sub is missing"),
        (PLAIN, {"sub": 7}, "claim sub is missing"),
        (PLAIN, {"hd": "there"}, "claim hd"),
        (PLAIN, {"hd": None}, "claim hd"),
        (PLAIN, {"hd": True}, "claim hd"),
        (PLAIN, {"groups": 7}, "claim groups"),
        (PLAIN, {"groups": ["a", 7]}, "claim groups"),
        (replace(PLAIN, uid="id"), {}, "claim id"),
        (EMAIL, {"email": "j@example.com", "email_verified": False}, "not verified"),
        (EMAIL, {"email": "j@example.com", "email_verified": "true"}, "not verified"),
        (replace(PLAIN, username=Mapped("sub")), {"sub": "system:admin"}, "Kubernetes' own"),
        (replace(PLAIN, groups=Mapped("groups")), {"groups": ["a", "system:masters"]}, "Kubernetes' own"),
    ],
)
def test_what_is_refused(issuer: Issuer, more: dict[str, Any], said: str) -> None:
    with pytest.raises(Refusal, match=said):
        user_of(issuer, CLAIMS | more, NOW)


# --- over the wire


@pytest.fixture
def provider(tmp_path: Path) -> Iterator[OidcIssuer]:
    issuer = OidcIssuer(tmp_path)
    yield issuer
    issuer.stop()


@asynccontextmanager
async def tokens(provider: OidcIssuer, **more: Any) -> AsyncIterator[tuple[OidcTokens, ProviderKeys]]:
    issuer = Issuer(provider.url, (AUDIENCE,), Mapped("sub"), ca_pem=provider.ca_pem, **more)
    keys = ProviderKeys(issuer, Backoff(0.05, 0.1))
    async with Supervisor() as supervisor:
        supervisor.service("keys", keys.run())
        yield OidcTokens([Provider(issuer, keys)]), keys
        supervisor.stop()


async def answered(keys: ProviderKeys) -> None:
    async with asyncio.timeout(20):
        while not keys.ready:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "ES256", "RS512"])
async def test_a_token_is_its_user(tmp_path: Path, algorithm: str) -> None:
    provider = OidcIssuer(tmp_path, algorithm)
    provider.start()
    try:
        async with tokens(provider) as (oidc, keys):
            await answered(keys)
            for token in (provider.token(), provider.token(id="")):
                assert oidc.authenticate(token) == User("jane")
                assert oidc.authenticate(token) == User("jane")  # remembered
    finally:
        provider.stop()


async def test_what_the_provider_has_not_signed_is_refused(provider: OidcIssuer) -> None:
    provider.start()
    foreign = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = json.dumps(provider.keys["keys"][0]).encode().hex()
    async with tokens(provider, algorithms=("RS256",)) as (oidc, keys):
        await answered(keys)
        good = provider.token()
        head, body, signature = good.split(".")
        for bad in (
            provider.token(key=foreign), provider.token(iss="https://other.example"), provider.token(exp=1),
            provider.token(aud="x"), provider.token(algorithm="RS384"),
            jwt.encode({"iss": provider.url}, "s" * 64, "HS256", {"kid": "first"}),
            jwt.encode({"iss": provider.url, "aud": AUDIENCE, "sub": "jane", "exp": time.time() + 60}, None, "none"),
            jwt.encode({"iss": provider.url}, public, "HS256", {"kid": "first"}),
            f"{head}.{body}.", f"{head}.{body}.{signature[:-4]}AAAA", "a.b.c", "", "x" * 100_000,
        ):  # fmt: skip
            assert oidc.authenticate(bad) is None
        assert oidc.authenticate(good) == User("jane")


async def test_a_provider_that_is_down_is_tried_again(provider: OidcIssuer, caplog: pytest.LogCaptureFixture) -> None:
    async with tokens(provider) as (oidc, keys):
        token = provider.token()
        async with asyncio.timeout(20):
            while not caplog.records:
                await asyncio.sleep(0.01)
        assert oidc.authenticate(token) is None
        assert await oidc.authenticate_with_new_keys(token) is None  # at once: nobody is kept waiting
        provider.start()
        await answered(keys)
        assert oidc.authenticate(token) == User("jane")
    assert token not in caplog.text


async def test_a_new_key_is_fetched_when_a_token_names_it(
    provider: OidcIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(oidc_keys, "AT_MOST_EVERY", 0.2)
    provider.start()
    async with tokens(provider) as (oidc, keys):
        await answered(keys)
        old = provider.token()
        assert not oidc.lacks_key(old)
        provider.rotate("second")
        new = provider.token()
        assert oidc.authenticate(new) is None
        assert oidc.lacks_key(new)
        found = await asyncio.gather(*(oidc.authenticate_with_new_keys(new) for _ in range(20)))
        assert set(found) == {User("jane")}
        assert provider.fetches == 2
        assert oidc.authenticate(old) is None  # its key was withdrawn, though it had been verified before


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"issuer": "https://other.example", "jwks_uri": "https://x"}, "is of another issuer"),
        ({"jwks_uri": "http://x"}, "has no jwks_uri"),
        (b"{", "does not answer with JSON"),
        ([], "does not answer with a JSON object"),
        (None, "answers 404"),
        (b"[" + b" " * (1 << 20) + b"]", "answers with more than"),
    ],
)
async def test_answers_that_cannot_be(
    provider: OidcIssuer, caplog: pytest.LogCaptureFixture, document: Any, said: str
) -> None:
    is_tree = isinstance(document, dict)
    provider.document = {"issuer": provider.url} | document if is_tree else document
    provider.start()
    async with tokens(provider) as (_, keys):
        async with asyncio.timeout(20):
            while not caplog.records:
                await asyncio.sleep(0.01)
        assert said in caplog.records[0].error  # type: ignore[attr-defined]
        assert not keys.ready


async def test_a_provider_of_another_ca_is_not_believed(provider: OidcIssuer, tmp_path: Path,
                                                       caplog: pytest.LogCaptureFixture) -> None:  # fmt: skip
    (tmp_path / "other").mkdir()
    other = OidcIssuer(tmp_path / "other")
    provider.start()
    keys = ProviderKeys(Issuer(provider.url, (AUDIENCE,), Mapped("sub"), ca_pem=other.ca_pem), Backoff(0.05, 0.1))
    async with Supervisor() as supervisor:
        supervisor.service("keys", keys.run())
        async with asyncio.timeout(20):
            while not caplog.records:
                await asyncio.sleep(0.01)
        supervisor.stop()
    assert not keys.ready
    with pytest.raises(OidcError, match="the CA of"):
        ProviderKeys(Issuer(URL, ("a",), Mapped("sub"), ca_pem=b"nothing"))


def test_keys_that_verify_nothing_are_left_out(tmp_path: Path) -> None:
    good = OidcIssuer(tmp_path).keys["keys"][0]
    bad: list[Any] = [
        good | {"use": "enc"}, {"kty": "oct", "k": "c2VjcmV0", "kid": "s"}, {"kty": "RSA"}, 7, good | {"alg": "HS256"},
        good | {"n": "!"},
    ]  # fmt: skip
    assert [key.id for key in keys_of({"keys": [*bad, good]})] == ["first"]
    assert keys_of({"keys": "x"}) == keys_of({}) == ()
    assert len(keys_of({"keys": [good] * 200})) == oidc_keys.MAX_KEYS

"""Tokens of service accounts: what stands in one, what ends it, and the keys behind it."""

from __future__ import annotations

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest

from controlplane.apiserver.accounts.keys import LONGEST_TOKEN, SIGNS_FOR, SigningKeys
from controlplane.apiserver.accounts.tokens import LEEWAY, AccountTokens
from shared import pki
from shared.api.core import Node, Secret, ServiceAccount
from shared.api.meta import ObjectMeta
from shared.api.pod import Pod, PodSpec
from shared.pki import PkiError
from shared.work.clock import FakeClock

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
ISSUER = "https://cluster.example"


def meta(name: str, uid: str = "", **more: Any) -> ObjectMeta:
    return ObjectMeta(name=name, namespace="g", uid=uid or f"uid-of-{name}", **more)


class Objects:
    """What the watch cache would have."""

    def __init__(self) -> None:
        self.all: dict[tuple[str, str], Any] = {
            ("account", "robot"): ServiceAccount(metadata=meta("robot")),
            ("pod", "p"): Pod(metadata=meta("p"), spec=PodSpec(node_name="n", service_account_name="robot")),
            ("secret", "s"): Secret(metadata=meta("s")),
            ("node", "n"): Node(metadata=ObjectMeta(name="n", uid="uid-of-n")),
        }

    def service_account(self, namespace: str, name: str) -> Any:
        return self.all.get(("account", name)) if namespace == "g" else None

    def pod(self, namespace: str, name: str) -> Any:
        return self.all.get(("pod", name))

    def secret(self, namespace: str, name: str) -> Any:
        return self.all.get(("secret", name))

    def node(self, name: str) -> Any:
        return self.all.get(("node", name))


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(NOW)


@pytest.fixture
def objects() -> Objects:
    return Objects()


@pytest.fixture
def keys(tmp_path: Path, clock: FakeClock) -> SigningKeys:
    return SigningKeys(tmp_path, clock)


@pytest.fixture
def tokens(keys: SigningKeys, objects: Objects, clock: FakeClock) -> AccountTokens:
    return AccountTokens(keys, objects, ISSUER, clock)


def issue(tokens: AccountTokens, objects: Objects, bound: str = "", audience: str = ISSUER) -> str:
    found = objects.all[(bound, {"pod": "p", "secret": "s", "node": "n"}[bound])] if bound else None
    return tokens.issue(objects.all["account", "robot"], [audience], 3600, found).token


def test_the_claims_are_kubernetes(tokens: AccountTokens, objects: Objects, keys: SigningKeys) -> None:
    token = issue(tokens, objects, "pod")
    assert jwt.get_unverified_header(token) == {"alg": "ES256", "kid": keys.signing.id, "typ": "JWT"}
    (jwk,) = keys.jwks()["keys"]
    assert "d" not in jwk
    claims = jwt.decode(
        token, jwt.PyJWK(jwk).key, ["ES256"], audience=ISSUER,
        options={"verify_exp": False, "verify_nbf": False, "verify_iat": False},
    )  # fmt: skip
    assert claims.pop("jti")
    began = int(NOW.timestamp())
    assert claims == {
        "iss": ISSUER, "aud": [ISSUER], "sub": "system:serviceaccount:g:robot",
        "iat": began, "nbf": began, "exp": began + 3600,
        "kubernetes.io": {
            "namespace": "g", "serviceaccount": {"name": "robot", "uid": "uid-of-robot"},
            "pod": {"name": "p", "uid": "uid-of-p"}, "node": {"name": "n", "uid": "uid-of-n"},
        },
    }  # fmt: skip


def test_a_token_is_its_account(tokens: AccountTokens, objects: Objects) -> None:
    user = tokens.authenticate(issue(tokens, objects))
    assert user is not None
    assert (user.name, user.uid) == ("system:serviceaccount:g:robot", "uid-of-robot")
    assert user.groups == ("system:serviceaccounts", "system:serviceaccounts:g")


@pytest.mark.parametrize("bound", ["", "pod", "secret", "node"])
def test_a_token_ends_with_its_time(tokens: AccountTokens, objects: Objects, clock: FakeClock, bound: str) -> None:
    token = issue(tokens, objects, bound)
    clock.advance(3599)
    assert tokens.authenticate(token) is not None
    clock.advance(1)
    assert tokens.authenticate(token) is None


@pytest.mark.parametrize(
    ("bound", "what"),
    [("", ("account", "robot")), ("pod", ("pod", "p")), ("secret", ("secret", "s")), ("node", ("node", "n"))],
)
def test_a_token_ends_with_what_it_is_bound_to(
    tokens: AccountTokens, objects: Objects, bound: str, what: tuple[str, str]
) -> None:
    token = issue(tokens, objects, bound)
    assert tokens.authenticate(token) is not None
    kept = objects.all.pop(what)
    assert tokens.authenticate(token) is None
    objects.all[what] = type(kept)(metadata=meta(what[1], uid="another"))
    assert tokens.authenticate(token) is None


def test_a_pod_that_is_being_deleted_has_a_minute_more(
    tokens: AccountTokens, objects: Objects, clock: FakeClock
) -> None:
    token = issue(tokens, objects, "pod")
    objects.all["pod", "p"] = Pod(metadata=meta("p", deletion_timestamp=NOW + timedelta(seconds=30)))
    clock.advance(30 + LEEWAY.total_seconds() - 1)
    assert tokens.authenticate(token) is not None
    clock.advance(1)
    assert tokens.authenticate(token) is None


def test_what_is_no_token_of_ours_lets_nobody_in(
    tokens: AccountTokens, objects: Objects, keys: SigningKeys, clock: FakeClock, tmp_path: Path
) -> None:
    good = issue(tokens, objects)
    head, body, signature = good.split(".")
    claims = jwt.decode(good, options={"verify_signature": False})
    others = SigningKeys(tmp_path / "other", clock)
    elsewhere = AccountTokens(keys, objects, "https://elsewhere.example", clock)
    bad = {
        "for others": issue(tokens, objects, audience="vault"),
        "of another issuer": issue(elsewhere, objects),
        "another's key": issue(AccountTokens(others, objects, ISSUER, clock), objects),
        "changed": ".".join((head, body[:-4] + "AAAA", signature)),
        "no signature": f"{head}.{body}.",
        "none": jwt.encode(claims, "", "none", {"kid": keys.signing.id}),
        "the public key as a secret": jwt.encode(claims, "x" * 32, "HS256", {"kid": keys.signing.id}),
        "nonsense": "a.b.c",
    }
    assert {name for name, token in bad.items() if tokens.authenticate(token) is not None} == set()
    assert tokens.authenticate(good) is not None


def test_keys_are_private_kept_and_rotated(tmp_path: Path, clock: FakeClock, objects: Objects) -> None:
    keys = SigningKeys(tmp_path, clock)
    (path,) = (tmp_path / "pki/service-accounts").iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    first = keys.signing.id
    assert SigningKeys(tmp_path, clock).signing.id == first
    tokens = AccountTokens(keys, objects, ISSUER, clock)
    long = tokens.issue(objects.all["account", "robot"], [ISSUER], int(LONGEST_TOKEN.total_seconds())).token
    clock.advance(SIGNS_FOR.total_seconds())
    keys.refresh()
    assert keys.signing.id != first
    assert {key["kid"] for key in keys.jwks()["keys"]} == {first, keys.signing.id}
    assert tokens.authenticate(long) is not None
    clock.advance(LONGEST_TOKEN.total_seconds())
    keys.refresh()
    assert keys.find(first) is None
    assert not path.exists()


@pytest.mark.parametrize(("name", "content"), [("odd.key", b""), ("20260101T000000Z.key", b"no key")])
def test_a_broken_key_is_named(tmp_path: Path, clock: FakeClock, name: str, content: bytes) -> None:
    directory = tmp_path / "pki/service-accounts"
    directory.mkdir(parents=True)
    pki.write_private(directory / name, content)
    with pytest.raises(PkiError, match=name):
        SigningKeys(tmp_path, clock)

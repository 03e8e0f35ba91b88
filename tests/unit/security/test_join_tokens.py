"""Join tokens, their Secrets, and who may authenticate with one."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.apiserver.tokens import BootstrapTokens
from shared import join
from shared.api.core import Secret
from shared.work.clock import FakeClock

NOW = datetime(2026, 3, 1, tzinfo=UTC)
DIGEST = "0123456789abcdef" * 4
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"


@given(
    st.text(LETTERS, min_size=6, max_size=6),
    st.text(LETTERS, min_size=16, max_size=16),
    st.text("0123456789abcdef", min_size=64, max_size=64),
)
def test_a_token_survives_its_text(id, secret, digest):
    token = join.JoinToken(id, secret, digest)
    assert join.parse_token(f"  {token}\n") == token


def test_new_tokens_differ_and_keep_their_secret_to_themselves():
    one, two = join.new_token(DIGEST), join.new_token(DIGEST)
    assert one.bearer != two.bearer
    assert one.secret not in repr(one)
    assert join.parse_token(str(one)) == one


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not a join token"),
        ("abcdef.0123456789abcdef", "longboat token create"),
        ("lb1.abcdef.0123456789abcdef", "four parts"),
        (f"lb1.ABCDEF.0123456789abcdef.{DIGEST}", "id is not"),
        (f"lb1.abcdef.0123456789abcde.{DIGEST}", "secret is not"),
        (f"lb1.abcdef.0123456789abcdef.{DIGEST[:-1]}", "CA digest is not"),
        (f"lb1.abcdef.0123456789abcdef.{DIGEST}.x", "four parts"),
    ],
)
def test_a_broken_token_says_what_to_do(text, words):
    with pytest.raises(join.TokenError, match=words) as caught:
        join.parse_token(text)
    assert "0123456789abcde" not in str(caught.value)


def secret(**changes):
    tree = join.token_secret("abcdef", "0123456789abcdef", NOW + timedelta(hours=1), "for the rack")
    for key, value in changes.items():
        if value is None:
            tree["data"].pop(key.replace("_", "-"))
        else:
            tree["data"][key.replace("_", "-")] = base64.b64encode(value.encode()).decode()
    return tree


def test_a_secret_is_read_back_as_tree_and_struct():
    tree = secret(auth_extra_groups="system:bootstrappers:rack")
    info = join.read_token(tree)
    assert info == join.read_token(msgspec.convert(tree, Secret))
    assert info.id == "abcdef"
    assert info.description == "for the rack"
    assert info.expiration == NOW + timedelta(hours=1)
    assert info.groups == ("system:bootstrappers", "system:bootstrappers:rack")
    assert "0123456789abcdef" not in repr(info)


def with_metadata(**metadata):
    tree = secret()
    tree["metadata"] |= metadata
    return tree


NOT_TOKENS = {
    "opaque": secret() | {"type": "Opaque"},
    "other-namespace": with_metadata(namespace="default"),
    "other-name": with_metadata(name="bootstrap-token-zzzzzz"),
    "being-deleted": with_metadata(deletionTimestamp="2026-03-01T00:00:00Z"),
    "no-secret": secret(token_secret=None),
    "no-id": secret(token_id=None),
    "odd-expiration": secret(expiration="tomorrow"),
    "expiration-without-zone": secret(expiration="2027-01-01T00:00:00"),
    "group-of-masters": secret(auth_extra_groups="system:masters"),
    "not-base64": secret() | {"data": {"token-id": "%"}},
    "not-text": secret() | {"data": 5},
}


@pytest.mark.parametrize("tree", NOT_TOKENS.values(), ids=NOT_TOKENS.keys())
def test_what_is_no_token_is_none(tree):
    assert join.read_token(tree) is None
    assert authenticate("abcdef.0123456789abcdef", tree) is None


def authenticate(token, tree, now=NOW):
    secrets = {"bootstrap-token-abcdef": tree}
    return BootstrapTokens(secrets.get, FakeClock(now)).authenticate(token)


def test_a_token_that_holds_is_its_bootstrap_user():
    user = authenticate("abcdef.0123456789abcdef", secret())
    assert (user.name, user.groups) == ("system:bootstrap:abcdef", ("system:bootstrappers",))


@pytest.mark.parametrize(
    ("token", "tree", "now"),
    [
        ("abcdef.0123456789abcdeX", secret(), NOW),
        ("abcdef.0123456789abcdee", secret(), NOW),
        ("abcdeg.0123456789abcdef", secret(), NOW),
        ("abcdef.", secret(), NOW),
        ("", secret(), NOW),
        ("abcdef.0123456789abcdef", secret(), NOW + timedelta(hours=1)),
        ("abcdef.0123456789abcdef", secret(usage_bootstrap_authentication="false"), NOW),
        ("abcdef.0123456789abcdef", secret(usage_bootstrap_authentication=None), NOW),
    ],
    ids=["form", "wrong", "unknown", "half", "empty", "expired", "not-for-this", "not-said"],
)
def test_any_other_is_nobody(token, tree, now):
    assert authenticate(token, tree, now) is None


def test_a_token_without_expiration_holds():
    assert authenticate("abcdef.0123456789abcdef", secret(expiration=None), NOW + timedelta(days=9999))

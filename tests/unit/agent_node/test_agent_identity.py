"""The agent's data directory: what survives, and what is refused with words that help."""

from __future__ import annotations

import stat
from datetime import UTC, datetime, timedelta

import pytest

from agent import identity
from agent.identity import Identity, IdentityError
from agent.join import JoinError, check_name, normal_url
from shared import pki
from shared.pki import KeyPair
from shared.work.clock import FakeClock

NOW = datetime(2026, 3, 1, tzinfo=UTC)
CA = pki.create_ca(clock=FakeClock(NOW))


def pair() -> KeyPair:
    return pki.client_certificate(CA, "system:node:n1", ["system:nodes"], lifetime=timedelta(days=9))


@pytest.fixture
def joined(tmp_path):
    known = Identity(tmp_path, "https://h:6443", "n1", CA.pem, pair())
    identity.save(known)
    return known


def test_nothing_is_known_before_the_first_join(tmp_path):
    assert identity.load(tmp_path) is None


def test_what_was_saved_is_loaded(joined):
    assert identity.load(joined.data_dir) == joined
    files = {path.name: stat.S_IMODE(path.stat().st_mode) for path in joined.data_dir.iterdir()}
    assert files == dict.fromkeys(("agent.json", "ca.crt", "node.crt", "node.key"), 0o600)


@pytest.mark.parametrize("cut", ["key-written", "both-written", "key-moved"])
def test_a_change_of_the_pair_that_was_cut_short_leaves_one_that_matches(joined, cut):
    fresh, directory = pair(), joined.data_dir
    (directory / "next.key").write_bytes(fresh.key)
    if cut != "key-written":
        (directory / "next.crt").write_bytes(fresh.certificate)
    if cut == "key-moved":
        (directory / "next.key").rename(directory / "node.key")
    assert identity.load(directory).pair == (joined.pair if cut == "key-written" else fresh)
    assert not list(directory.glob("next.*"))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda d: (d / "node.crt").unlink(),
        lambda d: (d / "node.key").write_bytes(pki.key_pem(pki.new_key())),
        lambda d: (d / "agent.json").write_text("{"),
        lambda d: (d / "agent.json").write_text("[]"),
        lambda d: (d / "ca.crt").write_text("x"),
    ],
    ids=["no-certificate", "other-key", "broken-json", "no-object", "no-ca"],
)
def test_a_spoiled_directory_asks_to_join_again(joined, spoil):
    spoil(joined.data_dir)
    with pytest.raises(IdentityError, match="join again"):
        identity.load(joined.data_dir)


def test_an_expired_certificate_names_the_command(joined):
    identity.check_not_expired(joined, NOW + timedelta(days=8))
    with pytest.raises(IdentityError, match="longboat node add"):
        identity.check_not_expired(joined, NOW + timedelta(days=9))


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("https://h:1234", "https://h:1234"),
        ("https://h/", "https://h:6443"),
        ("10.0.0.1:6443", "https://10.0.0.1:6443"),
        ("h", "https://h:6443"),
        ("https://[::1]:7", "https://[::1]:7"),
    ],
)
def test_a_servers_address(text, url):
    assert normal_url(text) == url


@pytest.mark.parametrize("text", ["http://h:1", "https://", "https://h/path", "https://u:p@h", "h:99999", "ftp://h"])
def test_no_servers_address(text):
    with pytest.raises(JoinError, match="--server"):
        normal_url(text)


@pytest.mark.parametrize("name", ["A", "a_b", "-a", "a-", "a..b", "a" * 254])
def test_no_nodes_name(name):
    with pytest.raises(JoinError, match="--node-name"):
        check_name(name)


def test_the_hosts_name_is_the_default():
    assert check_name("")
    assert check_name("rack-7.example") == "rack-7.example"

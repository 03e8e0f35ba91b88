"""The server's own certificates: made once, kept, renewed when they must be; and the administrator's kubeconfig."""

from __future__ import annotations

import stat
from datetime import UTC, datetime

import pytest

from shared import pki
from shared.client import kubeconfig
from shared.client.kubeconfig import KubeconfigError, ensure_admin_kubeconfig
from shared.cluster_pki import ensure_cluster_pki, load_cluster_ca, renew_cluster_pki
from shared.pki import PkiError
from shared.work.clock import FakeClock

NOW = datetime(2026, 3, 1, tzinfo=UTC)
DAY = 86400.0


@pytest.fixture
def clock():
    return FakeClock(NOW)


def test_a_second_start_changes_nothing(tmp_path, clock):
    first = ensure_cluster_pki(tmp_path, "10.0.0.1", clock)
    before = {path.name: path.read_bytes() for path in first.directory.iterdir()}
    again = ensure_cluster_pki(tmp_path, ["10.0.0.1"], clock)
    assert {path.name: path.read_bytes() for path in first.directory.iterdir()} == before
    assert sorted(before) == ["ca.crt", "ca.key", "server.crt", "server.key"]
    assert again.ca_digest == first.ca_digest == pki.ca_digest(load_cluster_ca(tmp_path).pem)


def test_a_server_that_was_off_for_years_makes_its_certificate_anew(tmp_path, clock):
    first = ensure_cluster_pki(tmp_path, "10.0.0.1", clock)
    ensure_admin_kubeconfig(tmp_path / "a", first, "https://10.0.0.1:6443", clock)
    clock.advance(800 * DAY)
    again = ensure_cluster_pki(tmp_path, "10.0.0.1", clock)
    assert pki.validity(again.server_certificate.read_bytes())[1] > clock.now()
    assert ensure_admin_kubeconfig(tmp_path / "a", again, "https://10.0.0.1:6443", clock)
    assert again.ca_digest == first.ca_digest


def test_an_expired_ca_is_told_with_what_is_left_to_do(tmp_path, clock):
    ensure_cluster_pki(tmp_path, "10.0.0.1", clock)
    clock.advance(3651 * DAY)
    for start in (lambda: ensure_cluster_pki(tmp_path, "10.0.0.1", clock), lambda: renew_cluster_pki(tmp_path, clock)):
        with pytest.raises(PkiError, match=r"ca.crt expired on 2036-02-27 .*'longboat node add'"):
            start()


@pytest.mark.parametrize("change", [lambda path: None, lambda path: path.unlink(), lambda path: path.write_bytes(b"x")])
def test_renewing_by_hand(tmp_path, clock, change):
    first = ensure_cluster_pki(tmp_path, "10.0.0.1", clock)
    before = first.server_certificate.read_bytes()
    change(first.server_certificate)
    again = renew_cluster_pki(tmp_path, clock)
    after = again.server_certificate.read_bytes()
    assert after != before
    assert pki.matches(after, again.server_key.read_bytes())
    ensure_cluster_pki(tmp_path, "10.0.0.1", clock)  # a server that starts keeps it, or adds its address
    kept = again.server_certificate.read_bytes() == after
    assert kept is (change.__code__.co_names == ())
    with pytest.raises(PkiError, match=r"is .* a server's data directory"):
        renew_cluster_pki(tmp_path / "none", clock)


def test_every_file_is_the_owners_only(tmp_path, clock):
    directory = ensure_cluster_pki(tmp_path, "10.0.0.1", clock).directory
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()} == {0o600}


@pytest.mark.parametrize(
    ("change", "renewed"),
    [
        (lambda d, clock: clock.advance(200 * DAY), False),
        (lambda d, clock: clock.advance(250 * DAY), True),
        (lambda d, clock: (d / "server.key").write_bytes(pki.key_pem(pki.new_key())), True),
        (lambda d, clock: (d / "server.crt").write_bytes(b"cut sho"), True),
        (lambda d, clock: (d / "server.crt").unlink(), True),
    ],
    ids=["younger-than-two-thirds", "a-third-left", "key-of-another", "cut-short", "gone"],
)
def test_the_server_certificate_is_renewed_when_it_must_be(tmp_path, clock, change, renewed):
    first = ensure_cluster_pki(tmp_path, "10.0.0.1", clock)
    before = first.server_certificate.read_bytes()
    change(first.directory, clock)
    again = ensure_cluster_pki(tmp_path, "10.0.0.1", clock)
    assert (again.server_certificate.read_bytes() != before) is renewed
    assert again.ca_digest == first.ca_digest
    pki.server_context(again.server_certificate, again.server_key, again.ca_pem)


def test_another_advertised_host_makes_another_certificate(tmp_path, clock):
    before = ensure_cluster_pki(tmp_path, "10.0.0.1", clock).server_certificate.read_bytes()
    assert ensure_cluster_pki(tmp_path, "10.0.0.2", clock).server_certificate.read_bytes() != before


def test_a_first_start_that_was_cut_short_is_done_again(tmp_path, clock):
    (tmp_path / "pki").mkdir()
    (tmp_path / "pki" / "ca.key").write_bytes(pki.key_pem(pki.new_key()))
    ensure_cluster_pki(tmp_path, "10.0.0.1", clock)


def test_a_ca_without_its_key_is_never_replaced(tmp_path, clock):
    first = ensure_cluster_pki(tmp_path, "10.0.0.1", clock)
    (first.directory / "ca.key").unlink()
    with pytest.raises(pki.PkiError, match="restore it from a backup"):
        ensure_cluster_pki(tmp_path, "10.0.0.1", clock)


def test_a_directory_without_a_ca_says_so(tmp_path):
    with pytest.raises(pki.PkiError, match=r"is .* a server's data directory"):
        load_cluster_ca(tmp_path)


# --- the administrator's kubeconfig ---------------------------------------------------------------------------


@pytest.fixture
def admin(tmp_path, clock):
    cluster = ensure_cluster_pki(tmp_path, "10.0.0.1", clock)
    path = tmp_path / "admin.kubeconfig"
    assert kubeconfig.ensure_admin_kubeconfig(path, cluster, "https://10.0.0.1:6443", clock)
    return cluster, path


def test_what_was_written_is_read_back(admin):
    cluster, path = admin
    access = kubeconfig.load(path)
    assert access.server == "https://10.0.0.1:6443"
    assert access.ca_pem == cluster.ca_pem
    assert access.context == "longboat:admin@longboat"
    assert pki.matches(access.client.certificate, access.client.key)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    access.ssl_context()
    assert "PRIVATE" not in repr(access)


def test_a_kubeconfig_that_serves_is_kept(admin, clock):
    cluster, path = admin
    before = path.read_bytes()
    assert not kubeconfig.ensure_admin_kubeconfig(path, cluster, "https://10.0.0.1:6443", clock)
    assert path.read_bytes() == before


def test_a_kubeconfig_that_serves_no_more_is_written_again(admin, clock):
    cluster, path = admin
    assert kubeconfig.ensure_admin_kubeconfig(path, cluster, "https://10.0.0.2:6443", clock)
    clock.advance(300 * DAY)
    assert kubeconfig.ensure_admin_kubeconfig(path, cluster, "https://10.0.0.2:6443", clock)
    path.write_text("")
    assert kubeconfig.ensure_admin_kubeconfig(path, cluster, "https://10.0.0.2:6443", clock)


BASE = """
current-context: c
contexts: [{{name: c, context: {{cluster: c, user: u, namespace: shop}}}}]
clusters: [{{name: c, cluster: {{{cluster}}}}}]
users: [{{name: u, user: {{{user}}}}}]
"""


def write(path, cluster="server: https://h:1", user="token: abc"):
    path.write_text(BASE.format(cluster=cluster, user=user))
    return path


def test_files_beside_the_kubeconfig_are_read(tmp_path):
    (tmp_path / "ca").write_bytes(b"CA")
    (tmp_path / "crt").write_bytes(b"CRT")
    (tmp_path / "key").write_bytes(b"KEY")
    path = write(
        tmp_path / "k",
        "server: https://h:1/, certificate-authority: ca, tls-server-name: other",
        "client-certificate: crt, client-key: key",
    )
    access = kubeconfig.load(path)
    assert (access.server, access.ca_pem, access.tls_server_name) == ("https://h:1", b"CA", "other")
    assert access.client == pki.KeyPair(b"CRT", b"KEY")
    assert access.namespace == "shop"


def test_the_first_of_several_files_wins(tmp_path):
    one = write(tmp_path / "one", user="token: first")
    two = write(tmp_path / "two", user="token: second")
    assert kubeconfig.load([tmp_path / "absent", one, two]).token == "first"
    assert kubeconfig.load([two, one]).token == "second"


@pytest.mark.parametrize(
    ("cluster", "user", "words"),
    [
        ("server: https://h, insecure-skip-tls-verify: true", "token: t", "insecure-skip-tls-verify is not supported"),
        ("server: http://h", "token: t", "https"),
        ("server: https://h, proxy-url: http://p", "token: t", "proxy-url"),
        ("server: https://h", "exec: {command: x}", "exec is not supported"),
        ("server: https://h", "username: a, password: b", "username is not supported"),
        ("server: https://h", "client-certificate-data: QQ==", "need each other"),
        ("server: https://h, certificate-authority-data: '%'", "token: t", "not base64"),
        ("server: https://h, certificate-authority: nowhere", "token: t", "cannot be read"),
    ],
    ids=["insecure", "http", "proxy", "exec", "password", "no-key", "base64", "no-file"],
)
def test_what_is_not_safe_is_refused_by_name(tmp_path, cluster, user, words):
    with pytest.raises(KubeconfigError, match=words):
        kubeconfig.load(write(tmp_path / "k", cluster, user))


@pytest.mark.parametrize(
    ("text", "words"),
    [("[]", "not a kubeconfig"), ("{", "invalid YAML"), ("{}", "no current-context"), ("current-context: x", "no 'x'")],
    ids=["list", "broken", "empty", "no-such-context"],
)
def test_a_file_that_is_none_is_named(tmp_path, text, words):
    path = tmp_path / "k"
    path.write_text(text)
    with pytest.raises(KubeconfigError, match=words):
        kubeconfig.load(path)


def test_an_absent_file_says_what_to_set(tmp_path):
    with pytest.raises(KubeconfigError, match="set KUBECONFIG or --kubeconfig"):
        kubeconfig.load(tmp_path / "none")


def test_paths_come_from_the_environment(tmp_path):
    assert [str(p) for p in kubeconfig.default_paths({"KUBECONFIG": "/a:/b"})] == ["/a", "/b"]
    assert [str(p) for p in kubeconfig.default_paths({"HOME": "/h"})] == ["/h/.kube/config"]

"""kubeconfig files: written for the administrator, read for whoever runs a command.

Reads what kubectl reads (https://kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig/),
as far as it is safe: a server whose certificate would not be verified, passwords and credential plugins are
refused by name, never ignored. No network here; nothing secret in a message.
"""

from __future__ import annotations

import base64
import binascii
import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shared import codec, pki
from shared.cluster_pki import RENEW_BELOW, ClusterPki
from shared.pki import KeyPair, PkiError
from shared.work.clock import Clock, SystemClock

CLUSTER_NAME = "longboat"
ADMIN_KUBECONFIG = "admin.kubeconfig"
"""The administrator's kubeconfig, in a server's data directory."""


class KubeconfigError(Exception):
    """The kubeconfig cannot be used; the message names the file and what to do."""


@dataclass(frozen=True, slots=True)
class ClusterAccess:
    """How to reach a cluster, and as whom: what an HttpClient is built from."""

    server: str
    ca_pem: bytes | None
    """None: trust the system's CAs."""
    client: KeyPair | None = field(default=None, repr=False)
    token: str = field(default="", repr=False)
    tls_server_name: str = ""
    namespace: str = "default"
    context: str = ""

    def ssl_context(self) -> ssl.SSLContext:
        """Raises KubeconfigError."""
        try:
            return pki.client_context(self.ca_pem, self.client)
        except PkiError as error:
            raise KubeconfigError(f"context {self.context!r}: {error}") from error


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a user shows. ``token_file`` may be written anew; it is None beside a ``token``."""

    client: KeyPair | None = field(default=None, repr=False)
    token: str = field(default="", repr=False)
    token_file: Path | None = None
    username: str = ""
    password: str = field(default="", repr=False)


def default_paths(environ: Mapping[str, str]) -> list[Path]:
    """The files that ``KUBECONFIG`` lists, else ``~/.kube/config``, as kubectl looks for them."""
    listed = [Path(part) for part in environ.get("KUBECONFIG", "").split(os.pathsep) if part]
    return listed or [Path(environ.get("HOME", "/root"), ".kube", "config")]


def load(path: Path | list[Path], context: str = "") -> ClusterAccess:
    """Read ``context`` (default: current-context) of a file, or of several, in which the first wins.

    Raises KubeconfigError.
    """
    paths = path if isinstance(path, list) else [path]
    entries: dict[str, dict[str, tuple[dict[str, Any], Path]]] = {"clusters": {}, "users": {}, "contexts": {}}
    current = ""
    existing = [each for each in paths if each.exists()]
    if not existing:
        raise KubeconfigError(
            f"{' and '.join(str(each) for each in paths)}: no such file; set KUBECONFIG or --kubeconfig to the"
            " admin.kubeconfig in the server's data directory"
        )
    for each in existing:
        tree = _read(each)
        current = current or str(tree.get("current-context") or "")
        for kind, found in entries.items():
            for named, item in _named(tree, kind, each).items():
                found.setdefault(named, (item, each))
    name = context or current
    if not name:
        raise KubeconfigError(f"{existing[0]}: has no current-context")

    def entry(kind: str, name: str) -> tuple[dict[str, Any], Path]:
        try:
            return entries[kind][name]
        except KeyError:
            raise KubeconfigError(f"{existing[0]}: {kind} has no {name!r}") from None

    chosen, _ = entry("contexts", name)
    cluster, cluster_file = entry("clusters", str(chosen.get("cluster", "")))
    user, user_file = entry("users", str(chosen.get("user", "")))
    return _access(name, chosen, cluster, cluster_file, user, user_file)


def load_users(path: Path) -> tuple[dict[str, Credentials], str]:
    """All users of a file by name, and the user of its current-context; empty without one. Raises KubeconfigError."""
    tree = _read(path)
    users: dict[str, Credentials] = {}
    for name, user in _named(tree, "users", path).items():
        users.setdefault(name, _credentials(user, path, f"{path}: user {name!r}"))
    context = _named(tree, "contexts", path).get(str(tree.get("current-context") or ""), {})
    return users, str(context.get("user") or "")


def render(server: str, ca_pem: bytes, client: KeyPair, *, user: str) -> bytes:
    """A kubeconfig with everything embedded."""

    def embed(data: bytes) -> str:
        return base64.b64encode(data).decode()

    context = f"{user}@{CLUSTER_NAME}"
    return f"""\
apiVersion: v1
kind: Config
clusters:
- name: {CLUSTER_NAME}
  cluster:
    server: {server}
    certificate-authority-data: {embed(ca_pem)}
users:
- name: {user}
  user:
    client-certificate-data: {embed(client.certificate)}
    client-key-data: {embed(client.key)}
contexts:
- name: {context}
  context:
    cluster: {CLUSTER_NAME}
    user: {user}
current-context: {context}
""".encode()


def ensure_admin_kubeconfig(path: Path, cluster: ClusterPki, server: str, clock: Clock = SystemClock()) -> bool:
    """Write the administrator's kubeconfig (mode 0600) unless a usable one for this server is there.

    Usable: same URL, same CA, and more than a third of the certificate's life left. True when it was written.
    """
    if not _is_fresh(path, cluster, server, clock):
        pki.write_private(path, render(server, cluster.ca_pem, cluster.admin(), user=pki.ADMIN_NAME))
        return True
    return False


def _is_fresh(path: Path, cluster: ClusterPki, server: str, clock: Clock) -> bool:
    try:
        access = load(path)
        return (
            access.server == server
            and access.ca_pem == cluster.ca_pem
            and access.client is not None
            and pki.matches(access.client.certificate, access.client.key)
            and pki.issued_by(access.client.certificate, cluster.ca.certificate)
            and pki.remaining_share(access.client.certificate, clock.now()) >= RENEW_BELOW
        )
    except (KubeconfigError, PkiError, OSError):
        return False  # absent or unreadable: it can always be made again


def _access(
    name: str,
    context: dict[str, Any],
    cluster: dict[str, Any],
    cluster_file: Path,
    user: dict[str, Any],
    user_file: Path,
) -> ClusterAccess:
    server = str(cluster.get("server") or "").rstrip("/")
    if cluster.get("insecure-skip-tls-verify"):
        raise KubeconfigError(
            f"{cluster_file}: insecure-skip-tls-verify is not supported: name the cluster's CA in"
            " certificate-authority-data"
        )
    if not server.startswith("https://"):
        raise KubeconfigError(f"{cluster_file}: server must be an https:// URL, not {server!r}")
    if cluster.get("proxy-url"):
        raise KubeconfigError(f"{cluster_file}: proxy-url is not supported")
    for plugin in ("username", "password"):
        if user.get(plugin):
            raise KubeconfigError(
                f"{user_file}: {plugin} is not supported: use a client certificate or a token for this command"
            )
    credentials = _credentials(user, user_file, str(user_file))
    token = credentials.token
    if credentials.token_file is not None:
        token = _file(credentials.token_file, user_file).decode(errors="replace").strip()
    return ClusterAccess(
        server=server,
        ca_pem=_data(cluster, "certificate-authority", cluster_file),
        client=credentials.client,
        token=token,
        tls_server_name=str(cluster.get("tls-server-name") or ""),
        namespace=str(context.get("namespace") or "default"),
        context=name,
    )


def _credentials(user: dict[str, Any], path: Path, where: str) -> Credentials:
    for plugin in ("exec", "auth-provider"):
        if user.get(plugin):
            raise KubeconfigError(f"{where}: {plugin} is not supported: use a client certificate or a token")
    certificate, key = _data(user, "client-certificate", path), _data(user, "client-key", path)
    if (certificate is None) != (key is None):
        raise KubeconfigError(f"{where}: client-certificate and client-key need each other")
    token, token_file = str(user.get("token") or ""), user.get("tokenFile")
    return Credentials(
        client=KeyPair(certificate, key) if certificate is not None and key is not None else None,
        token=token,
        token_file=path.parent / str(token_file) if token_file and not token else None,
        username=str(user.get("username") or ""),
        password=str(user.get("password") or ""),
    )


def _named(tree: dict[str, Any], kind: str, path: Path) -> dict[str, dict[str, Any]]:
    """The entries of a list by name; the first of a name counts."""
    found: dict[str, dict[str, Any]] = {}
    listed = tree.get(kind) or []
    for item in listed if isinstance(listed, list) else [None]:
        if not isinstance(item, dict) or not isinstance(item.get(kind[:-1]), dict):
            raise KubeconfigError(f"{path}: {kind} is not a list of named entries")
        found.setdefault(str(item.get("name", "")), item[kind[:-1]])
    return found


def _read(path: Path) -> dict[str, Any]:
    try:
        tree = codec.decode_yaml(_file(path, path))
    except codec.CodecError as error:
        raise KubeconfigError(f"{path}: {error}") from error
    if not isinstance(tree, dict):
        raise KubeconfigError(f"{path}: is not a kubeconfig")
    return tree


def _data(entry: dict[str, Any], field: str, path: Path) -> bytes | None:
    """``<field>-data`` (base64), which wins, or the file that ``<field>`` names, relative to the kubeconfig."""
    if embedded := entry.get(f"{field}-data"):
        try:
            return base64.b64decode(str(embedded), validate=True)
        except binascii.Error as error:
            raise KubeconfigError(f"{path}: {field}-data is not base64") from error
    if named := entry.get(field):
        return _file(path.parent / str(named), path)
    return None


def _file(path: Path, kubeconfig: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise KubeconfigError(f"{kubeconfig}: {path} cannot be read: {error.strerror}") from error

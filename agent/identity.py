"""Who this agent is, as its data directory says: key, certificate, CA, server and node name.

Owns ``node.key``, ``node.crt``, ``ca.crt`` and ``agent.json`` (all mode 0600). Survives a crash between any two
writes: a renewed pair is written beside the old one first and moved into place, which ``load`` completes.
One process uses a data directory at a time; synchronous, short.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from shared import codec, tls
from shared.tls import KeyPair, PkiError


class IdentityError(Exception):
    """The agent's data directory cannot be used; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Identity:
    """An agent that has joined."""

    data_dir: Path
    server_url: str
    node_name: str
    ca_pem: bytes
    pair: KeyPair

    def ssl_context(self) -> ssl.SSLContext:
        return tls.client_context(self.ca_pem, self.pair)

    def expires(self) -> datetime:
        return tls.validity(self.pair.certificate)[1]


def load(data_dir: Path) -> Identity | None:
    """The identity in a data directory, None before the first join. Raises IdentityError."""
    settings = data_dir / "agent.json"
    if not settings.exists():
        return None
    _complete(data_dir)
    try:
        tree = codec.decode(settings.read_bytes())
        identity = Identity(
            data_dir=data_dir,
            server_url=str(tree["serverURL"]),
            node_name=str(tree["nodeName"]),
            ca_pem=(data_dir / "ca.crt").read_bytes(),
            pair=KeyPair((data_dir / "node.crt").read_bytes(), (data_dir / "node.key").read_bytes()),
        )
        usable = tls.matches(identity.pair.certificate, identity.pair.key)
        tls.first_der(identity.ca_pem)
    except (OSError, KeyError, TypeError, codec.CodecError, PkiError) as error:
        raise IdentityError(
            f"{data_dir}: {error}; join again with --token, or 'longboat node add' this host"
        ) from error
    if not usable:
        raise IdentityError(f"{data_dir}: node.key does not belong to node.crt; join again with --token")
    return identity


def check_not_expired(identity: Identity, now: datetime) -> None:
    """Raises IdentityError when the certificate is past its end: nothing but a token helps then."""
    if now >= identity.expires():
        raise IdentityError(
            f"the certificate of node {identity.node_name} expired on {identity.expires():%Y-%m-%d %H:%M} UTC while the"
            " agent was away: run 'longboat node add' for this host again, or start the agent once with --token and a"
            " new token from 'longboat token create'"
        )


def save(identity: Identity) -> None:
    """Write everything; ``agent.json`` last, since it is what says that the agent has joined."""
    directory = identity.data_dir
    tls.write_private(directory / "ca.crt", identity.ca_pem)
    save_pair(directory, identity.pair)
    save_settings(identity)


def save_settings(identity: Identity) -> None:
    """Write server and node name."""
    tree = {"serverURL": identity.server_url, "nodeName": identity.node_name}
    tls.write_private(identity.data_dir / "agent.json", codec.encode(tree) + b"\n")


def save_pair(data_dir: Path, pair: KeyPair) -> None:
    """Put another key and certificate in the place of the old ones, never leaving a pair that does not match."""
    tls.write_private(data_dir / "next.key", pair.key)
    tls.write_private(data_dir / "next.crt", pair.certificate)
    _complete(data_dir)


def _complete(data_dir: Path) -> None:
    """Finish, or undo, a change of the pair that was cut short."""
    next_key, next_crt = data_dir / "next.key", data_dir / "next.crt"
    key = data_dir / "node.key"
    if next_crt.exists():
        holder = next_key if next_key.exists() else key
        try:
            whole = tls.matches(next_crt.read_bytes(), holder.read_bytes())
        except (OSError, PkiError):
            whole = False
        if whole:
            if next_key.exists():
                next_key.replace(key)
            next_crt.replace(data_dir / "node.crt")
            return
    next_key.unlink(missing_ok=True)
    next_crt.unlink(missing_ok=True)

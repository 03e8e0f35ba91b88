"""Keys and certificates as their holder needs them: TLS contexts, whether a pair fits, until when it holds, files.

Owns nothing that makes or signs: ``shared.pki`` does, which this never imports, as the library behind that takes 8 MB
of a process. Never logs a key. Everything here is synchronous, short (some milliseconds) and safe on any thread.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
import ssl
import tempfile
import weakref
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

NODE_PREFIX, NODE_GROUP = "system:node:", "system:nodes"
"""The user and the group of an agent."""

_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----(.+?)-----END CERTIFICATE-----", re.DOTALL)
_TIME = re.compile(r"[0-9]{14}Z")
_SEQUENCE, _INTEGER, _VERSION, _UTC_TIME, _GENERALIZED_TIME = 0x30, 0x02, 0xA0, 0x17, 0x18


class PkiError(Exception):
    """A key or certificate cannot be used; the message is for an operator."""


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A certificate (leaf first, then its issuers) and its private key, both PEM."""

    certificate: bytes
    key: bytes = field(repr=False)


# --- contexts


class ResumingContext(ssl.SSLContext):
    """A client's context whose further connections to a server resume the session of an earlier one.

    That takes each end less than half of a full handshake, and asyncio has no door for it. The server's certificate
    is not looked at again, so a session is resumed only under the name that it was verified for. A server that does
    not know the session (it has started anew) makes a full handshake of it.
    """

    _latest: dict[str | None, weakref.ref[ssl.SSLObject]]
    _sessions: dict[str | None, ssl.SSLSession]

    def __new__(cls, *arguments: Any) -> ResumingContext:
        made = super().__new__(cls, *arguments)
        made._latest, made._sessions = {}, {}
        return made

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        """See ssl.SSLContext."""
        name = server_hostname.decode() if isinstance(server_hostname, bytes) else server_hostname
        # Tickets come after the handshake (TLS 1.3), so the last connection's is asked for when the next one is made.
        before = self._latest[name]() if name in self._latest else None
        if before is not None and (known := before.session) is not None and known.has_ticket:
            self._sessions[name] = known
        made = super().wrap_bio(incoming, outgoing, server_side, server_hostname, session or self._sessions.get(name))
        self._latest[name] = weakref.ref(made)
        return made


def server_context(certificate: Path, key: Path, ca_pem: bytes) -> ssl.SSLContext:
    """TLS 1.2+; a client certificate is optional, but one that is shown must be signed by the CA.

    Calling ``load_cert_chain`` on it again swaps the certificate for new connections.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    context.num_tickets = 1  # each costs half a millisecond, and a client resumes with the last one
    context.load_cert_chain(certificate, key)
    context.load_verify_locations(cadata=ca_pem.decode())
    context.verify_mode = ssl.CERT_OPTIONAL
    return context


def client_context(ca_pem: bytes | None, pair: KeyPair | None = None, *, resumes: bool = True) -> ssl.SSLContext:
    """TLS 1.2+, trusting only ``ca_pem`` (None: the system's CAs), showing ``pair`` if given. Without ``resumes`` every
    handshake is a whole one: not every server takes back a session with a client certificate. Raises PkiError."""
    context = (ResumingContext if resumes else ssl.SSLContext)(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        if ca_pem is None:
            context.load_default_certs()
        else:
            context.load_verify_locations(cadata=ca_pem.decode())
        if pair is not None:
            _load_pair(context, pair)
    except (ssl.SSLError, ValueError) as error:
        raise PkiError(f"the certificates cannot be used: {error}") from error
    return context


def unverified_context() -> ssl.SSLContext:
    """Trusts anybody: only to look at a server's certificates, whose CA is then compared with a known digest."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


# --- reading


def first_der(pem: bytes) -> bytes:
    """The (first) certificate of a PEM; that it is one shows when it is read or used. Raises PkiError."""
    found = _PEM.search(pem)
    try:
        der = base64.b64decode(b"".join(found[1].split()), validate=True) if found else b""
    except binascii.Error as error:
        raise PkiError(f"not a PEM certificate: {error}") from error
    if der[:1] != bytes((_SEQUENCE,)):
        raise PkiError("not a PEM certificate")
    return der


def der_to_pem(der: bytes) -> bytes:
    """A certificate's PEM."""
    return ssl.DER_cert_to_PEM_cert(der).encode()


def ca_digest(pem: bytes) -> str:
    """SHA-256 of the (first) certificate's DER, in hex: what a join token carries. Raises PkiError."""
    return hashlib.sha256(first_der(pem)).hexdigest()


def matches(certificate: bytes, key: bytes) -> bool:
    """Whether the private key belongs to the (first) certificate. Raises PkiError when one of them is none."""
    try:
        _load_pair(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), KeyPair(certificate, key))
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            return False
        raise PkiError("not a PEM certificate with an unencrypted PEM private key of its kind") from error
    return True


def validity(pem: bytes) -> tuple[datetime, datetime]:
    """From when until when the (first) certificate holds; aware, UTC. Raises PkiError."""
    der = first_der(pem)
    try:
        certificate = _inside(der, 0, _SEQUENCE)
        position = _inside(der, certificate, _SEQUENCE)
        if der[position] == _VERSION:
            position = _after(der, position)
        for expected in (_INTEGER, _SEQUENCE, _SEQUENCE):  # serial number, signature algorithm, issuer
            _inside(der, position, expected)
            position = _after(der, position)
        start = _inside(der, position, _SEQUENCE)
        return _time(der, start), _time(der, _after(der, start))
    except (ValueError, IndexError) as error:
        raise PkiError(f"not an X.509 certificate: {error}") from error


def _length(der: bytes, position: int) -> tuple[int, int]:
    """Where an element's content begins and ends (X.690, 8.1)."""
    first = der[position + 1]
    count = first & 0x7F if first & 0x80 else 0
    begin = position + 2 + count
    length = int.from_bytes(der[position + 2 : begin], "big") if count else first
    if begin + length > len(der):
        raise ValueError("it is cut short")
    return begin, begin + length


def _inside(der: bytes, position: int, tag: int) -> int:
    if der[position] != tag:
        raise ValueError(f"element {der[position]:#x} where {tag:#x} belongs")
    return _length(der, position)[0]


def _after(der: bytes, position: int) -> int:
    return _length(der, position)[1]


def _time(der: bytes, position: int) -> datetime:
    """UTCTime or GeneralizedTime, as RFC 5280 (4.1.2.5) restricts them: seconds, and Z."""
    begin, end = _length(der, position)
    text = der[begin:end].decode("ascii")
    if der[position] == _UTC_TIME:
        text = ("19" if text >= "50" else "20") + text
    elif der[position] != _GENERALIZED_TIME:
        raise ValueError(f"element {der[position]:#x} where a time belongs")
    if not _TIME.fullmatch(text):
        raise ValueError(f"{text!r} is no time")
    return datetime.fromisoformat(f"{text[:8]}T{text[8:]}")


# --- files


def write_private(path: Path, data: bytes) -> None:
    """Replace a file atomically and durably, readable by its owner only."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _load_pair(context: ssl.SSLContext, pair: KeyPair) -> None:
    """The ssl module reads keys from files only: a private directory that is gone again at once. An encrypted key
    is refused; without a password OpenSSL would ask for it on the terminal."""
    with tempfile.TemporaryDirectory(prefix="longboat-") as directory:
        path = Path(directory, "pair.pem")
        path.touch(mode=0o600)
        path.write_bytes(pair.key + b"\n" + pair.certificate)
        context.load_cert_chain(path, password="")

"""Header blocks of SPDY/3: names and values, deflated with a dictionary that both ends know. No I/O.

A codec has one state for each direction of a connection, so blocks must pass in the order of their frames. Source:
"SPDY Protocol - Draft 3.1", 2.6.10 (https://www.chromium.org/spdy/spdy-protocol/spdy-protocol-draft3-1/).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping

from controlplane.apiserver.streams.spdy.errors import ProtocolError

MAX_BLOCK = 64 << 10
"""Bytes of a header block once inflated: a few hundred deflated bytes could become gigabytes."""

_WORDS = (
    "options|head|post|put|delete|trace|accept|accept-charset|accept-encoding|accept-language|accept-ranges|age|allow|"
    "authorization|cache-control|connection|content-base|content-encoding|content-language|content-length|"
    "content-location|content-md5|content-range|content-type|date|etag|expect|expires|from|host|if-match|"
    "if-modified-since|if-none-match|if-range|if-unmodified-since|last-modified|location|max-forwards|pragma|"
    "proxy-authenticate|proxy-authorization|range|referer|retry-after|server|te|trailer|transfer-encoding|upgrade|"
    "user-agent|vary|via|warning|www-authenticate|method|get|status|200 OK|version|HTTP/1.1|url|public|set-cookie|"
    "keep-alive|origin"
)
_TAIL = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
    "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden"
    "404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable"
    "Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT"
    "chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,text/javascript,"
    "publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
)
DICTIONARY = b"".join(struct.pack(">I", len(word)) + word.encode() for word in _WORDS.split("|")) + _TAIL.encode()

Headers = Mapping[str, tuple[str, ...]]
"""Values by lower-case name."""


class HeaderCodec:
    """Both directions of one connection."""

    def __init__(self) -> None:
        self._deflate = zlib.compressobj(level=1, zdict=DICTIONARY)
        self._inflate = zlib.decompressobj(zdict=DICTIONARY)

    def encode(self, headers: Headers) -> bytes:
        """The block of ``headers``."""
        parts = [struct.pack(">I", len(headers))]
        for name, values in headers.items():
            for text in (name.lower().encode(), b"\0".join(value.encode() for value in values)):
                parts += [struct.pack(">I", len(text)), text]
        return self._deflate.compress(b"".join(parts)) + self._deflate.flush(zlib.Z_SYNC_FLUSH)

    def decode(self, block: bytes) -> dict[str, tuple[str, ...]]:
        """The headers of a block. Raises ProtocolError."""
        try:
            text = self._inflate.decompress(block, MAX_BLOCK)
        except zlib.error as error:
            raise ProtocolError(f"a header block cannot be inflated: {error}") from error
        if self._inflate.unconsumed_tail:
            raise ProtocolError(f"a header block is longer than {MAX_BLOCK} bytes")
        return _parse(text)


def _parse(text: bytes) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    count, position = _number(text, 0)
    for _ in range(count):
        name, position = _string(text, position)
        value, position = _string(text, position)
        if not name or name in found or name != name.lower():
            raise ProtocolError("a header's name is empty, given twice, or not in lower case")
        found[name] = tuple(value.split("\0"))
    if position != len(text):
        raise ProtocolError("a header block is longer than it says")
    return found


def _number(text: bytes, position: int) -> tuple[int, int]:
    if position + 4 > len(text):
        raise ProtocolError("a header block ends too early")
    return int.from_bytes(text[position : position + 4], "big"), position + 4


def _string(text: bytes, position: int) -> tuple[str, int]:
    length, position = _number(text, position)
    if position + length > len(text):
        raise ProtocolError("a header block ends too early")
    # Go writes header values as they are; what is no UTF-8 must not end the connection
    return text[position : position + length].decode(errors="replace"), position + length

"""Documents as they are kept: compressed, with the hash of their content. Pure.

A document is some megabytes of text that nearly every client asks for compressed; so only that form stays in memory.
"""

from __future__ import annotations

import gzip
import hashlib

_LEVEL = 6


class Packed:
    """One document. ``hash`` is of the plain bytes, as kube-apiserver writes it (SHA-512, in capitals)."""

    __slots__ = ("compressed", "hash", "size")

    def __init__(self, body: bytes, hash: str = "") -> None:
        self.hash = hash or hashlib.sha512(body).hexdigest().upper()
        self.compressed = gzip.compress(body, _LEVEL, mtime=0)
        self.size = len(body)

    def plain(self) -> bytes:
        """The bytes; a megabyte takes some 3 ms."""
        return gzip.decompress(self.compressed)

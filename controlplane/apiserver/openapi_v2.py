"""/openapi/v2: only that it is there. The schemas are in /openapi/v3, which current clients read first.

kubectl falls back to v2 for a kind that v3 does not know, and takes a 404 as a failure of the server instead of an
unknown kind; an empty document lets it say ``no matches for kind``. It asks in protobuf (the message
openapi.v2.Document of github.com/google/gnostic-models); JSON is for people.
"""

from __future__ import annotations

from shared import codec

ASKED = "application/com.github.proto-openapi.spec.v2"
PROTOBUF = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
"""What is answered: the older name that clients ask with has an @, which is none of a media type's characters."""

_TITLE, _NOTE = "Longboat", "The schemas are served at /openapi/v3."


def answer(accept: str, version: str) -> tuple[str, bytes]:
    """Content type and body."""
    if ASKED in accept:
        info = _text(1, _TITLE) + _text(2, version) + _text(3, _NOTE)
        return PROTOBUF, _text(1, "2.0") + _field(2, info) + _field(8, b"")
    info_tree = {"title": _TITLE, "version": version, "description": _NOTE}
    return "application/json", codec.encode({"swagger": "2.0", "info": info_tree, "paths": {}})


def _text(number: int, text: str) -> bytes:
    return _field(number, text.encode())


def _field(number: int, data: bytes) -> bytes:
    """A length-delimited field; every one here is shorter than 128 bytes, so one byte tells the length."""
    return bytes((number << 3 | 2, len(data))) + data

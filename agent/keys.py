"""A new key for this node, and the signing request for it.

What makes keys takes 8 MB of a process for good, and an agent needs it twice a year: ``in_child`` makes the key in
a process that ends. The key comes back through a pipe, and stands on no disk and in no argument. For a process that
plays many agents there is ``in_process``. ``python -m agent.keys NODE`` is the child.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from shared import codec
from shared.tls import NODE_GROUP, NODE_PREFIX

_LIMIT = 30.0
"""Seconds that a child may take; on a busy host loading what it needs may take some."""


@dataclass(frozen=True, slots=True)
class NewKey:
    """``request`` is the PEM signing request for the private key ``key`` (PEM)."""

    key: bytes = field(repr=False)
    request: bytes
    digest: str
    """Of the public key (DER), in hex."""


MakeKey = Callable[[str], Awaitable[NewKey]]
"""Given the node's name. Raises OSError."""


async def in_child(node_name: str) -> NewKey:
    """See MakeKey. An OSError says what went wrong in the child."""
    environ = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    pipe = asyncio.subprocess.PIPE
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "agent.keys", node_name, stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe,
        env=environ,
    )  # fmt: skip
    try:
        async with asyncio.timeout(_LIMIT):
            out, trouble = await child.communicate()
    except TimeoutError as error:
        raise OSError(f"no key could be made within {_LIMIT:g} s") from error
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    if child.returncode != 0:
        raise OSError(f"no key could be made: {trouble.decode(errors='replace').strip()[-300:]}")
    tree = codec.decode(out)
    return NewKey(tree["key"].encode(), tree["request"].encode(), tree["digest"])


async def in_process(node_name: str) -> NewKey:
    """See MakeKey."""
    return make(node_name)


def make(node_name: str) -> NewKey:
    """A key and its request, here."""
    from cryptography.hazmat.primitives import serialization

    from shared import pki

    key = pki.new_key()
    request = pki.signing_request(key, NODE_PREFIX + node_name, [NODE_GROUP])
    public = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return NewKey(pki.key_pem(key), request, hashlib.sha256(public).hexdigest())


def main() -> None:
    made = make(sys.argv[1])
    tree = {"key": made.key.decode(), "request": made.request.decode(), "digest": made.digest}
    sys.stdout.buffer.write(codec.encode(tree))


if __name__ == "__main__":
    main()

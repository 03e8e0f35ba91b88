"""Why a connection failed, as a person is told."""

from __future__ import annotations

import asyncio
import errno
import socket

import pytest

from shared.unreachable import why


async def test_a_refused_connection() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: refused
        with pytest.raises(OSError, match="Connect call failed") as refused:
            await asyncio.open_connection("127.0.0.1", taken.getsockname()[1])
    assert why(refused.value) == "Connection refused"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.EHOSTUNREACH, "Connect call failed ('192.0.2.1', 22)"), "No route to host"),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "Name or service not known"),
        (TimeoutError(), "no answer in time"),
        (ValueError("Connection lost"), "Connection lost"),
    ],
    ids=["no route", "no such name", "timeout", "anything else"],
)
def test_other_failures(error: Exception, said: str) -> None:
    assert why(error) == said

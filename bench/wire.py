"""A lean HTTP/1.1 client over TLS for load: it shares the cores with the server that it measures.

One thread, one epoll, non-blocking sockets, requests encoded before the clock runs. Every answer is read whole and
its status looked at; nothing is reused or skipped. A full client library on the same load took two thirds of the
time of both together, so that the figures were its own.
"""

from __future__ import annotations

import select
import socket
import ssl
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

JSON = "application/json"
READ = 1 << 18
"""Bytes asked for at a time."""


class LoadError(Exception):
    """The server did not answer as HTTP, or not in time."""


@dataclass(slots=True)
class Sample:
    """What a number of requests came to: seconds from the first to the last, seconds of each, statuses."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    answers: Counter[int] = field(default_factory=Counter)


class Driver:
    """Connections to one server. ``limit`` is in seconds, for every wait."""

    def __init__(self, server: str, context: ssl.SSLContext, token: str = "", *, limit: float = 120.0) -> None:
        parts = urlsplit(server)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 443
        self._context, self._limit = context, limit
        self._head = f"Host: {parts.netloc}\r\n".encode()
        if token:
            self._head += f"Authorization: Bearer {token}\r\n".encode()
        self._poll = select.epoll()
        self._readers: dict[int, Callable[[], None]] = {}
        self._idle: list[_Connection] = []
        self._watches: list[_Connection] = []

    def request(self, method: str, path: str, body: bytes = b"", content_type: str = JSON, accept: str = JSON) -> bytes:
        """The bytes of a request."""
        start = b"%b %b HTTP/1.1\r\n" % (method.encode(), path.encode())
        head = b"%b%bAccept: %b\r\n" % (start, self._head, accept.encode())
        if body:
            head += b"Content-Type: %b\r\nContent-Length: %d\r\n" % (content_type.encode(), len(body))
        return head + b"\r\n" + body

    def call(self, request: bytes) -> tuple[int, bytes]:
        """One request, its status and body."""
        connection = self._take(1)[0]
        connection.send(request)
        bodies: list[tuple[int, bytes]] = []

        def read() -> None:
            if connection.read():
                bodies.append((connection.status, connection.body()))

        self._readers[connection.number] = read
        self.until(lambda: bool(bodies))
        return bodies[0]

    def run(self, requests: Sequence[bytes], parallel: int) -> Sample:
        """All of ``requests``, ``parallel`` at a time, each on a kept connection of its own. Raises LoadError."""
        sample, waiting, clock = Sample(), deque(requests), time.perf_counter
        connections = self._take(parallel)
        left = len(requests)

        def reader(connection: _Connection) -> Callable[[], None]:
            def read() -> None:
                nonlocal left
                if connection.read():
                    now = clock()
                    sample.latencies.append(now - connection.began)
                    sample.answers[connection.status] += 1
                    left -= 1
                    if waiting:
                        connection.send(waiting.popleft())
                        connection.began = now

            return read

        began = clock()
        for connection in connections:
            self._readers[connection.number] = reader(connection)
            if waiting:
                connection.began = clock()
                connection.send(waiting.popleft())
        self.until(lambda: not left)
        sample.seconds = clock() - began
        sample.latencies.sort()
        return sample

    def watch(self, path: str, tell: Callable[[bytes], None]) -> None:
        """Open a watch; ``tell`` is given what it brings, as it comes. Returns once the server has answered."""
        connection = self._connect()
        connection.send(self.request("GET", path))
        answered = False

        def read() -> None:
            nonlocal answered
            data = connection.receive()
            if answered:
                tell(data)
                return
            connection.data += data
            head, found, rest = bytes(connection.data).partition(b"\r\n\r\n")
            if found:
                if head[9:12] != b"200":
                    raise LoadError(f"the watch was answered {head[:60]!r}")
                answered = True
                if rest:
                    tell(rest)

        self._readers[connection.number] = read
        self._watches.append(connection)
        self.until(lambda: answered)

    def end_watches(self) -> None:
        """Close every watch."""
        for connection in self._watches:
            del self._readers[connection.number]
            connection.close()
        self._watches.clear()

    def until(self, done: Callable[[], bool]) -> None:
        """Serve the sockets until ``done``. Raises LoadError after ``limit`` seconds."""
        end = time.monotonic() + self._limit
        readers, poll = self._readers, self._poll.poll
        while not done():
            ready = poll(1.0)
            for number, _ in ready:
                readers[number]()
            if time.monotonic() > end:
                raise LoadError(f"not done within {self._limit:.0f} s")

    def close(self) -> None:
        self.end_watches()
        for connection in self._idle:
            connection.close()
        self._idle.clear()
        self._poll.close()

    def _take(self, count: int) -> list[_Connection]:
        while len(self._idle) < count:
            self._idle.append(self._connect())
        for connection in self._idle:
            # Between two runs only session tickets and the server's farewell can come.
            self._readers[connection.number] = connection.receive_nothing
        return self._idle[:count]

    def _connect(self) -> _Connection:
        plain = socket.create_connection((self._host, self._port), timeout=self._limit)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock = self._context.wrap_socket(plain, server_hostname=self._host)
        sock.setblocking(False)
        connection = _Connection(sock)
        self._poll.register(sock, select.EPOLLIN)
        return connection


class _Connection:
    """One kept connection with at most one request on it."""

    __slots__ = ("_end", "_sock", "began", "data", "number", "status")

    def __init__(self, sock: ssl.SSLSocket) -> None:
        self._sock, self.number = sock, sock.fileno()
        self.data = bytearray()
        self.began, self.status, self._end = 0.0, 0, 0

    def send(self, request: bytes) -> None:
        self.data.clear()
        self._end = 0
        sent = 0
        while True:
            with suppress(ssl.SSLWantWriteError):
                sent += self._sock.send(request[sent:] if sent else request)
            if sent >= len(request):
                return
            select.select((), (self._sock,), ())

    def read(self) -> bool:
        """Take in what is there; whether the answer is whole."""
        data = self.data
        data += self.receive()
        if not self._end:
            head = data.find(b"\r\n\r\n")
            if head < 0:
                return False
            self.status = int(data[9:12])
            at = data.find(b"Content-Length: ", 0, head)
            if at < 0:
                raise LoadError("an answer without a length")
            self._end = head + 4 + int(data[at + 16 : data.index(b"\r", at)])
        return len(data) >= self._end

    def body(self) -> bytes:
        return bytes(self.data).partition(b"\r\n\r\n")[2]

    def receive(self) -> bytes:
        """What is there, which may be nothing. Raises LoadError at the end of the connection."""
        try:
            data = self._sock.recv(READ)
        except ssl.SSLWantReadError:
            return b""
        if not data:
            raise LoadError("the server closed the connection")
        with suppress(ssl.SSLWantReadError):
            while self._sock.pending():
                data += self._sock.recv(READ)
        return data

    def receive_nothing(self) -> None:
        if self.receive():
            raise LoadError("an answer that nobody asked for")

    def close(self) -> None:
        self._sock.close()

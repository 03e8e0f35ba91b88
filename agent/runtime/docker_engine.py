"""The one door to the Docker daemon's blocking SDK.

Short calls go through a bounded pool of threads; what may last (event and log streams, exec, stops with a long
grace, pulls) gets threads of its own with budgets of their own, so that it never starves the short ones. Every
call has a time limit: a daemon that hangs or is gone is RuntimeUnavailable. After such a failure the clients are
made anew, with the API version negotiated again, since the daemon may come back upgraded.

Concurrency: methods are called on the event loop; functions given to ``call`` and ``dedicated`` run in threads.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

from docker import APIClient
from docker.errors import APIError, DockerException

from agent.runtime import docker_errors, metrics
from agent.runtime.base import RuntimeFailure, RuntimeUnavailable
from agent.runtime.docker_options import DockerOptions

logger = logging.getLogger(__name__)
T = TypeVar("T")

OLDEST_API, NEWEST_API = (1, 41), (1, 51)
_VERSION_BEFORE = "1.41"
"""Of a client that only asks for the version, at an address without one."""

_CLOSED_TRIES = 3
"""Of a call whose connection is closed before anything was sent: by another call's failure, by whoever ended a stream
on it, or by the SDK, which keeps a pool for each URL, 25 at most, and closes the oldest even while a thread is about
to use it."""


class Interrupt:
    """Ends a blocking read from another thread: shuts the connection that was attached. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._shut: Callable[[], None] | None = None
        self._fired = False

    @property
    def fired(self) -> bool:
        return self._fired

    def attach(self, shut: Callable[[], None]) -> None:
        """What ``fire`` shall call; called at once if it has fired."""
        with self._lock:
            self._shut = shut
            fired = self._fired
        if fired:
            self._call(shut)

    def fire(self) -> None:
        with self._lock:
            if self._fired:
                return
            self._fired = True
            shut = self._shut
        if shut is not None:
            self._call(shut)

    @staticmethod
    def _call(shut: Callable[[], None]) -> None:
        with suppress(OSError, AttributeError):  # the stream ended by itself meanwhile
            shut()


def negotiate(version: dict[str, Any]) -> str:
    """The API version to speak with a daemon that says this of itself: its newest, but none newer than was tried
    here, unless it refuses those."""
    newest, oldest = _numbers(version.get("ApiVersion", "1.41")), _numbers(version.get("MinAPIVersion", "1.12"))
    if newest < OLDEST_API:
        raise RuntimeFailure(
            f"Docker {version.get('Version')} speaks API {version.get('ApiVersion')}; 1.41 (Docker 20.10) is needed",
            "UnsupportedEngine",
        )
    chosen = max(min(newest, NEWEST_API), oldest)
    return f"{chosen[0]}.{chosen[1]}"


def _numbers(text: str) -> tuple[int, int]:
    major, _, minor = text.partition(".")
    return int(major), int(minor or 0)


class DockerEngine:
    """Threads, clients, limits and error mapping around the SDK."""

    def __init__(self, options: DockerOptions) -> None:
        self.options = options
        self._pool = ThreadPoolExecutor(options.threads, thread_name_prefix="docker")
        self._clients: dict[float, APIClient] = {}
        self._lock = threading.Lock()
        self._closed = False

    async def call(
        self, operation: str, work: Callable[[APIClient], T], *, write: bool = False, absent: T | None = None
    ) -> T:
        """Run ``work`` in the pool. With ``absent`` given, that is the result when the daemon answers 404.

        Raises RuntimeUnavailable, RuntimeFailure; with the cause as ``__cause__``.
        """
        limit = self.options.write_timeout if write else self.options.read_timeout
        loop = asyncio.get_running_loop()
        if self._closed:
            raise RuntimeUnavailable("the agent is closing its connection to the Docker daemon")
        return await self._measured(
            operation, loop.run_in_executor(self._pool, self._blocking, operation, work, limit, absent), limit + 1.0
        )

    async def dedicated(
        self,
        operation: str,
        work: Callable[[APIClient], T],
        *,
        interrupt: Interrupt | None = None,
        limit: float | None = None,
        read_timeout: float | None = None,
        absent: T | None = None,
    ) -> T:
        """Run ``work`` in a thread of its own, for what may last; ``limit`` seconds at most, when given.

        When the caller goes away or time is up, ``interrupt`` is fired. The callers bound how many run at once.
        ``read_timeout`` is the client's for each answer. Raises as ``call``.
        """
        loop = asyncio.get_running_loop()
        result: asyncio.Future[T] = loop.create_future()

        def settle(value: T | None, error: BaseException | None) -> None:
            if result.done():
                return
            if error is None:
                result.set_result(value)  # type: ignore[arg-type]
            else:
                result.set_exception(error)

        def ended(value: T | None, error: BaseException | None) -> None:
            with suppress(RuntimeError):  # the loop has been closed: nobody waits any more
                loop.call_soon_threadsafe(settle, value, error)

        self.background(operation, work, ended, read_timeout=read_timeout, absent=absent)
        try:
            return await self._measured(operation, result, limit)
        finally:
            if interrupt is not None:
                interrupt.fire()

    def background(
        self,
        operation: str,
        work: Callable[[APIClient], T],
        ended: Callable[[T | None, BaseException | None], None],
        *,
        read_timeout: float | None = None,
        absent: T | None = None,
    ) -> None:
        """Start ``work`` in a thread of its own; that thread calls ``ended`` with its result or failure."""

        def run() -> None:
            value: T | None = None
            failure: BaseException | None = None
            try:
                value = self._blocking(operation, work, read_timeout or self.options.write_timeout, absent)
            except BaseException as error:  # handed to whoever waits
                failure = error
            ended(value, failure)

        threading.Thread(target=run, name=f"docker-{operation}", daemon=True).start()

    async def close(self) -> None:
        """Refuse further calls and drop the connections; what runs ends with its time limit."""
        self._closed = True
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._drop()

    async def _measured(self, operation: str, future: asyncio.Future[T], limit: float | None) -> T:
        started = time.perf_counter()
        outcome = "error"
        metrics.CALLS_IN_FLIGHT.inc()
        try:
            async with asyncio.timeout(limit) as deadline:
                result = await future
            outcome = "ok"
        except TimeoutError as error:
            outcome = "timeout"
            if deadline.expired():
                raise RuntimeUnavailable(
                    f"the Docker daemon does not answer ({operation} took over {limit:g} s)"
                ) from error
            raise
        except RuntimeUnavailable:
            outcome = "unavailable"
            raise
        except asyncio.CancelledError:
            outcome = "cancelled"
            raise
        finally:
            metrics.CALLS_IN_FLIGHT.dec()
            metrics.CALL_SECONDS.labels(operation, outcome).observe(time.perf_counter() - started)
        return result

    def _blocking(self, operation: str, work: Callable[[APIClient], T], timeout: float, absent: T | None) -> T:
        try:
            for _ in range(_CLOSED_TRIES):
                try:
                    return work(self._client(timeout))
                except docker_errors.MAYBE_UNSENT as error:
                    if self._closed or not docker_errors.was_never_sent(error):
                        raise
            return work(self._client(timeout))
        except RuntimeFailure:
            raise
        except docker_errors.BLOCKING_FAILURES as error:
            if absent is not None and docker_errors.status_of(error) == 404:
                return absent
            failure = docker_errors.translate(error, operation)
            if isinstance(failure, RuntimeUnavailable):
                self._drop()
            raise failure from error

    def _client(self, timeout: float) -> APIClient:
        """A client with this time limit; made, with one question for the version, when there is none."""
        with self._lock:
            client = self._clients.get(timeout)
        if client is not None:
            return client
        version = self._new_client(timeout, _VERSION_BEFORE).version(api_version=False)
        made = self._new_client(timeout, negotiate(version))
        with self._lock:
            return self._clients.setdefault(timeout, made)

    def _new_client(self, timeout: float, version: str) -> APIClient:
        """A client that has not connected yet."""
        client = APIClient(self.options.host, version=version, timeout=timeout, max_pool_size=self.options.threads)
        client.trust_env = False  # no proxy and netrc look-ups: they cost a third of a short call
        return client

    def _drop(self) -> None:
        with self._lock:
            clients, self._clients = list(self._clients.values()), {}
        for client in clients:
            with suppress(DockerException, OSError):
                client.close()


def is_conflict(error: BaseException | None) -> bool:
    """Whether the daemon answered 409: a name in use, or a container in the wrong state."""
    return isinstance(error, APIError) and docker_errors.status_of(error) == 409

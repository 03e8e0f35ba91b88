"""One probe, made once: exec, HTTP(S), TCP or gRPC. Never raises but on cancellation; every wait is bounded.

The rules are those of pkg/probe: an HTTP answer of 200 to 399 is healthy, and so is a redirect that leads elsewhere.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Protocol

from agent.pods import grpc_health
from agent.pods.http_get import HttpGetFailed, HttpGetter, Target, find_port, reason
from agent.runtime.base import Runtime, RuntimeFailure
from shared.api.pod import GRPCAction, HTTPGetAction, Probe

USER_AGENT = "kube-probe/1.36"


@dataclass(frozen=True, slots=True)
class ProbeResult:
    healthy: bool
    output: str = ""


class Prober(Protocol):
    """Makes one probe."""

    async def probe(self, probe: Probe, target: Target) -> ProbeResult: ...


class NetworkProber:
    """Probes over the pod network and through the engine."""

    def __init__(self, runtime: Runtime, http: HttpGetter) -> None:
        self._runtime, self._http = runtime, http

    async def probe(self, probe: Probe, target: Target) -> ProbeResult:
        """The result; a wait longer than ``timeoutSeconds`` is a failure."""
        limit = float(max(1, probe.timeout_seconds))
        if probe.exec_ is not None:
            return await self._exec(probe.exec_.command, target, limit)
        if probe.http_get is not None:
            return await self._get(probe.http_get, target, limit)
        if probe.tcp_socket is not None:
            port = find_port(target.container, probe.tcp_socket.port)
            if port is None:
                return ProbeResult(False, f"couldn't find port: {probe.tcp_socket.port}")
            return await self._tcp(probe.tcp_socket.host or target.address, port, limit)
        if probe.grpc is not None:
            return await self._grpc(probe.grpc, target, limit)
        return ProbeResult(False, "missing probe handler")

    async def _exec(self, command: tuple[str, ...], target: Target, limit: float) -> ProbeResult:
        try:
            result = await self._runtime.exec(target.container_id, command, limit)
        except TimeoutError:
            return ProbeResult(False, f'command timed out: "{" ".join(command)}" timed out after {limit:g}s')
        except RuntimeFailure as failure:
            return ProbeResult(False, failure.message)
        return ProbeResult(result.exit_code == 0, result.output.decode(errors="replace"))

    async def _tcp(self, host: str, port: int, limit: float) -> ProbeResult:
        try:
            async with asyncio.timeout(limit):
                _, writer = await asyncio.open_connection(host, port)
        except TimeoutError:
            return ProbeResult(False, f"dial tcp {host}:{port}: i/o timeout")
        except OSError as error:
            return ProbeResult(False, f"dial tcp {host}:{port}: connect: {reason(error)}")
        writer.close()
        return ProbeResult(True)

    async def _grpc(self, action: GRPCAction, target: Target, limit: float) -> ProbeResult:
        address = f"{target.address}:{action.port}"
        try:
            async with asyncio.timeout(limit):
                status = await grpc_health.check(target.address, action.port, action.service or "")
        except TimeoutError:
            return ProbeResult(False, f'timeout: failed to connect service "{address}" within {limit:g}s')
        except OSError as error:
            return ProbeResult(False, f'error: failed to connect service at "{address}": {reason(error)}')
        except grpc_health.RpcFailed as error:
            if error.code == "Unimplemented":
                text = f"error: this server does not implement the grpc health protocol: {error.message}"
                return ProbeResult(False, text)
            return ProbeResult(False, f"error: health rpc probe failed: {error}")
        if status != grpc_health.SERVING:
            return ProbeResult(False, f'service unhealthy (responded with "{status}")')
        return ProbeResult(True, "service healthy")

    async def _get(self, action: HTTPGetAction, target: Target, limit: float) -> ProbeResult:
        url = ""
        try:
            url = self._http.url(action, target)
            async with asyncio.timeout(limit):
                code = await self._http.get(url, action, USER_AGENT)
        except TimeoutError:
            return ProbeResult(False, f'Get "{url}": context deadline exceeded')
        except HttpGetFailed as error:
            return ProbeResult(False, str(error))
        if code is None:
            return ProbeResult(True, "Probe terminated redirects")
        if 200 <= code < 400:
            return ProbeResult(True)
        return ProbeResult(False, f"HTTP probe failed with statuscode: {code}")

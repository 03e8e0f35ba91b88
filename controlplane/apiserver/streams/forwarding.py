"""One forwarded connection: what a client sends and receives, joined to a port of the pod.

Owns neither end; which transport the client's is on is its caller's. One task for each direction.
"""

from __future__ import annotations

from typing import Protocol

from controlplane.apiserver.streams.dialled import Dialled, dial
from controlplane.apiserver.streams.hub import StreamBroken, TunnelHub
from shared.api.errors import StatusError
from shared.api.pod import Pod
from shared.dial import Dial
from shared.work.alongside import alongside


class ClientBytes(Protocol):
    """A client's end of a forwarded connection."""

    async def read(self) -> bytes:
        """What came; empty at the end."""
        ...

    async def write(self, data: bytes) -> None:
        """Raises ConnectionError."""
        ...


class Forwarder:
    """Connections to the ports of one pod, as its own processes see them."""

    def __init__(self, hub: TunnelHub, node: str, pod: Pod) -> None:
        self._hub, self._node, self._pod = hub, node, pod

    async def forward(self, port: int, client: ClientBytes) -> str:
        """Pass bytes on until the pod has ended its side. What went wrong, or nothing: the client is told so, in the
        kubelet's words (pkg/kubelet/server/portforward). Raises ConnectionError without the client."""
        meta = self._pod.metadata
        target = Dial(meta.namespace, meta.name, meta.uid, port, loopback=True)
        try:
            async with dial(self._hub, self._node, target) as dialled, alongside(forward=_inward(client, dialled)):
                while data := await dialled.read():
                    await client.write(data)
        except StatusError as error:
            return self._failed(port, error.message)
        except StreamBroken as error:
            return self._failed(port, str(error))
        return ""

    def _failed(self, port: int, why: str) -> str:
        meta = self._pod.metadata
        return f"error forwarding port {port} to pod {meta.name}, uid {meta.uid}: {why}"


async def _inward(client: ClientBytes, dialled: Dialled) -> None:
    try:
        while data := await client.read():
            await dialled.write(data)
        await dialled.write_eof()
    except StreamBroken:
        return  # which the other direction sees too

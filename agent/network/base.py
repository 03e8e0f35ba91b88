"""The pod network as the agent sees it: a protocol, so that hollow agents can do without."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from agent.runtime.base import PodIdentity


class NetworkFailure(Exception):
    """The host's network could not be set up; the message is for an operator."""


@dataclass(frozen=True, slots=True)
class PortMapping:
    """A host port that leads to a pod."""

    host_port: int
    container_port: int
    protocol: str = "TCP"
    host_ip: str = ""


class PodNetwork(Protocol):
    """Addresses and plumbing of pods on this host. Idempotent; safe to call concurrently; never blocks."""

    async def setup(self, pod_cidr: str) -> None:
        """Bridge, gateway address, masquerading. Raises NetworkFailure."""
        ...

    async def attach(self, pod: PodIdentity | None, sandbox_id: str, process_id: int) -> str:
        """Give a sandbox its network; its address. With pod None a warm sandbox, plumbed ahead of its pod."""
        ...

    async def publish(self, pod: PodIdentity, address: str, ports: Sequence[PortMapping]) -> None:
        """Make host ports lead to the pod, in place of what was published for it before."""
        ...

    async def detach(self, pod: PodIdentity | None, sandbox_id: str) -> None:
        """Take back address and host ports; no error if there is nothing."""
        ...

    async def adopt(self, sandboxes: Sequence[tuple[PodIdentity | None, str, int]]) -> dict[str, str]:
        """After a restart: address of each (pod, sandbox id, process id) that has one, by sandbox id; what
        belongs to none of them is removed."""
        ...

    async def close(self) -> None: ...

"""Which pod has which address of this node's range. Plain data, no I/O; lives on the event loop.

Nothing is kept in files: after a restart the addresses are read back from the host's interfaces and ``keep``-t.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

from agent.network.base import NetworkFailure


class AddressPool:
    """Addresses of one range by sandbox id. They go round: one that was given back is the last to be used again,
    so that connections to a pod that is gone do not reach another."""

    def __init__(self, cidr: str) -> None:
        """Raises NetworkFailure unless ``cidr`` is an IPv4 range with room for pods."""
        try:
            self.network = IPv4Network(cidr)
        except ValueError as error:
            raise NetworkFailure(f"pod CIDR {cidr!r} is not an IPv4 range: {error}") from error
        if self.network.prefixlen > 30:
            raise NetworkFailure(f"pod CIDR {cidr} has no room for pods; /24 is usual, /30 the least")
        self._first = int(self.network.network_address) + 2  # after the network's own and the gateway
        self._size = self.network.num_addresses - 3  # without the broadcast address too
        self._next = 0
        self._by_sandbox: dict[str, IPv4Address] = {}
        self._used: set[IPv4Address] = set()

    @property
    def gateway(self) -> IPv4Address:
        """The host's own address on the bridge: the first of the range."""
        return self.network.network_address + 1

    def __len__(self) -> int:
        return len(self._used)

    def get(self, sandbox_id: str) -> IPv4Address | None:
        return self._by_sandbox.get(sandbox_id)

    def take(self, sandbox_id: str) -> IPv4Address:
        """The sandbox's address, a new one if it has none. Raises NetworkFailure when all are in use."""
        if (known := self._by_sandbox.get(sandbox_id)) is not None:
            return known
        for step in range(self._size):
            address = IPv4Address(self._first + (self._next + step) % self._size)
            if address not in self._used:
                self.keep(sandbox_id, address)
                return address
        raise NetworkFailure(f"all {self._size} addresses of pod CIDR {self.network} are in use")

    def keep(self, sandbox_id: str, address: IPv4Address) -> bool:
        """Note an address that a sandbox has already; False if it is not of this range or another's."""
        if address in self._used or not 0 <= int(address) - self._first < self._size:
            return self._by_sandbox.get(sandbox_id) == address
        self.release(sandbox_id)
        self._by_sandbox[sandbox_id] = address
        self._used.add(address)
        self._next = (int(address) - self._first + 1) % self._size
        return True

    def release(self, sandbox_id: str) -> IPv4Address | None:
        """Give it back; what it was."""
        address = self._by_sandbox.pop(sandbox_id, None)
        if address is not None:
            self._used.discard(address)
        return address

"""Take everything of the pod network off this host: bridge, pairs, nftables table, forwarding rules.

For the end of an agent's life on a host (``longboat down``, ``longboat node remove``); needs no running agent.
"""

from __future__ import annotations

from agent.network.bridge import BridgeNetwork
from agent.network.options import NetworkOptions


async def teardown(options: NetworkOptions | None = None) -> None:
    """No error if there is nothing. Raises NetworkFailure: no rights, or a tool of the host that fails."""
    network = BridgeNetwork(options)
    try:
        await network.teardown()
    finally:
        await network.close()

"""The store: a revisioned map of keys to bytes with watches and leases (``base`` is the contract)."""

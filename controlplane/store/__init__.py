"""The store: revisions, compare-and-set transactions, watches and leases. ``base`` is the contract."""

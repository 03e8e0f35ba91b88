"""Clients of the API: the protocol, over HTTP, and the caches that watches keep."""

"""Kubernetes API data: frozen structs to read, pure functions over JSON trees. No I/O, no asyncio."""

"""Streams from agents: the hub that asks for them over the tunnel, and what is served with them (logs)."""

"""SPDY/3.1 as Kubernetes' clients speak it: a pure codec of frames and headers, and a connection of streams on it."""

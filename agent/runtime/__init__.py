"""The container runtime: a small protocol, and Docker behind it. Only ``docker*.py`` here imports docker."""

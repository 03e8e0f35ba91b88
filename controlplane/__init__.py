"""The control plane: store, API server, controllers, scheduler. One process, `server.py`."""

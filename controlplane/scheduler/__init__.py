"""The scheduler: pending pods and a matrix of nodes in, bindings and reasons out.

``loop`` is the only module here that does I/O or knows of time; the others are pure, on one event loop.
"""

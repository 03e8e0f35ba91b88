"""Putting Longboat on machines: the ``longboat`` command, local clusters, and agents over SSH."""

"""What can be wrong with a host, as one line for the person who typed its name."""

from __future__ import annotations


class NodeError(Exception):
    """A host cannot be added or removed; the message says what to mend."""


class TargetError(NodeError):
    """What was typed names no host."""

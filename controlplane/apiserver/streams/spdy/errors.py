"""What a peer can do wrong on a SPDY connection."""


class ProtocolError(Exception):
    """The peer sent what is no SPDY/3.1, or more than is taken; the connection ends."""

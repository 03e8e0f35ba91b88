"""The kinds that the server serves: ``table.KINDS`` lists them, each file beside it holds what is special to one.

Everything here is pure: trees in, trees or causes out; no I/O, no clock, nothing shared between calls.
"""

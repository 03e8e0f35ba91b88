"""The controllers, run by the leader only. They read caches and write through the Client, nothing else.

A controller is one file in three parts: ``watches`` (events to keys), ``decide`` (pure: a view and the time to a
plan), ``sync`` (reads caches, decides, applies). Queue, retries, metrics and the loop are in ``runner``.
"""

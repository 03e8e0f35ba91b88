"""Measurements, never run by the tests: each prints its figures and says at its top how it is run.

``store`` the store alone; ``scheduler`` decisions alone; ``api`` load on a running server; ``hollow`` agents without
hosts, for load from below; ``side_by_side`` Longboat and Docker Swarm on the same hosts in the same run.
"""

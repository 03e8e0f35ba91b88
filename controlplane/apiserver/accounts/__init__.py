"""Tokens of service accounts: signed, bound, short-lived, and verified against what the cluster holds now."""

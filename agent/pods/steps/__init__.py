"""Carrying out the steps of a plan: one concern per module, each step idempotent and bounded in time."""

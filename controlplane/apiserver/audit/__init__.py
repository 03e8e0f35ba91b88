"""The audit log: who asked for what, when, and what came of it, as far as a policy file says."""

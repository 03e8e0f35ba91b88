"""The pods of this node: what to do (decide), doing it (worker, steps), and saying how it stands (status)."""

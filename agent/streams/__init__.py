"""What the agent serves over its tunnel beside logs: commands, containers' own processes, connections, metrics."""

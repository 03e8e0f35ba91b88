"""What the agent serves over its tunnel beside logs: commands in containers, their own processes, connections."""

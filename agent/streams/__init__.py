"""What the agent serves over its tunnel beside logs: commands in containers and their own processes."""

"""What the control plane, the agent and the command line have in common; it imports none of them."""

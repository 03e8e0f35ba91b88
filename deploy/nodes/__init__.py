"""Agents on VMs over SSH: look (facts), decide (plan), do (operations). ``operations`` has the two commands."""

"""What `longboat up` applies to show that the cluster works."""

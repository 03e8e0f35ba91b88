"""The resource metrics API (metrics.k8s.io), from what agents tell of their pods; nothing of it is stored."""

"""Annotations of pods that a node makes itself, and of their mirrors in the API (pkg/kubelet/types/pod_update.go)."""

MIRROR = "kubernetes.io/config.mirror"
"""Of a mirror pod: the uid of the static pod that it shows."""
HASH = "kubernetes.io/config.hash"
SOURCE = "kubernetes.io/config.source"
SEEN = "kubernetes.io/config.seen"

"""The agent of one host: what a kubelet is to Kubernetes, on the host's own Docker daemon."""

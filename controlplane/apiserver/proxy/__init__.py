"""The ``proxy`` subresources: HTTP requests sent on to pods, services' pods and nodes."""

"""The refusals of what nothing serves, in Kubernetes' words where it has them: paths, methods, subresources. Pure."""

from __future__ import annotations

from shared.api.errors import MethodNotAllowed, NotFound


def nothing() -> NotFound:
    """404 for a path or a resource that is not served."""
    return NotFound("the server could not find the requested resource")


def not_allowed() -> MethodNotAllowed:
    """405 for a method that a path or resource has not."""
    return MethodNotAllowed("the server does not allow this method on the requested resource")

"""The refusals of what nothing serves, in Kubernetes' words where it has them: paths, methods, subresources. Pure."""

from __future__ import annotations

from shared.api.errors import MethodNotAllowed, NotFound

_NOT_YET = frozenset({("pods", sub) for sub in ("eviction", "resize")} | {("serviceaccounts", "token")})
"""Subresources that Kubernetes has and we do not serve."""


def nothing() -> NotFound:
    """404 for a path or a resource that is not served."""
    return NotFound("the server could not find the requested resource")


def no_subresource(resource: str, subresource: str) -> NotFound:
    """404 for a subresource, which says so where people would look for their own mistake."""
    if (resource, subresource) in _NOT_YET:
        return NotFound(f"{resource}/{subresource} is not served by this version of Longboat")
    return nothing()


def not_allowed() -> MethodNotAllowed:
    """405 for a method that a path or resource has not."""
    return MethodNotAllowed("the server does not allow this method on the requested resource")

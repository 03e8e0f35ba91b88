"""Who asks, and for what: the values that authentication, authorization, admission and audit pass on."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class User:
    """An authenticated user, as ``k8s.io/apiserver/pkg/authentication/user.Info``."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """What else is known of the user: keys in lower case, each with its values."""

    @property
    def extras(self) -> dict[str, list[str]]:
        """``extra`` as the API has it."""
        return {key: list(values) for key, values in self.extra}


ANONYMOUS = User("system:anonymous", ("system:unauthenticated",))
CONTROL_PLANE = User("system:longboat:control-plane", ("system:masters",))
"""The control plane's own controllers and scheduler, which call the verbs without HTTP."""


@dataclass(frozen=True, slots=True)
class Attributes:
    """What is asked for, as ``k8s.io/apiserver/pkg/authorization/authorizer.Attributes``.

    ``verb`` is the API's (get, list, watch, create, update, patch, delete, deletecollection) for a resource, the
    lower-case HTTP method for a non-resource ``path``.
    """

    verb: str
    path: str
    group: str = ""
    version: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    field_selector: str = ""
    label_selector: str = ""

    @property
    def is_resource(self) -> bool:
        return bool(self.resource)

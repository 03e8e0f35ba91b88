"""Kinds that are only asked: a create is answered, and nothing is stored (``apiserver.virtual``).

Rows for discovery and the schemas; their columns are those of any object.
"""

from __future__ import annotations

from controlplane.apiserver.kinds.base import Kind
from controlplane.apiserver.kinds.cells import age_column, name_column
from shared.api.kinds import Resource
from shared.api.meta import Object

_AUTHORIZATION, _AUTHENTICATION = "authorization.k8s.io", "authentication.k8s.io"


def _row(group: str, plural: str, kind: str, *, namespaced: bool = False) -> Kind:
    return Kind(
        resource=Resource(group, "v1", plural, kind, namespaced, Object),
        singular=kind.lower(),
        columns=(name_column(), age_column()),
        verbs=("create",),
    )


REVIEWS: tuple[Kind, ...] = (
    _row(_AUTHORIZATION, "selfsubjectaccessreviews", "SelfSubjectAccessReview"),
    _row(_AUTHORIZATION, "selfsubjectrulesreviews", "SelfSubjectRulesReview"),
    _row(_AUTHORIZATION, "subjectaccessreviews", "SubjectAccessReview"),
    _row(_AUTHORIZATION, "localsubjectaccessreviews", "LocalSubjectAccessReview", namespaced=True),
    _row(_AUTHENTICATION, "selfsubjectreviews", "SelfSubjectReview"),
    _row(_AUTHENTICATION, "tokenreviews", "TokenReview"),
)

"""ServiceAccount: a name that pods run under.

Pure.
"""

from __future__ import annotations

from controlplane.apiserver.kinds.base import Column, Kind, Subresource
from controlplane.apiserver.kinds.cells import age_column, name_column
from shared.api import kinds

SERVICE_ACCOUNT = Kind(
    resource=kinds.SERVICE_ACCOUNTS,
    singular="serviceaccount",
    short_names=("sa",),
    columns=(
        name_column(),
        Column("Secrets", "string", "Number of secrets.", lambda obj: len(obj.get("secrets") or ())),
        age_column(),
    ),
    subresources=(Subresource("token", ("create",), kind="TokenRequest", group="authentication.k8s.io", version="v1"),),
)

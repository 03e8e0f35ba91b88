"""Admission of certificate signing requests: who asks is written by the server.

Pure. After the create strategy in pkg/registry/certificates/certificates.
"""

from __future__ import annotations

from controlplane.apiserver.admission.context import Context
from shared.api.meta import JSON

_REQUESTER = ("username", "uid", "groups", "extra")


def requester(context: Context, csr: JSON) -> None:
    """Name, groups and uid of the user; whatever the body says is dropped."""
    spec = csr["spec"]
    for field in _REQUESTER:
        spec.pop(field, None)
    spec["username"] = context.user.name
    if context.user.uid:
        spec["uid"] = context.user.uid
    if context.user.groups:
        spec["groups"] = list(context.user.groups)


def keep_requester(context: Context, csr: JSON, old: JSON) -> None:
    """The request and who made it never change."""
    csr["spec"] = old["spec"]

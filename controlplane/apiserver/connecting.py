"""Admission of a request that connects to a subresource, and what is kept of it for its answer and the audit log.

Owns nothing: what it keeps hangs on the request. Warnings are told with any answer but an upgrade, whose head
kube-apiserver writes by itself (it hijacks the connection), so that none is in it there either.
"""

from __future__ import annotations

from aiohttp import web

from controlplane.apiserver.api import ApiServer
from controlplane.apiserver.audit.auditor import ANNOTATIONS
from controlplane.apiserver.guard import CALL
from controlplane.apiserver.verbs import connect
from controlplane.apiserver.warnings import WARNINGS
from shared.api.meta import JSON


async def admitted(api: ApiServer, request: web.Request, query: connect.Query, path: str = "") -> JSON:
    """See ``connect.admitted``, which is awaited for the call that is served."""
    call = CALL.get()
    warnings: list[str] = []
    annotations: dict[str, str] = {}
    request[WARNINGS], request[ANNOTATIONS] = warnings, annotations
    return await connect.admitted(api, call.user, call.target, query, path, warnings, annotations)

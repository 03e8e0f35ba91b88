"""Admission of the pods that an agent creates: mirrors of its static pods, and nothing else.

Pure. Rules and words are those of plugin/pkg/admission/noderestriction (admitPodCreate).
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from controlplane.apiserver.identity import User
from controlplane.apiserver.node_authz import node_name, references
from shared.api.errors import Forbidden
from shared.api.meta import JSON
from shared.api.pod import Pod
from shared.api.static_pods import MIRROR


def restrict_mirror_pod(user: User, obj: JSON) -> None:
    """Of a pod that is created; does nothing for anybody but an agent. Raises Forbidden."""
    node = node_name(user)
    if node is None:
        return
    meta: JSON = obj.get("metadata") or {}
    for problem in _problems(node, meta, obj):
        raise Forbidden(f'pods "{meta.get("name") or ""}" is forbidden: {problem}', kind="pods",
                        name=meta.get("name") or "")  # fmt: skip


def _problems(node: str, meta: JSON, obj: JSON) -> Iterator[str]:
    if MIRROR not in (meta.get("annotations") or {}):
        yield f'pod does not have "{MIRROR}" annotation, node "{node}" can only create mirror pods'
    pod = msgspec.convert(obj, Pod, strict=False)
    if pod.spec.node_name != node:
        yield f'node "{node}" can only create pods with spec.nodeName set to itself'
    owners = meta.get("ownerReferences") or []
    if len(owners) != 1 or (owners[0].get("apiVersion"), owners[0].get("kind")) != ("v1", "Node"):
        yield f'node "{node}" can only create pods with a single owner reference set to itself'
    elif owners[0].get("name") != node:
        yield f'node "{node}" can only create pods with an owner reference set to itself'
    elif not owners[0].get("controller"):
        yield f'node "{node}" can only create pods with a controller owner reference set to itself'
    elif owners[0].get("blockOwnerDeletion"):
        yield f'node "{node}" must not set blockOwnerDeletion on an owner reference'
    if pod.spec.service_account_name:
        yield f'node "{node}" can not create pods that reference a service account'
    for resource, _ in references(pod):
        yield f'node "{node}" can not create pods that reference {resource}'

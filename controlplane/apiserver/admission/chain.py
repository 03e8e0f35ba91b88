"""The ordered lists of admission steps, after the default plugins of kube-apiserver.

Pure, see the package.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from controlplane.apiserver.admission import certificates, nodes, pods, services, storage, workloads
from controlplane.apiserver.admission.context import Context
from controlplane.apiserver.identity import User
from controlplane.apiserver.kinds.base import Kind
from shared.api.meta import JSON

Create = Callable[[Context, JSON], None]
Update = Callable[[Context, JSON, JSON], None]

ON_CREATE: Mapping[tuple[str, str], Sequence[Create]] = {
    ("", "pods"): (pods.service_account, pods.priority, pods.default_toleration_seconds),
    ("", "nodes"): (nodes.taint_until_ready,),
    ("certificates.k8s.io", "certificatesigningrequests"): (certificates.requester,),
    ("apps", "daemonsets"): (workloads.start_template_generation,),
    ("batch", "jobs"): (workloads.generate_selector,),
    ("", "persistentvolumeclaims"): (storage.protect_claim,),
    ("", "persistentvolumes"): (storage.protect_volume,),
}
"""By (group, plural), in the order in which they run."""

ON_UPDATE: Mapping[tuple[str, str], Sequence[Update]] = {
    ("", "pods"): (pods.keep_admitted,),
    ("", "services"): (services.keep_allocated,),
    ("certificates.k8s.io", "certificatesigningrequests"): (certificates.keep_requester,),
    ("apps", "daemonsets"): (workloads.count_template_generation,),
}


def admit_create(context: Context | User, kind: Kind, obj: JSON) -> None:
    """Run every step for a new object, in place. Raises Forbidden."""
    for step in ON_CREATE.get((kind.resource.group, kind.resource.plural), ()):
        step(_context(context), obj)


def admit_update(context: Context | User, kind: Kind, obj: JSON, old: JSON) -> None:
    """Run every step for a changed object, in place; ``old`` is only read. Raises Forbidden."""
    for step in ON_UPDATE.get((kind.resource.group, kind.resource.plural), ()):
        step(_context(context), obj, old)


def _context(context: Context | User) -> Context:
    return context if isinstance(context, Context) else Context(context)

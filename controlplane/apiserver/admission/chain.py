"""The ordered lists of admission steps, after the default plugins of kube-apiserver.

Pure, see the package.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from controlplane.apiserver.admission import (
    certificates,
    limit_ranger,
    nodes,
    pod_fields,
    pod_resize,
    pods,
    priority,
    runtime_class,
    services,
    storage,
    workloads,
)
from controlplane.apiserver.admission.context import Context
from controlplane.apiserver.admission.pod_security import admission as pod_security
from controlplane.apiserver.identity import User
from controlplane.apiserver.kinds.base import Kind
from shared.api.meta import JSON

Create = Callable[[Context, JSON], None]
Update = Callable[[Context, JSON, JSON], None]
Check = Callable[[Context, JSON, JSON | None], None]

ON_CREATE: Mapping[tuple[str, str], Sequence[Create]] = {
    ("", "pods"): (
        limit_ranger.give_defaults,
        pods.service_account,
        priority.resolve,
        pods.default_toleration_seconds,
        runtime_class.apply,
    ),
    ("", "nodes"): (nodes.taint_until_ready,),
    ("certificates.k8s.io", "certificatesigningrequests"): (certificates.requester,),
    ("apps", "daemonsets"): (workloads.start_template_generation,),
    ("batch", "jobs"): (workloads.generate_selector,),
    ("", "persistentvolumeclaims"): (storage.default_class, storage.protect_claim),
    ("", "persistentvolumes"): (storage.protect_volume,),
    ("networking.k8s.io", "ingresses"): (storage.default_ingress_class,),
}
"""By (group, plural), in the order in which they run."""

ON_UPDATE: Mapping[tuple[str, str], Sequence[Update]] = {
    ("", "pods"): (pods.keep_admitted,),
    ("", "services"): (services.keep_allocated, services.drop_dependent),
    ("certificates.k8s.io", "certificatesigningrequests"): (certificates.keep_requester,),
    ("apps", "daemonsets"): (workloads.count_template_generation,),
}

_WITH_TEMPLATE = (
    ("", "podtemplates"), ("", "replicationcontrollers"), ("apps", "daemonsets"), ("apps", "deployments"),
    ("apps", "replicasets"), ("apps", "statefulsets"), ("batch", "cronjobs"), ("batch", "jobs"),
)  # fmt: skip

CHECKS: Mapping[tuple[str, str], Sequence[Check]] = {
    ("", "pods"): (pod_fields.check_pod, limit_ranger.check_pod, pod_security.check_pod, runtime_class.check),
    ("", "namespaces"): (pod_security.check_namespace,),
    **dict.fromkeys(_WITH_TEMPLATE, (pod_fields.check_workload, pod_security.check_workload)),
    ("", "persistentvolumeclaims"): (limit_ranger.check_claim, storage.check_growth),
    ("scheduling.k8s.io", "priorityclasses"): (priority.one_default,),
}
"""What only looks, once the object is valid."""


def admit_create(context: Context | User, kind: Kind, obj: JSON) -> None:
    """Run every step for a new object, in place. Raises Forbidden."""
    for step in ON_CREATE.get((kind.resource.group, kind.resource.plural), ()):
        step(_context(context), obj)


def admit_update(context: Context | User, kind: Kind, obj: JSON, old: JSON) -> None:
    """Run every step for a changed object, in place; ``old`` is only read. Raises Forbidden."""
    for step in ON_UPDATE.get((kind.resource.group, kind.resource.plural), ()):
        step(_context(context), obj, old)


def check(context: Context, kind: Kind, obj: JSON, old: JSON | None) -> None:
    """Run every check of a new object, or of one that changes from ``old``; none is changed. Raises Forbidden,
    Invalid."""
    for step in CHECKS.get((kind.resource.group, kind.resource.plural), ()):
        step(context, obj, old)


def check_resize(context: Context, pod: JSON, old: JSON) -> None:
    """Run every check of a change of a pod's resources. Raises Forbidden."""
    limit_ranger.check_resources(context, pod)
    pod_resize.check(context, pod, old)


def _context(context: Context | User) -> Context:
    return context if isinstance(context, Context) else Context(context)

"""Admission of pods: ServiceAccount and DefaultTolerationSeconds.

Pure. After plugin/pkg/admission/{serviceaccount,defaulttolerationseconds}. A token of the account is not mounted by
itself yet: a pod that wants one has a projected volume.
"""

from __future__ import annotations

from controlplane.apiserver.admission.context import Context
from shared.api.meta import JSON

DEFAULT_SERVICE_ACCOUNT = "default"
EVICTING = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
"""The taints that the node lifecycle controller evicts by."""


def service_account(context: Context, pod: JSON) -> None:
    """A pod that names no service account runs as ``default``; the deprecated alias says the same."""
    spec = pod["spec"]
    name = spec.get("serviceAccountName") or spec.get("serviceAccount") or DEFAULT_SERVICE_ACCOUNT
    spec["serviceAccountName"] = spec["serviceAccount"] = name


def default_toleration_seconds(context: Context, pod: JSON) -> None:
    """How long the pod tolerates a lost node, where it does not say so itself."""
    tolerations = list(pod["spec"].get("tolerations") or ())
    missing = [key for key in EVICTING if not any(_tolerates(toleration, key) for toleration in tolerations)]
    if missing:
        seconds = context.toleration_seconds
        pod["spec"]["tolerations"] = tolerations + [
            {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds} for key in missing
        ]


def keep_admitted(context: Context, pod: JSON, old: JSON) -> None:
    """A replacement that leaves out what admission filled in means no change of it."""
    spec, before = pod["spec"], old.get("spec") or {}
    for field in (
        "serviceAccountName",
        "serviceAccount",
        "priority",
        "priorityClassName",
        "preemptionPolicy",
        "overhead",
    ):
        if spec.get(field) is None and before.get(field) is not None:
            spec[field] = before[field]
    kept = list(spec.get("tolerations") or ())
    for toleration in before.get("tolerations") or ():
        key = toleration.get("key")
        if key in EVICTING and not any(_tolerates(have, key) for have in kept):
            kept.append(toleration)
    if kept:
        spec["tolerations"] = kept


def _tolerates(toleration: JSON, key: str) -> bool:
    return (toleration.get("key") or key) == key and (toleration.get("effect") or "NoExecute") == "NoExecute"

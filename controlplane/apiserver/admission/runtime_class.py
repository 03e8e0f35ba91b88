"""Admission by RuntimeClasses: the overhead, the nodes and the tolerations that come with a pod's runtime.

Pure. After plugin/pkg/admission/runtimeclass.
"""

from __future__ import annotations

from controlplane.apiserver.admission.context import Context, named
from controlplane.apiserver.admission.refusals import forbidden
from shared.api.kinds import PODS, RUNTIME_CLASSES
from shared.api.meta import JSON
from shared.quota import amounts


def apply(context: Context, pod: JSON) -> None:
    """What the class says goes into the pod. Raises Forbidden where the pod says something else."""
    spec = pod["spec"]
    found = _class(context, pod)
    if found is None:
        return
    fixed = (found.get("overhead") or {}).get("podFixed")
    if fixed:
        if spec.get("overhead") and not amounts.same(spec["overhead"], fixed):
            why = "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead"
            raise forbidden(PODS, pod, why)
        spec["overhead"] = dict(fixed)
    scheduling: JSON = found.get("scheduling") or {}
    selector = spec.get("nodeSelector") or {}
    for key, value in sorted((scheduling.get("nodeSelector") or {}).items()):
        if selector.get(key, value) != value:
            why = (
                f"conflict: runtimeClass.scheduling.nodeSelector[{key}] = {value}; pod.spec.nodeSelector[{key}] = "
                f"{selector[key]}"
            )
            raise forbidden(PODS, pod, why)
        spec["nodeSelector"] = selector = {**selector, key: value}
    tolerations = list(spec.get("tolerations") or ())
    tolerations += [dict(each) for each in scheduling.get("tolerations") or () if each not in tolerations]
    if tolerations:
        spec["tolerations"] = tolerations


def check(context: Context, pod: JSON, old: JSON | None) -> None:
    """That the overhead is the class's. Raises Forbidden."""
    if old is not None:
        return
    found = _class(context, pod)
    fixed = ((found or {}).get("overhead") or {}).get("podFixed") or {}
    overhead = pod["spec"].get("overhead") or {}
    if overhead and not fixed:
        why = "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead"
        raise forbidden(PODS, pod, why)
    if not amounts.same(overhead, fixed):
        raise forbidden(PODS, pod, "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead")


def _class(context: Context, pod: JSON) -> JSON | None:
    name = pod["spec"].get("runtimeClassName")
    if not name:
        return None
    found = named(context.objects.list(RUNTIME_CLASSES), name)
    if found is None:
        raise forbidden(PODS, pod, f'pod rejected: RuntimeClass "{name}" not found')
    return found

"""PodSecurity as an admission step: refuses pods, warns of them and of templates, and checks namespaces' labels.

Pure but for what it is told to warn of and to annotate. After k8s.io/pod-security-admission/admission.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from controlplane.apiserver.admission.context import Context
from controlplane.apiserver.admission.pod_security.evaluate import evaluate
from controlplane.apiserver.admission.pod_security.policy import PREFIX, Policy, Standard, parse
from controlplane.apiserver.admission.refusals import forbidden
from controlplane.apiserver.admission.templates import pod_template
from controlplane.apiserver.kinds.causes import refusal
from shared.api.kinds import PODS
from shared.api.meta import JSON

MOST_PODS = 1000
"""How many of a namespace's pods are held against a stricter label, to warn whoever sets it."""


def check_pod(context: Context, pod: JSON, old: JSON | None) -> None:
    """Raises Forbidden where the namespace enforces what the pod does not meet."""
    policy, wrong = parse(context.objects.labels(pod["metadata"].get("namespace") or ""))
    if wrong:
        context.annotate(f"{PREFIX}error", f"Failed to parse policy: {wrong[0].field}: {wrong[0].message}")
    elif policy.idle or (old is not None and not _matters(pod, old)):
        return
    meta, spec = pod["metadata"], pod.get("spec") or {}
    context.annotate(f"{PREFIX}enforce-policy", str(policy.enforce))
    violations = _said(policy.enforce, meta, spec)
    _audit(context, policy, meta, spec)
    if violations:
        raise forbidden(PODS, pod, f'violates PodSecurity "{policy.enforce}": {violations}')
    _warn(context, policy, meta, spec)


def check_workload(context: Context, obj: JSON, old: JSON | None) -> None:
    """Nothing is refused: pods are, when they are made. Of its template it is warned now."""
    policy, _ = parse(context.objects.labels(obj["metadata"].get("namespace") or ""))
    _, template = pod_template(obj)
    if policy.idle or not template.get("spec"):
        return
    meta, spec = template.get("metadata") or {}, template["spec"]
    _audit(context, policy, meta, spec)
    _warn(context, policy, meta, spec)


def check_namespace(context: Context, namespace: JSON, old: JSON | None) -> None:
    """That the labels can be understood, raising Invalid; and which pods do not meet what is enforced from now on."""
    policy, wrong = parse(_labels(namespace))
    before, wrong_before = parse(_labels(old)) if old is not None else (Policy(), [])
    if wrong and wrong != wrong_before:
        raise refusal("", "Namespace", namespace["metadata"]["name"], wrong)
    new, was = policy.enforce, before.enforce
    if old is None or new == was or not new.level or (new.minor == was.minor and new.level <= was.level):
        return
    for text in _existing(context, namespace["metadata"]["name"], new):
        context.warn(text)


def _labels(obj: JSON) -> Mapping[str, str]:
    return obj["metadata"].get("labels") or {}


def _said(standard: Standard, meta: JSON, spec: JSON) -> str:
    return ", ".join(map(str, evaluate(standard, meta, spec)))


def _audit(context: Context, policy: Policy, meta: JSON, spec: JSON) -> None:
    if violations := _said(policy.audit, meta, spec):
        context.annotate(f"{PREFIX}audit-violations", f'would violate PodSecurity "{policy.audit}": {violations}')


def _warn(context: Context, policy: Policy, meta: JSON, spec: JSON) -> None:
    if violations := _said(policy.warn, meta, spec):
        context.warn(f'would violate PodSecurity "{policy.warn}": {violations}')


def _matters(pod: JSON, old: JSON) -> bool:
    """Whether a change of a pod can make it meet less than before: images and seccomp annotations."""
    before, now = old["metadata"].get("annotations") or {}, pod["metadata"].get("annotations") or {}
    if {key: now[key] for key in now if "seccomp." in key} != {key: before[key] for key in before if "seccomp." in key}:
        return True
    for field in ("containers", "initContainers", "ephemeralContainers"):
        images = [(each.get("name"), each.get("image")) for each in pod["spec"].get(field) or ()]
        if images != [(each.get("name"), each.get("image")) for each in old["spec"].get(field) or ()]:
            return True
    return False


def _existing(context: Context, namespace: str, standard: Standard) -> Iterator[str]:
    """Warnings of the pods that are there, those that have the same faults told of together."""
    count = context.objects.count(PODS, namespace)
    faults: dict[str, list[str]] = {}
    for pod in context.objects.some(PODS, namespace, MOST_PODS):
        found = evaluate(standard, pod["metadata"], pod.get("spec") or {})
        if found:
            reasons = ", ".join(violation.reason for violation in found)
            faults.setdefault(reasons, []).append(pod["metadata"]["name"])
    if count > MOST_PODS:
        yield (
            f"new PodSecurity enforce level only checked against the first {MOST_PODS} of {count} existing pods"
        )  # fmt: skip
    if faults:
        yield f'existing pods in namespace "{namespace}" violate the new PodSecurity enforce level "{standard}"'
    yield from sorted(f"{_first(names)}: {reasons}" for reasons, names in faults.items())


def _first(names: list[str]) -> str:
    others = len(names) - 1
    if not others:
        return names[0]
    return f"{min(names)} (and {others} other {'pod' if others == 1 else 'pods'})"

"""Pod templates of workloads: defaults and validation, shared by every kind that has one.

Pure. Paths begin with ``spec.template`` where none is given. Rules and texts are those of ValidatePodTemplateSpec in
pkg/apis/core/validation and ValidatePodTemplateSpecForReplicaSet in pkg/apis/apps/validation.
"""

from __future__ import annotations

from controlplane.apiserver.kinds.causes import forbidden, immutable, invalid, not_supported, required
from controlplane.apiserver.kinds.metadata import validate_annotations, validate_labels
from controlplane.apiserver.kinds.podspec.defaults import default_pod_spec
from controlplane.apiserver.kinds.podspec.scheduling import validate_label_selector
from controlplane.apiserver.kinds.podspec.validate import validate_pod_spec
from shared.api.errors import BadRequest, Cause
from shared.api.meta import JSON
from shared.api.selectors import from_label_selector

PATH = "spec.template"


def default_template(workload: JSON) -> None:
    """Defaults of ``spec.template``, in place."""
    default_template_spec(workload.setdefault("spec", {}).setdefault("template", {}))


def default_template_spec(template: JSON) -> None:
    """Defaults of a PodTemplateSpec, in place."""
    if template.get("metadata") is None:
        template["metadata"] = {}
    if template.get("spec") is None:
        template["spec"] = {}
    default_pod_spec(template["spec"])


def validate_selector_and_template(spec: JSON, old: JSON | None) -> list[Cause]:
    """The selector, that it matches the template's labels and never changes, and the template of an apps/v1 kind."""
    selector: JSON | None = spec.get("selector")
    found: list[Cause] = []
    if selector is None:
        found.append(required("spec.selector"))
    else:
        found += validate_label_selector(selector, "spec.selector")
        if not selector.get("matchLabels") and not selector.get("matchExpressions"):
            found.append(invalid("spec.selector", selector, "empty selector is invalid for deployment"))
    found += _template(spec.get("template") or {}, selector)
    if old is not None:
        found += immutable("spec.selector", selector, old.get("selector"))
    return found


def _template(template: JSON, selector: JSON | None) -> list[Cause]:
    labels = (template.get("metadata") or {}).get("labels") or {}
    found: list[Cause] = []
    try:
        selects = from_label_selector(selector)
    except BadRequest:
        return [invalid("spec.selector", selector, "invalid label selector")]
    if not selects.empty and not selects.matches(labels):
        detail = "`selector` does not match template `labels`"
        found.append(invalid(f"{PATH}.metadata.labels", labels, detail))
    return found + validate_template(template, PATH) + runs_always(template, "ReplicaSet")


def validate_template(template: JSON, path: str) -> list[Cause]:
    """A PodTemplateSpec by itself: labels, annotations and the pod's spec, under ``path``."""
    meta: JSON = template.get("metadata") or {}
    spec: JSON = template.get("spec") or {}
    found = validate_labels(meta.get("labels"), f"{path}.labels")
    found += validate_annotations(meta.get("annotations"), f"{path}.annotations")
    found += validate_pod_spec(spec, f"{path}.spec")
    if spec.get("ephemeralContainers"):
        found.append(forbidden(f"{path}.spec.ephemeralContainers", "ephemeral containers not allowed in pod template"))
    return found


def runs_always(template: JSON, kind: str) -> list[Cause]:
    """The template of a kind whose pods never end. A policy that no pod may have is the pod spec's own fault."""
    spec: JSON = template.get("spec") or {}
    found: list[Cause] = []
    if (policy := spec.get("restartPolicy")) in ("OnFailure", "Never"):
        found.append(not_supported(f"{PATH}.spec.restartPolicy", policy, ("Always",)))
    if spec.get("activeDeadlineSeconds") is not None:
        detail = f"activeDeadlineSeconds in {kind} is not Supported"
        found.append(forbidden(f"{PATH}.spec.activeDeadlineSeconds", detail))
    return found


def matches_template(selector: JSON | None, template: JSON) -> list[Cause]:
    """That a label selector selects the template's pods; None selects nothing. One that cannot be read is passed
    over, since ``validate_label_selector`` says what is wrong with it."""
    labels = (template.get("metadata") or {}).get("labels") or {}
    try:
        if from_label_selector(selector).matches(labels):
            return []
    except BadRequest:
        return []
    return [invalid(f"{PATH}.metadata.labels", labels, "`selector` does not match template `labels`")]

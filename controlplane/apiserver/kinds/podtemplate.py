"""Pod templates of workloads: defaults, validation and warnings, shared by every kind that has one.

Pure. Paths begin with ``spec.template``. Rules and texts are those of ValidatePodTemplateSpecForReplicaSet in
pkg/apis/apps/validation.
"""

from __future__ import annotations

from collections.abc import Iterable

from controlplane.apiserver.kinds import pod_support
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
    template = workload.setdefault("spec", {}).setdefault("template", {})
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
    meta: JSON = template.get("metadata") or {}
    spec: JSON = template.get("spec") or {}
    labels = meta.get("labels") or {}
    found: list[Cause] = []
    try:
        selects = from_label_selector(selector)
    except BadRequest:
        return [invalid("spec.selector", selector, "invalid label selector")]
    if not selects.empty and not selects.matches(labels):
        detail = "`selector` does not match template `labels`"
        found.append(invalid(f"{PATH}.metadata.labels", labels, detail))
    found += validate_labels(labels, f"{PATH}.labels")
    found += validate_annotations(meta.get("annotations"), f"{PATH}.annotations")
    found += validate_pod_spec(spec, f"{PATH}.spec")
    if (policy := spec.get("restartPolicy")) in ("OnFailure", "Never"):
        found.append(not_supported(f"{PATH}.spec.restartPolicy", policy, ("Always",)))
    if spec.get("activeDeadlineSeconds") is not None:
        detail = "activeDeadlineSeconds in ReplicaSet is not Supported"
        found.append(forbidden(f"{PATH}.spec.activeDeadlineSeconds", detail))
    if spec.get("ephemeralContainers"):
        found.append(forbidden(f"{PATH}.spec.ephemeralContainers", "ephemeral containers not allowed in pod template"))
    return found


def template_warnings(workload: JSON) -> Iterable[str]:
    """What agents will not do for pods of this template."""
    template: JSON = (workload.get("spec") or {}).get("template") or {}
    return pod_support.unsupported(template.get("spec") or {}, f"{PATH}.spec")

"""What the table of pod fields says of a new pod or template: warnings by name, or a refusal.

Pure but for what it is told to warn of. What an object had before it is changed is refused no more, so that objects
of another time can be changed and deleted. Templates are warned of when they change, as in pkg/registry/apps
(GetWarningsForPodTemplate).
"""

from __future__ import annotations

from controlplane.apiserver.admission.context import Context
from controlplane.apiserver.admission.templates import pod_template
from controlplane.apiserver.kinds.causes import forbidden, refusal
from shared.api.meta import JSON
from shared.api.pod_fields.base import Verdict
from shared.api.pod_fields.table import Finding, findings


def check_pod(context: Context, pod: JSON, old: JSON | None) -> None:
    """Raises Invalid."""
    before = findings(old.get("spec") or {}, "spec") if old is not None else []
    _tell(context, pod, findings(pod.get("spec") or {}, "spec"), before)


def check_workload(context: Context, obj: JSON, old: JSON | None) -> None:
    """Raises Invalid."""
    path, template = pod_template(obj)
    before = pod_template(old)[1] if old is not None else {}
    if template.get("spec") and template.get("spec") != before.get("spec"):
        at = f"{path}.spec"
        _tell(context, obj, findings(template["spec"], at), findings(before.get("spec") or {}, at))


def _tell(context: Context, obj: JSON, found: list[Finding], before: list[Finding]) -> None:
    known = {finding.path for finding in before}
    wrong = [
        forbidden(finding.path, f"not supported by Longboat: {finding.field.note}")
        for finding in found
        if finding.field.verdict is Verdict.REFUSED and finding.path not in known
    ]
    if wrong:
        group = obj["apiVersion"].rpartition("/")[0]
        meta = obj["metadata"]
        raise refusal(group, obj["kind"], meta.get("name") or meta.get("generateName") or "", wrong)
    for finding in found:
        context.warn(f"{finding.path}: not acted on by Longboat: {finding.field.note}")

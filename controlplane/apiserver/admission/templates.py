"""Where the kinds that make pods have their template. Pure."""

from __future__ import annotations

from shared.api.meta import JSON


def pod_template(obj: JSON) -> tuple[str, JSON]:
    """Where a workload has its pod template, a CronJob in its job's template, and what it is."""
    spec: JSON = obj.get("spec") or {}
    if "template" in obj:
        return "template", obj["template"] or {}
    if "jobTemplate" in spec:
        job: JSON = (spec["jobTemplate"] or {}).get("spec") or {}
        return "spec.jobTemplate.spec.template", job.get("template") or {}
    return "spec.template", spec.get("template") or {}

"""Admission of workloads: what their create and update strategies write themselves.

Pure. After the strategies in pkg/registry/apps/daemonset and pkg/registry/batch/job.
"""

from __future__ import annotations

import re

from controlplane.apiserver.admission.context import Context
from controlplane.apiserver.kinds.job import CONTROLLER_UID, generated_labels
from shared.api.errors import BadRequest
from shared.api.meta import JSON

TEMPLATE_GENERATION = "deprecated.daemonset.template.generation"
"""How often a DaemonSet's template has changed; apps/v1 shows the number as an annotation."""

_NUMBER = re.compile("[+-]?[0-9]+")


def start_template_generation(context: Context, daemon_set: JSON) -> None:
    """A new DaemonSet's count is what it came with, 1 at least. Raises BadRequest for what is no number."""
    given = _count(daemon_set)
    daemon_set["metadata"].setdefault("annotations", {})[TEMPLATE_GENERATION] = str(max(given, 1))


def count_template_generation(context: Context, daemon_set: JSON, old: JSON) -> None:
    """The count goes up with each change of the template, and not otherwise. Raises BadRequest as above."""
    _count(daemon_set)
    changed = (daemon_set.get("spec") or {}).get("template") != (old.get("spec") or {}).get("template")
    count = str(_count(old) + changed)
    daemon_set["metadata"].setdefault("annotations", {})[TEMPLATE_GENERATION] = count


def _count(daemon_set: JSON) -> int:
    text = (daemon_set["metadata"].get("annotations") or {}).get(TEMPLATE_GENERATION, "0")
    if not _NUMBER.fullmatch(text):
        raise BadRequest(f'strconv.ParseInt: parsing "{text}": invalid syntax')
    return int(text)


def generate_selector(context: Context, job: JSON) -> None:
    """A Job that has no selector of its own selects the pods that carry its uid (jobStrategy.generateSelector). What
    the template says already is left for validation to refuse."""
    spec, meta = job["spec"], job["metadata"]
    if spec.get("manualSelector"):
        return
    template = spec["template"]["metadata"]
    labels = template["labels"] = dict(template.get("labels") or {})
    for label, value in generated_labels(job).items():
        labels.setdefault(label, value)
    selector = spec["selector"] = dict(spec.get("selector") or {})
    if not meta.get("labels"):
        meta["labels"] = dict(labels)  # a Job without labels has those of its pods
    selector["matchLabels"] = {CONTROLLER_UID: meta["uid"], **(selector.get("matchLabels") or {})}

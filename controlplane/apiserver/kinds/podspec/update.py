"""What may change in the spec of a pod that exists: next to nothing.

Pure. Rules and texts are those of ValidatePodUpdate in pkg/apis/core/validation.
"""

from __future__ import annotations

from typing import Any

from controlplane.apiserver.kinds.causes import forbidden, invalid
from shared.api.errors import Cause
from shared.api.meta import JSON

_FIXED = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)


def validate_pod_update(spec: JSON, old: JSON) -> list[Cause]:
    """All causes; the spec by itself is taken to be valid."""
    for name, detail in (
        ("containers", "pod updates may not add or remove containers"),
        ("initContainers", "pod updates may not add or remove init containers"),
    ):
        if len(spec.get(name) or ()) != len(old.get(name) or ()):
            return [forbidden(f"spec.{name}", detail)]
    found = _deadline(spec.get("activeDeadlineSeconds"), old.get("activeDeadlineSeconds"))
    found += _gates(spec, old)
    found += _tolerations(spec.get("tolerations") or [], old.get("tolerations") or [])
    if not found:
        changed = sorted(name for name in {*spec, *old} if _comparable(spec, old, name) != old.get(name))
        if changed:
            found.append(forbidden("spec", f"{_FIXED}: changed {', '.join(changed)}"))
    return found


def _comparable(spec: JSON, old: JSON, name: str) -> Any:
    """The new value with what may change put back to what it was."""
    value = spec.get(name)
    if name in ("activeDeadlineSeconds", "tolerations", "schedulingGates"):
        return old.get(name)
    if name == "terminationGracePeriodSeconds" and (old.get(name) or 0) < 0 and value == 1:
        return old.get(name)
    if name in ("containers", "initContainers") and value:
        return [{**new, "image": was.get("image")} for new, was in zip(value, old.get(name) or (), strict=True)]
    return value


def _deadline(new: int | None, old: int | None) -> list[Cause]:
    path = "spec.activeDeadlineSeconds"
    if old is None or new == old:
        return []
    if new is None:
        return [invalid(path, None, "must not update from a positive integer to nil value")]
    if new > old:
        return [invalid(path, new, "must be less than or equal to previous value")]
    return []


def _gates(spec: JSON, old: JSON) -> list[Cause]:
    had = {gate.get("name") for gate in old.get("schedulingGates") or ()}
    return [
        forbidden(
            f"spec.schedulingGates[{index}].name",
            f"only deletion is allowed, but found new scheduling gate '{gate.get('name')}'",
        )
        for index, gate in enumerate(spec.get("schedulingGates") or ())
        if gate.get("name") not in had
    ]


def _tolerations(new: list[JSON], old: list[JSON]) -> list[Cause]:
    def identity(toleration: JSON) -> tuple[Any, ...]:
        return tuple(toleration.get(key) or "" for key in ("key", "operator", "value", "effect"))

    kept = {identity(toleration) for toleration in new}
    if all(identity(toleration) in kept for toleration in old):
        return []
    return [forbidden("spec.tolerations", "existing toleration can not be modified except its tolerationSeconds")]

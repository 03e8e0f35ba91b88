"""What is wrong with a container's environment: names, and where values come from.

Pure. Rules and texts are those of ValidateEnv in pkg/apis/core/validation.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from controlplane.apiserver.kinds.causes import all_invalid, invalid, not_supported, required
from shared.api import names
from shared.api.errors import Cause
from shared.api.meta import JSON

_FIELDS = (
    "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName",
    "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs",
)  # fmt: skip
_VOLUME_FIELDS = ("metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid")
_SUBSCRIPT = re.compile(r"metadata\.(labels|annotations)\['(.*)'\]", re.DOTALL)
_RESOURCES = (
    "limits.cpu", "limits.ephemeral-storage", "limits.memory", "requests.cpu", "requests.ephemeral-storage",
    "requests.memory",
)  # fmt: skip
_SOURCES = ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef")


def validate_environment(container: JSON, at: str) -> list[Cause]:
    """``env`` and ``envFrom`` of one container."""
    found: list[Cause] = []
    for index, variable in enumerate(container.get("env") or ()):
        here = f"{at}.env[{index}]"
        if not (name := variable.get("name") or ""):
            found.append(required(f"{here}.name"))
        else:
            found += all_invalid(f"{here}.name", name, names.environment_name(name))
        if variable.get("valueFrom") is not None:
            found += _value_from(variable, f"{here}.valueFrom")
    for index, source in enumerate(container.get("envFrom") or ()):
        found += _env_from(source, f"{at}.envFrom[{index}]")
    return found


def _value_from(variable: JSON, at: str) -> list[Cause]:
    source = variable["valueFrom"]
    found: list[Cause] = []
    given = [name for name in _SOURCES if source.get(name) is not None]
    for name in given:
        ref, here = source[name], f"{at}.{name}"
        if name == "fieldRef":
            found += validate_field_ref(ref, _FIELDS, here)
        elif name == "resourceFieldRef":
            found += validate_resource_ref(ref, here)
        elif name in ("configMapKeyRef", "secretKeyRef"):
            found += _key_ref(ref, here)
    if not given:
        found.append(
            invalid(at, "", "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`")
        )
    elif variable.get("value"):
        found.append(invalid(at, "", "may not be specified when `value` is not empty"))
    elif len(given) > 1:
        found.append(invalid(at, "", "may not have more than one field specified at a time"))
    return found


def _key_ref(ref: JSON, at: str) -> list[Cause]:
    found: list[Cause] = []
    if not ref.get("name"):
        found.append(required(f"{at}.name"))
    if not (key := ref.get("key") or ""):
        return [*found, required(f"{at}.key")]
    return found + all_invalid(f"{at}.key", key, names.config_map_key(key))


def _env_from(source: JSON, at: str) -> list[Cause]:
    found: list[Cause] = []
    if prefix := source.get("prefix"):
        found += all_invalid(f"{at}.prefix", prefix, names.environment_name(prefix))
    given = [name for name in ("configMapRef", "secretRef") if source.get(name) is not None]
    for name in given:
        if not source[name].get("name"):
            found.append(required(f"{at}.{name}.name"))
    if not given:
        found.append(invalid(at, "", "must specify one of: `configMapRef` or `secretRef`"))
    elif len(given) > 1:
        found.append(invalid(at, "", "may not have more than one field specified at a time"))
    return found


def validate_field_ref(ref: JSON, allowed: Collection[str], at: str) -> list[Cause]:
    """A reference to one of the pod's own fields."""
    if not ref.get("apiVersion"):
        return [required(f"{at}.apiVersion")]
    if not (path := ref.get("fieldPath") or ""):
        return [required(f"{at}.fieldPath")]
    if match := _SUBSCRIPT.fullmatch(path):
        key = match[2].lower() if match[1] == "annotations" else match[2]
        return all_invalid(f"{at}.fieldPath", match[2], names.qualified_name(key))
    if path not in _FIELDS and path not in _VOLUME_FIELDS:
        return [invalid(f"{at}.fieldPath", path, f"error converting fieldPath: field label not supported: {path}")]
    return [] if path in allowed else [not_supported(f"{at}.fieldPath", path, sorted(allowed))]


def validate_resource_ref(ref: JSON, at: str, *, container_required: bool = False) -> list[Cause]:
    """A reference to a container's own request or limit."""
    if container_required and not ref.get("containerName"):
        return [required(f"{at}.containerName")]
    if not (resource := ref.get("resource") or ""):
        return [required(f"{at}.resource")]
    if resource in _RESOURCES or re.fullmatch(r"(limits|requests)\.hugepages-.+", resource):
        return []
    return [not_supported(f"{at}.resource", resource, _RESOURCES)]


def validate_volume_item(item: JSON, at: str) -> list[Cause]:
    """The source of one file of a downward API volume."""
    if item.get("fieldRef") is not None:
        found = validate_field_ref(item["fieldRef"], _VOLUME_FIELDS, f"{at}.fieldRef")
        if item.get("resourceFieldRef") is not None:
            found.append(invalid(at, "resource", "fieldRef and resourceFieldRef can not be specified simultaneously"))
        return found
    if item.get("resourceFieldRef") is not None:
        return validate_resource_ref(item["resourceFieldRef"], f"{at}.resourceFieldRef", container_required=True)
    return [required(f"{at}.fieldRef", "one of fieldRef and resourceFieldRef is required")]

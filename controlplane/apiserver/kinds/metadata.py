"""What is wrong with an object's metadata, the same for every kind.

Pure. Rules and texts are those of k8s.io/apimachinery/pkg/api/validation/objectmeta.go.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from controlplane.apiserver.kinds import causes
from controlplane.apiserver.kinds.base import Kind
from shared.api import names
from shared.api.errors import Cause
from shared.api.kinds import CUSTOM_RESOURCE_DEFINITIONS
from shared.api.meta import JSON

MAX_ANNOTATION_BYTES = 256 * 1024
"""All keys and values of annotations together."""

NAME_RULES: Mapping[str, Callable[[str], tuple[str, ...]]] = {
    "dns-subdomain": names.dns_subdomain,
    "dns-label": names.dns_label,
    "dns-1035-label": names.dns_1035_label,
    "path-segment": names.path_segment,
    "ip-address": names.canonical_ip,
}

_STANDARD_FINALIZERS = frozenset(("kubernetes", "orphan", "foregroundDeletion"))
_BANNED_OWNERS = frozenset((("v1", "Event"),))
_IMMUTABLE = ("name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds")


def validate_metadata(kind: Kind, obj: JSON, old: JSON | None) -> list[Cause]:
    """Names, labels, annotations, finalizers, owners; on update (``old`` given) also what may not change."""
    meta: JSON = obj.get("metadata") or {}
    found = _names(kind, meta)
    if (generation := meta.get("generation") or 0) < 0:
        found.append(causes.invalid("metadata.generation", generation, "must be greater than or equal to 0"))
    found += validate_labels(meta.get("labels"), "metadata.labels")
    found += validate_annotations(meta.get("annotations"), "metadata.annotations")
    found += _owners(meta.get("ownerReferences") or ())
    own = kind.custom is None and kind.resource.group != CUSTOM_RESOURCE_DEFINITIONS.group
    found += _finalizers(meta.get("finalizers") or (), standard=own)
    if old is not None:
        found += _update(meta, old.get("metadata") or {})
    return found


def _names(kind: Kind, meta: JSON) -> list[Cause]:
    rule = NAME_RULES[kind.name_rule]
    name, generate = meta.get("name") or "", meta.get("generateName") or ""
    namespace = meta.get("namespace") or ""
    found: list[Cause] = []
    if generate:
        found += causes.all_invalid("metadata.generateName", generate, rule(_as_prefix(generate)))
    if not name:
        found.append(causes.required("metadata.name", "name or generateName is required"))
    else:
        found += causes.all_invalid("metadata.name", name, rule(name))
    if not kind.resource.namespaced:
        if namespace:
            found.append(causes.forbidden("metadata.namespace", "not allowed on this type"))
    elif not namespace:
        found.append(causes.required("metadata.namespace"))
    else:
        found += causes.all_invalid("metadata.namespace", namespace, names.dns_label(namespace))
    return found


def _as_prefix(generate: str) -> str:
    """A prefix may end with a dash, since a random suffix follows."""
    return f"{generate[:-2]}a" if len(generate) > 1 and generate.endswith("-") else generate


def validate_labels(labels: Mapping[str, str] | None, path: str) -> list[Cause]:
    """Keys are qualified names, values label values; all causes name ``path`` itself."""
    found: list[Cause] = []
    for key, value in sorted((labels or {}).items()):
        found += causes.all_invalid(path, key, names.qualified_name(key))
        found += causes.all_invalid(path, value, names.label_value(value))
    return found


def validate_annotations(annotations: Mapping[str, str] | None, path: str) -> list[Cause]:
    """Keys are qualified names whatever their case; 256 KiB in all."""
    found: list[Cause] = []
    size = 0
    for key, value in sorted((annotations or {}).items()):
        found += causes.all_invalid(path, key, names.qualified_name(key.lower()))
        size += len(key.encode()) + len(value.encode())
    if size > MAX_ANNOTATION_BYTES:
        found.append(causes.too_long(path, MAX_ANNOTATION_BYTES))
    return found


def _owners(owners: Any) -> list[Cause]:
    path = "metadata.ownerReferences"
    found: list[Cause] = []
    controllers: list[str] = []
    for index, owner in enumerate(owners):
        at = f"{path}[{index}]"
        api_version, kind = owner.get("apiVersion") or "", owner.get("kind") or ""
        if not api_version.rpartition("/")[2]:
            found.append(causes.invalid(f"{at}.apiVersion", api_version, "version must not be empty"))
        for key in ("kind", "name", "uid"):
            if not owner.get(key):
                found.append(causes.invalid(f"{at}.{key}", owner.get(key) or "", "must not be empty"))
        if (api_version, kind) in _BANNED_OWNERS:
            found.append(causes.invalid(at, owner, f"{api_version}, Kind={kind} is disallowed from being an owner"))
        if owner.get("controller"):
            controllers.append(f"{kind}/{owner.get('name') or ''}")
    if len(controllers) > 1:
        detail = (
            'Only one reference can have Controller set to true. Found "true" in references for '
            f"{controllers[0]} and {controllers[1]}"
        )
        found.append(causes.invalid(path, list(owners), detail))
    return found


def _finalizers(finalizers: Any, *, standard: bool) -> list[Cause]:
    """``standard``: a name without a domain must be one of Kubernetes' own, which custom kinds do not demand."""
    path = "metadata.finalizers"
    found: list[Cause] = []
    for finalizer in finalizers:
        wrong = names.qualified_name(finalizer)
        found += causes.all_invalid(path, finalizer, wrong)
        if standard and not wrong and "/" not in finalizer and finalizer not in _STANDARD_FINALIZERS:
            detail = "name is neither a standard finalizer name nor is it fully qualified"
            found.append(causes.invalid(path, finalizer, detail))
    if {"orphan", "foregroundDeletion"} <= set(finalizers):
        detail = "finalizer orphan and foregroundDeletion cannot both be set"
        found.append(causes.invalid(path, list(finalizers), detail))
    return found


def _update(meta: JSON, old: JSON) -> list[Cause]:
    found: list[Cause] = []
    for key in _IMMUTABLE:
        if meta.get(key) != old.get(key):
            found += causes.immutable(f"metadata.{key}", meta.get(key), old.get(key))
    if (meta.get("generation") or 0) < (old.get("generation") or 0):
        found.append(causes.invalid("metadata.generation", meta.get("generation") or 0, "must not be decremented"))
    if old.get("deletionTimestamp"):
        added = sorted(set(meta.get("finalizers") or ()) - set(old.get("finalizers") or ()))
        if added:
            quoted = ", ".join(f'"{finalizer}"' for finalizer in added)
            detail = (
                "no new finalizers can be added if the object is being deleted, found new finalizers "
                f"[]string{{{quoted}}}"
            )
            found.append(causes.forbidden("metadata.finalizers", detail))
    return found

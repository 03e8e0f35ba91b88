"""CustomResourceDefinition: defaults, validation, deletion, columns.

Pure. Rules and texts are those of k8s.io/apiextensions-apiserver: pkg/apis/apiextensions (v1/defaults.go,
validation/validation.go), pkg/registry/customresourcedefinition (strategy.go, etcd.go).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from controlplane.apiserver.custom import jsonpath
from controlplane.apiserver.custom.formats import CHECKS, OF_NUMBERS
from controlplane.apiserver.kinds import crd_conversion
from controlplane.apiserver.kinds.base import Column, Kind, Subresource
from controlplane.apiserver.kinds.causes import (
    duplicate,
    immutable,
    invalid,
    not_supported,
    required,
    too_many,
)
from controlplane.apiserver.kinds.cells import name_column
from controlplane.apiserver.kinds.crd_schema import validate_schema
from shared.api import kinds, names
from shared.api.errors import Cause
from shared.api.meta import JSON

FINALIZER = "customresourcecleanup.apiextensions.k8s.io"
APPROVAL = "api-approved.kubernetes.io"
MAX_SELECTABLE = 8
_COLUMN_TYPES = ("boolean", "date", "integer", "number", "string")
_COLUMN_FORMATS = ("byte", "date", "date-time", "double", "float", "int32", "int64", "password")


def default(crd: JSON) -> None:
    spec = crd.get("spec")
    if not isinstance(spec, dict):
        return
    called = spec.get("names")
    if isinstance(called, dict):
        kind = called.get("kind") or ""
        if not called.get("singular"):
            called["singular"] = kind.lower()
        if not called.get("listKind") and kind:
            called["listKind"] = f"{kind}List"
    crd_conversion.default(spec)
    status = crd.get("status") or {}
    crd["status"] = status
    status.setdefault("conditions", None)
    status.setdefault("acceptedNames", {"plural": "", "kind": ""})
    stored = status.get("storedVersions") or []
    current = [version.get("name") for version in spec.get("versions") or () if version.get("storage")][:1]
    status["storedVersions"] = stored if set(current) <= set(stored) else [*stored, *current]


def on_deletion(crd: JSON, now: str) -> JSON:
    """The finalizer that holds a definition until its objects are gone, and the condition that says so."""
    meta, status = crd["metadata"], crd.get("status") or {}
    finalizers = meta.get("finalizers") or []
    if FINALIZER not in finalizers:
        meta = {**meta, "finalizers": [*finalizers, FINALIZER]}
    others = [condition for condition in status.get("conditions") or () if condition.get("type") != "Terminating"]
    terminating = {
        "type": "Terminating", "status": "True", "lastTransitionTime": now, "reason": "InstanceDeletionPending",
        "message": "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon",
    }  # fmt: skip
    return {**crd, "metadata": meta, "status": {**status, "conditions": [*others, terminating]}}


# --- validation


def validate(crd: JSON, old: JSON | None) -> Iterable[Cause]:
    spec: JSON = crd.get("spec") or {}
    called: JSON = spec.get("names") or {}
    group, plural = spec.get("group") or "", called.get("plural") or ""
    name = crd["metadata"].get("name") or ""
    if old is None and name != f"{plural}.{group}":
        yield invalid("metadata.name", name, 'must be spec.names.plural+"."+spec.group')
    yield from _group(group)
    if not (scope := spec.get("scope") or ""):
        yield required("spec.scope")
    elif scope not in ("Cluster", "Namespaced"):
        yield not_supported("spec.scope", scope, ("Cluster", "Namespaced"))
    yield from _versions(spec)
    for field in ("plural", "singular", "kind", "listKind"):
        if not called.get(field):
            yield required(f"spec.names.{field}")
    yield from _names(called, "spec.names")
    yield from crd_conversion.validate(spec, old)
    if old is not None:
        yield from _unchanged(crd, old)
    yield from validate_status(crd, old)
    yield from _approval(crd, old)
    if spec.get("preserveUnknownFields"):
        yield invalid(
            "spec.preserveUnknownFields", True,
            "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead",
        )  # fmt: skip


def validate_status(crd: JSON, old: JSON | None) -> Iterable[Cause]:
    status: JSON = crd.get("status") or {}
    yield from _names(status.get("acceptedNames") or {}, "status.acceptedNames")
    path, stored = "status.storedVersions", status.get("storedVersions") or []
    if not stored:
        yield invalid(path, stored, "must have at least one stored version")
        return
    versions = {version.get("name"): bool(version.get("storage")) for version in crd["spec"].get("versions") or ()}
    for version, is_storage in versions.items():
        if is_storage and version not in stored:
            yield invalid(path, stored, f"must have the storage version {version}")
    for index, version in enumerate(stored):
        if version not in versions:
            yield invalid(
                f"{path}[{index}]", version,
                f"missing from spec.versions; {version} was previously a storage version, and must remain in "
                f"spec.versions until a storage migration ensures no data remains persisted in {version} and removes "
                f"{version} from status.storedVersions",
            )  # fmt: skip


def _group(group: str) -> Iterator[Cause]:
    if not group:
        yield required("spec.group")
    elif wrong := names.dns_subdomain(group):
        yield invalid("spec.group", group, ",".join(wrong))
    elif "." not in group:
        yield invalid("spec.group", group, "should be a domain with at least one dot")


def _label(path: str, text: str, prefix: str = "") -> Iterator[Cause]:
    if wrong := names.dns_1035_label(text.lower() if prefix else text):
        yield invalid(path, text, prefix + ",".join(wrong))


def _names(called: JSON, path: str) -> Iterator[Cause]:
    for field in ("plural", "singular"):
        if text := called.get(field):
            yield from _label(f"{path}.{field}", text)
    for field in ("kind", "listKind"):
        if text := called.get(field):
            yield from _label(f"{path}.{field}", text, "may have mixed case, but should otherwise match: ")
    for index, text in enumerate(called.get("shortNames") or ()):
        yield from _label(f"{path}.shortNames[{index}]", text)
    if called.get("kind") and called.get("kind") == called.get("listKind"):
        yield invalid(f"{path}.listKind", called["listKind"], "kind and listKind may not be the same")
    for index, text in enumerate(called.get("categories") or ()):
        yield from _label(f"{path}.categories[{index}]", text)


def _versions(spec: JSON) -> Iterator[Cause]:
    versions = spec.get("versions") or []
    for index, version in enumerate(versions):
        path = f"spec.versions[{index}]"
        yield from _label(f"{path}.name", version.get("name") or "")
        if not (schema := (version.get("schema") or {}).get("openAPIV3Schema")):
            yield required(f"{path}.schema.openAPIV3Schema", "schemas are required")
        else:
            has_status = "status" in (version.get("subresources") or {})
            yield from validate_schema(schema, f"{path}.schema.openAPIV3Schema", has_status)
        yield from _deprecation(version, f"{path}.deprecationWarning")
        yield from _subresources(version.get("subresources") or {}, f"{path}.subresources")
        for number, column in enumerate(version.get("additionalPrinterColumns") or ()):
            yield from _column(column, f"{path}.additionalPrinterColumns[{number}]")
        yield from _selectable(version.get("selectableFields") or (), schema or {}, f"{path}.selectableFields")
    if len({version.get("name") for version in versions}) != len(versions):
        yield invalid("spec.versions", versions, "must contain unique version names")
    if sum(bool(version.get("storage")) for version in versions) != 1:
        yield invalid("spec.versions", versions, "must have exactly one version marked as storage version")


def _deprecation(version: JSON, path: str) -> Iterator[Cause]:
    text = version.get("deprecationWarning")
    if text is None:
        return
    if not version.get("deprecated"):
        yield invalid(path, text, "can only be set for deprecated versions")
    if len(text) > 256:
        yield invalid(path, text, "must be <= 256 characters long")
    if not text:
        yield invalid(path, text, "must not be an empty string")
    for index, character in enumerate(text):
        if not character.isprintable():
            yield invalid(
                path, text,
                "must only contain printable UTF-8 characters; non-printable character found at index " + str(index),
            )  # fmt: skip
            break


def _simple_path(text: str, path: str, *roots: str) -> Iterator[Cause]:
    if not text.startswith("."):
        yield invalid(path, text, "must be a simple json path starting with .")
    elif roots and not text.startswith(roots):
        where = " or ".join(root.rstrip(".") for root in reversed(roots))
        yield invalid(path, text, f"should be a json path under {'either ' if len(roots) > 1 else ''}{where}")


def _subresources(subresources: JSON, path: str) -> Iterator[Cause]:
    scale = subresources.get("scale")
    if scale is None:
        return
    for field, root in (("specReplicasPath", ".spec."), ("statusReplicasPath", ".status.")):
        if not (text := scale.get(field)):
            yield required(f"{path}.scale.{field}")
        else:
            yield from _simple_path(text, f"{path}.scale.{field}", root)
    if text := scale.get("labelSelectorPath"):
        yield from _simple_path(text, f"{path}.scale.labelSelectorPath", ".status.", ".spec.")


def _column(column: JSON, path: str) -> Iterator[Cause]:
    if not column.get("name"):
        yield required(f"{path}.name")
    wanted = f"must be one of {','.join(_COLUMN_TYPES)}"
    if not (kind := column.get("type")):
        yield required(f"{path}.type", wanted)
    elif kind not in _COLUMN_TYPES:
        yield invalid(f"{path}.type", kind, wanted)
    if (form := column.get("format")) and form not in _COLUMN_FORMATS:
        yield invalid(f"{path}.format", form, f"must be one of {','.join(_COLUMN_FORMATS)}")
    if not (text := column.get("jsonPath")):
        yield required(f"{path}.jsonPath")
        return
    yield from _simple_path(text, f"{path}.jsonPath")
    try:
        jsonpath.parse(text)
    except ValueError as error:
        yield invalid(f"{path}.jsonPath", text, f"unrecognized column definition: {error}")


def _selectable(fields: Iterable[JSON], schema: JSON, path: str) -> Iterator[Cause]:
    seen: set[str] = set()
    for index, field in enumerate(fields):
        at, text = f"{path}[{index}].jsonPath", field.get("jsonPath") or ""
        if not text:
            yield required(at)
            continue
        found: Any = schema
        if not text.startswith(".") or "[" in text:
            why = "array notation is not allowed" if "[" in text else f"expected [ or . but got: {text}"
            yield invalid(at, text, f"is an invalid path: {why}")
            continue
        for part in text[1:].split("."):
            found = ((found or {}).get("properties") or {}).get(part)
        if found is None:
            yield invalid(at, text, "is an invalid path: does not refer to a valid field")
            continue
        if text.split(".")[1] == "metadata":
            yield invalid(at, text, "must not point to fields in metadata")
        if found.get("type") not in ("string", "boolean", "integer"):
            yield invalid(at, text, "must point to a field of type string, boolean or integer. Enum string fields and "
                          "strings with formats are allowed.")  # fmt: skip
        if text in seen:
            yield duplicate(at, text)
        seen.add(text)
    if len(seen) > MAX_SELECTABLE:
        yield too_many(path, len(seen), MAX_SELECTABLE)


def _unchanged(crd: JSON, old: JSON) -> Iterator[Cause]:
    new, was = crd["spec"], old["spec"]
    called, before = new.get("names") or {}, was.get("names") or {}
    conditions = (old.get("status") or {}).get("conditions") or ()
    if any(c.get("type") == "Established" and c.get("status") == "True" for c in conditions):
        yield from immutable("spec.scope", new.get("scope"), was.get("scope"))
        yield from immutable("spec.names.kind", called.get("kind"), before.get("kind"))
    yield from immutable("spec.group", new.get("group"), was.get("group"))
    yield from immutable("spec.names.plural", called.get("plural"), before.get("plural"))


def is_protected(group: str) -> bool:
    """Whether a group is Kubernetes' own (apihelpers.IsProtectedCommunityGroup)."""
    return group in ("k8s.io", "kubernetes.io") or group.endswith((".k8s.io", ".kubernetes.io"))


def _approved(crd: JSON) -> str:
    return (crd["metadata"].get("annotations") or {}).get(APPROVAL) or ""


def _approval(crd: JSON, old: JSON | None) -> Iterator[Cause]:
    if not is_protected(crd["spec"].get("group") or "") or (old is not None and _approved(old) == _approved(crd)):
        return
    path, text = f"metadata.annotations[{APPROVAL}]", _approved(crd)
    see = "see https://github.com/kubernetes/enhancements/pull/1111"
    if not text:
        yield required(path, f'protected groups must have approval annotation "{APPROVAL}", {see}')
    elif not text.startswith(("http://", "https://", "unapproved")):
        yield invalid(path, text, f'protected groups must have approval annotation "{APPROVAL}" with either a URL or a '
                      f'reason starting with "unapproved", {see}')  # fmt: skip


def warnings(crd: JSON) -> Iterable[str]:
    """Formats that nothing checks; on an update only those that it brings (WarningsOnUpdate of the registry's
    customresourcedefinition/strategy.go), see ``known_warnings``."""
    for version in crd["spec"].get("versions") or ():
        for form in _formats((version.get("schema") or {}).get("openAPIV3Schema")):
            if form not in CHECKS and form not in OF_NUMBERS:
                yield f'unrecognized format "{form}"'


def _formats(schema: Any) -> Iterator[str]:
    if not isinstance(schema, dict):
        return
    if isinstance(form := schema.get("format"), str) and form:
        yield form
    for key in ("items", "additionalProperties", "not"):
        yield from _formats(schema.get(key))
    for inner in (schema.get("properties") or {}).values():
        yield from _formats(inner)
    for key in ("allOf", "anyOf", "oneOf"):
        for inner in schema.get(key) or ():
            yield from _formats(inner)


def _created(crd: JSON) -> Any:
    return crd["metadata"].get("creationTimestamp") or "0001-01-01T00:00:00Z"


CUSTOM_RESOURCE_DEFINITION = Kind(
    resource=kinds.CUSTOM_RESOURCE_DEFINITIONS,
    singular="customresourcedefinition",
    short_names=("crd", "crds"),
    categories=("api-extensions",),
    columns=(name_column(), Column("Created At", "date", "When the object was created.", _created)),
    subresources=(Subresource("status", ("get", "patch", "update")),),
    default=default,
    validate=validate,
    validate_status=validate_status,
    warnings=warnings,
    known_warnings=False,
    has_generation=True,
    on_deletion=on_deletion,
    status_metadata=("annotations", "finalizers", "labels", "ownerReferences"),
)

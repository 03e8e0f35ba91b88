"""APIService: defaults, validation, columns.

Pure. Rules and texts are those of k8s.io/kube-aggregator/pkg/apis/apiregistration.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from controlplane.apiserver.kinds.base import Column, Kind, Subresource
from controlplane.apiserver.kinds.causes import all_invalid, invalid, not_supported, required
from controlplane.apiserver.kinds.cells import age_column, at, name_column
from shared.api import kinds, names
from shared.api.errors import Cause
from shared.api.meta import JSON

AVAILABLE = "Available"
_STATUSES = ("True", "False", "Unknown")


def default(obj: JSON) -> None:
    service = (obj.get("spec") or {}).get("service")
    if service is not None and service.get("port") is None:
        service["port"] = 443


def validate(obj: JSON, old: JSON | None) -> Iterable[Cause]:
    spec: JSON = obj.get("spec") or {}
    group, version = spec.get("group") or "", spec.get("version") or ""
    name = at(obj, "metadata", "name", default="")
    if name != f"{version}.{group}":
        yield invalid("metadata.name", name, f'must be `spec.version+"."+spec.group`: "{version}.{group}"')
    if not group and version != "v1":
        yield required("spec.group", "only v1 may have an empty group and it better be legacy kube")
    if group:
        yield from all_invalid("spec.group", group, names.dns_subdomain(group))
    yield from all_invalid("spec.version", version, names.dns_1035_label(version))
    for field, most in (("groupPriorityMinimum", 20000), ("versionPriority", 1000)):
        if not 0 < (value := spec.get(field) or 0) <= most:
            yield invalid(f"spec.{field}", value, f"must be positive and less than {most}")
    yield from _service(spec)


def _service(spec: JSON) -> Iterable[Cause]:
    service, bundle, insecure = spec.get("service"), spec.get("caBundle") or "", bool(spec.get("insecureSkipTLSVerify"))
    if service is None:
        if bundle:
            yield invalid("spec.caBundle", f"{len(bundle) * 3 // 4} bytes", "local APIServices may not have a caBundle")
        if insecure:
            detail = "local APIServices may not have insecureSkipTLSVerify"
            yield invalid("spec.insecureSkipTLSVerify", insecure, detail)
        return
    for field in ("namespace", "name"):
        if not service.get(field):
            yield required(f"spec.service.{field}")
    if insecure and bundle:
        yield invalid("spec.insecureSkipTLSVerify", insecure, "may not be true if caBundle is present")


def validate_status(obj: JSON, old: JSON | None) -> Iterable[Cause]:
    for index, condition in enumerate(at(obj, "status", "conditions", default=())):
        if condition.get("status") not in _STATUSES:
            yield not_supported(f"status.conditions[{index}].status", condition.get("status"), _STATUSES)


def available(obj: JSON) -> JSON | None:
    """The condition that says whether the group version can be asked for."""
    conditions: Iterable[JSON] = at(obj, "status", "conditions", default=())
    return next((each for each in conditions if each.get("type") == AVAILABLE), None)


def _service_cell(obj: JSON) -> Any:
    service = at(obj, "spec", "service")
    return "Local" if service is None else f"{service.get('namespace')}/{service.get('name')}"


def _available_cell(obj: JSON) -> Any:
    condition = available(obj)
    if condition is None:
        return "Unknown"
    if condition.get("status") == "True":
        return "True"
    return f"{condition.get('status')} ({condition.get('reason', '')})"


API_SERVICE = Kind(
    resource=kinds.API_SERVICES,
    singular="apiservice",
    categories=("api-extensions",),
    columns=(
        name_column(),
        Column("Service", "string", "The reference to the service that hosts this API endpoint.", _service_cell),
        Column("Available", "string", "Whether this service is available.", _available_cell),
        age_column(),
    ),
    subresources=(Subresource("status", ("get", "patch", "update")),),
    default=default,
    validate=validate,
    validate_status=validate_status,
    name_rule="path-segment",
)

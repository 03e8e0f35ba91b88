"""NodeMetrics and PodMetrics: their rows, with schemas as metrics-server publishes them. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from controlplane.apiserver.custom import rows
from controlplane.apiserver.kinds.base import Column, Kind
from controlplane.apiserver.kinds.cells import at, name_column
from shared.api.meta import JSON

GROUP, VERSION = "metrics.k8s.io", "v1beta1"
VERBS = ("get", "list")

_TIMES: JSON = {
    "timestamp": {
        "type": "string", "format": "date-time",
        "description": "The end of the interval that the metrics were collected over.",
    },
    "window": {"type": "string", "description": "The length of the interval, which ends at timestamp."},
}  # fmt: skip
_USAGE: JSON = {
    "type": "object",
    "description": "The memory usage is the memory working set.",
    "additionalProperties": {"x-kubernetes-int-or-string": True},
}
_CONTAINERS: JSON = {
    "type": "array",
    "description": "Metrics of all containers, collected within the same interval.",
    "items": {
        "type": "object",
        "required": ["name", "usage"],
        "properties": {"name": {"type": "string", "description": "Name of the container."}, "usage": _USAGE},
    },
}


def _column(name: str, format: str, *path: str) -> Column:
    def cell(obj: JSON) -> Any:
        return at(obj, *path)

    return Column(name, "string", "", cell, format=format)


def _of_pod(resource: str) -> Column:
    def cell(obj: JSON) -> Any:
        """The sum, in the unit that all of its containers are told in."""
        told = [container["usage"][resource] for container in obj["containers"]]
        unit = told[0].lstrip("0123456789") if told else ""
        return f"{sum(int(each.removesuffix(unit)) for each in told)}{unit}"

    return Column(resource, "string", "", cell, format="quantity")


def _row(kind: str, plural: str, scope: str, properties: JSON, columns: tuple[Column, ...]) -> Kind:
    schema = {"type": "object", "description": f"{kind}: resource usage metrics.", "properties": properties | _TIMES}
    definition: JSON = {
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": scope,
            "names": {"plural": plural, "singular": "", "kind": kind},
            "versions": [{"name": VERSION, "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}],
        },
    }
    (row,) = rows.rows(definition, rows.stored_row(definition))
    window = _column("Window", "duration", "window")
    return replace(row, verbs=VERBS, columns=(name_column(), *columns, window), has_generation=False)


NODE_METRICS = _row(
    "NodeMetrics", "nodes", "Cluster", {"usage": _USAGE},
    (_column("cpu", "quantity", "usage", "cpu"), _column("memory", "quantity", "usage", "memory")),
)  # fmt: skip
POD_METRICS = _row("PodMetrics", "pods", "Namespaced", {"containers": _CONTAINERS}, (_of_pod("cpu"), _of_pod("memory")))

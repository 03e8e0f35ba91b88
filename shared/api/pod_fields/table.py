"""The whole table of pod fields, and what of a spec it has something to say about. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from shared.api.meta import JSON
from shared.api.pod_fields.base import Field, Fields, Verdict
from shared.api.pod_fields.containers import CONTAINERS
from shared.api.pod_fields.pod import POD
from shared.api.pod_fields.volumes import VOLUMES

ROOT = "PodSpec"
TABLE: Mapping[str, Fields] = {**POD, **CONTAINERS, **VOLUMES}
"""Tables by the name of their type, or of the several types that have the same fields."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A field that is set and not acted on, with its path below the spec's own."""

    path: str
    field: Field


def findings(spec: JSON, path: str) -> list[Finding]:
    """Every field of the spec at ``path`` that is not acted on, in the spec's order. Fields that Kubernetes does not
    know are the schema's to tell."""
    return list(_walk(spec, path, ROOT))


def _walk(tree: JSON, path: str, table: str) -> Iterator[Finding]:
    rows = TABLE[table]
    for name, value in tree.items():
        field = rows.get(name)
        if field is None or _asks_nothing(value, field):
            continue
        if field.verdict is not Verdict.ACTED_ON:
            yield Finding(f"{path}.{name}", field)
        elif field.of and not _acted_on_throughout(field.of):
            if isinstance(value, dict):
                yield from _walk(value, f"{path}.{name}", field.of)
            elif isinstance(value, list):
                for index, item in enumerate(value):
                    if isinstance(item, dict):
                        yield from _walk(item, f"{path}.{name}[{index}]", field.of)


def _asks_nothing(value: Any, field: Field) -> bool:
    if value is None or value == "" or value == [] or value == {}:
        return True
    return any(type(value) is type(quiet) and value == quiet for quiet in field.quiet)


@cache
def _acted_on_throughout(table: str) -> bool:
    """Whether nothing below needs a look."""
    return all(
        field.verdict is Verdict.ACTED_ON and (not field.of or _acted_on_throughout(field.of))
        for field in TABLE[table].values()
    )

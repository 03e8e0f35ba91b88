"""The causes of an Invalid answer, with Kubernetes' types and texts.

Pure. The texts are those of k8s.io/apimachinery/pkg/util/validation/field/errors.go.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from shared import codec
from shared.api.errors import Cause, Invalid


def required(path: str, detail: str = "") -> Cause:
    return Cause("FieldValueRequired", _with("Required value", detail), path)


def invalid(path: str, value: Any, detail: str) -> Cause:
    return Cause("FieldValueInvalid", _with(f"Invalid value: {_show(value)}", detail), path)


def not_supported(path: str, value: Any, valid: Sequence[str]) -> Cause:
    choices = ", ".join(f'"{choice}"' for choice in valid)
    return Cause("FieldValueNotSupported", f"Unsupported value: {_show(value)}: supported values: {choices}", path)


def forbidden(path: str, detail: str) -> Cause:
    return Cause("FieldValueForbidden", _with("Forbidden", detail), path)


def duplicate(path: str, value: Any) -> Cause:
    return Cause("FieldValueDuplicate", f"Duplicate value: {_show(value)}", path)


def not_found(path: str, value: Any) -> Cause:
    return Cause("FieldValueNotFound", f"Not found: {_show(value)}", path)


def too_long(path: str, limit: int) -> Cause:
    return Cause("FieldValueTooLong", f"Too long: may not be more than {limit} bytes", path)


def too_many(path: str, count: int, limit: int) -> Cause:
    return Cause("FieldValueTooMany", f"Too many: {count}: must have at most {limit} items", path)


def all_invalid(path: str, value: Any, details: Iterable[str]) -> list[Cause]:
    """One Invalid cause for each text that a function of ``shared.api.names`` returned."""
    return [invalid(path, value, detail) for detail in details]


def non_negative(path: str, value: int | None) -> list[Cause]:
    """An Invalid cause when a number is below zero."""
    if value is not None and value < 0:
        return [invalid(path, value, "must be greater than or equal to 0")]
    return []


def immutable(path: str, new: Any, old: Any) -> list[Cause]:
    """An Invalid cause when a field that may not change has changed."""
    return [] if new == old else [invalid(path, new, "field is immutable")]


def refusal(group: str, kind: str, name: str, causes: Sequence[Cause]) -> Invalid:
    """The 422 answer for these causes, worded as k8s.io/apimachinery/pkg/api/errors.NewInvalid."""
    texts = [f"{cause.field}: {cause.message}" for cause in causes]
    unique = list(dict.fromkeys(texts))
    body = unique[0] if len(unique) == 1 else f"[{', '.join(unique)}]"
    qualified = f"{kind}.{group}" if group else kind
    return Invalid(f'{qualified} "{name}" is invalid: {body}', group=group, kind=kind, name=name, causes=causes)


def _with(text: str, detail: str) -> str:
    return f"{text}: {detail}" if detail else text


def _show(value: Any) -> str:
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return codec.encode(value).decode()

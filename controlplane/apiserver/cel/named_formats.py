"""Formats that expressions check texts against: ``format.named(name)``, ``format.dns1123Label()``, ``.validate(text)``.

Pure. After k8s.io/apiserver/pkg/cel/library/format.go. ``format.named`` and ``validate`` answer an optional in
Kubernetes, which functions of ours cannot make: they answer a map with one member or none, and ``optionals``
makes the optional of it where an expression is compiled.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cel_expr_python import cel

from controlplane.apiserver.cel.functions import Functions
from controlplane.apiserver.custom.formats import CHECKS
from shared.api import names

FORMAT, ERRORS = "format", "errors"
T = cel.Type
Check = Callable[[str], Sequence[str]]


def _prefix(check: Check) -> Check:
    """A name that is only begun may end with a dash (apimachinery's maskTrailingDash)."""
    return lambda text: check(f"{text[:-2]}a" if len(text) > 1 and text.endswith("-") else text)


def _known(format: str, wrong: str) -> Check:
    return lambda text: () if CHECKS[format](text) else (wrong,)


def _uri(text: str) -> Sequence[str]:
    return () if CHECKS["uri"](text) else (f'parse "{text[:256]}": invalid URI for request',)


FORMATS: Mapping[str, Check] = {
    "dns1123Label": names.dns_label,
    "dns1123Subdomain": names.dns_subdomain,
    "dns1035Label": names.dns_1035_label,
    "qualifiedName": names.qualified_name,
    "dns1123LabelPrefix": _prefix(names.dns_label),
    "dns1123SubdomainPrefix": _prefix(names.dns_subdomain),
    "dns1035LabelPrefix": _prefix(names.dns_1035_label),
    "labelValue": names.label_value,
    "uri": _uri,
    "uuid": _known("uuid", "does not match the UUID format"),
    "byte": _known("byte", "invalid base64"),
    "date": _known("date", "invalid date"),
    "datetime": _known("datetime", "invalid datetime"),
}


def declare(made: Functions) -> None:
    made.add("format.named", T.DYN, [T.STRING], lambda name: _found(name), member=False)
    for name in FORMATS:
        made.add(f"format.{name}", T.DYN, [], _constant(name), member=False)
    made.add("validate", T.DYN, [T.MAP, T.STRING], _validate)


def _found(name: str) -> dict[str, Any]:
    return {FORMAT: {FORMAT: name}} if name in FORMATS else {}


def _constant(name: str) -> Callable[[], dict[str, str]]:
    return lambda: {FORMAT: name}


def _validate(format: dict[str, Any], text: str) -> dict[str, Any]:
    check = FORMATS.get(str(format.get(FORMAT)))
    if check is None:
        raise ValueError("no such overload: a format is wanted")
    wrong = check(text)
    return {ERRORS: list(wrong)} if wrong else {}

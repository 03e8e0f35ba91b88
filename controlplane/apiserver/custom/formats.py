"""The formats of strings that are checked (k8s.io/kube-openapi pkg/validation/strfmt, apiextensions formats.go).

Pure. A format that is not in ``CHECKS`` is only a hint.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable, Mapping
from datetime import date, datetime
from urllib.parse import urlsplit

_DURATION = re.compile(r"[-+]?(?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+|0")
_WORDED = re.compile(
    r"(?:\d+\s*(?:ns|nano\w*|us|micro\w*|ms|milli\w*|s|sec\w*|m|min\w*|h|hr|hour\w*|d|day\w*|w|wk|week\w*)\s*)+", re.I
)
_HOST_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")
_HEX = "[0-9a-fA-F]"
_UUID = r"[0-9a-fA-F]{8}-?[0-9a-fA-F]{4}-?%s[0-9a-fA-F]{3}-?%s[0-9a-fA-F]{3}-?[0-9a-fA-F]{12}"
_TIME = re.compile(r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(?:\.\d+)?([Zz]|[+-]\d\d:\d\d)")
_K8S_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_K8S_LONG = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")


def _tried(parse: Callable[[str], object]) -> Callable[[str], bool]:
    def check(text: str) -> bool:
        try:
            parse(text)
        except (ValueError, binascii.Error):
            return False
        return True

    return check


def _full(pattern: str | re.Pattern[str]) -> Callable[[str], bool]:
    found = re.compile(pattern) if isinstance(pattern, str) else pattern
    return lambda text: found.fullmatch(text) is not None


def _date_time(text: str) -> bool:
    match = _TIME.fullmatch(text)
    return match is not None and _tried(datetime.fromisoformat)(f"{match[1]}T{match[2]}")


def _cidr(text: str) -> None:
    if "/" not in text:
        raise ValueError(text)
    ipaddress.ip_network(text, strict=False)


def _host(text: str) -> bool:
    return len(text) <= 255 and bool(text) and all(map(_HOST_LABEL.fullmatch, text.rstrip(".").split(".")))


def _uri(text: str) -> None:
    parts = urlsplit(text)
    if not (parts.scheme or text.startswith("/")):
        raise ValueError(text)


CHECKS: Mapping[str, Callable[[str], bool]] = {
    "bsonobjectid": _full(f"{_HEX}{{24}}"),
    "uri": _tried(_uri),
    "email": _full(_EMAIL),
    "hostname": _host,
    "ipv4": _tried(ipaddress.IPv4Address),
    "ipv6": _tried(ipaddress.IPv6Address),
    "cidr": _tried(_cidr),
    "mac": _full(rf"{_HEX}{{2}}([:-]{_HEX}{{2}}){{5}}|({_HEX}{{4}}\.){{2}}{_HEX}{{4}}"),
    "uuid": _full(_UUID % (_HEX, _HEX)),
    "uuid3": _full(_UUID % ("3", _HEX)),
    "uuid4": _full(_UUID % ("4", "[89abAB]")),
    "uuid5": _full(_UUID % ("5", "[89abAB]")),
    "isbn": _full(r"(?:97[89])?[\d-]{9,13}[\dXx]"),
    "isbn10": _full(r"[\d-]{9,12}[\dXx]"),
    "isbn13": _full(r"97[89][\d-]{10,13}"),
    "creditcard": _full(r"[\d -]{12,23}"),
    "hexcolor": _full(rf"#?({_HEX}{{3}}|{_HEX}{{6}})"),
    "rgbcolor": _full(r"rgb\(\s*\d{1,3}\s*,\s*\d{1,3}\s*,\s*\d{1,3}\s*\)"),
    "byte": _tried(lambda text: base64.b64decode(text, validate=True)),
    "password": lambda text: True,
    "date": _tried(date.fromisoformat),
    "duration": lambda text: bool(_DURATION.fullmatch(text) or _WORDED.fullmatch(text)),
    "date-time": _date_time,
    "datetime": _date_time,
    "k8s-short-name": lambda text: len(text) <= 63 and _K8S_LABEL.fullmatch(text) is not None,
    "k8s-long-name": lambda text: len(text) <= 253 and _K8S_LONG.fullmatch(text) is not None,
}
OF_NUMBERS = frozenset(("int32", "int64", "float", "double"))
"""Formats of numbers, which are not checked."""

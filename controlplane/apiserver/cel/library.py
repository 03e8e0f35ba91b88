"""Kubernetes' functions of CEL, and those of cel-go's strings library, for the engine.

Pure. After k8s.io/apiserver/pkg/cel/library and github.com/google/cel-go/ext (strings.go, sets.go). Values of
Kubernetes' own types (a quantity, an IP address, a CIDR, a URL) are maps of one member, which names the type: the
engine has no opaque types of its own. A function that is given nonsense raises ValueError, which ends the evaluation.
"""

from __future__ import annotations

import ipaddress
import itertools
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

from cel_expr_python import cel

from controlplane.apiserver.cel import authorization, building, formatting, images, macros, named_formats, regex, semver
from controlplane.apiserver.cel.functions import Function, Functions
from shared.api import quantity as quantities

MAX_TEXT = 1 << 20
"""Characters of a text that a function may make."""

T = cel.Type
_ANY: tuple[tuple[str, Any], ...] = (
    ("int", T.INT), ("uint", T.UINT), ("double", T.DOUBLE), ("string", T.STRING), ("bool", T.BOOL),
    ("bytes", T.BYTES), ("list", T.LIST), ("map", T.MAP), ("null", T.NULL), ("timestamp", T.TIMESTAMP),
    ("duration", T.DURATION),
)  # fmt: skip
_LIST = T.List(T.DYN)


def functions() -> Functions:
    """All of them."""
    made = Functions()
    _lists(made)
    _strings(made)
    _regex(made)
    _quantity(made)
    _addresses(made)
    _url(made)
    semver.declare(made)
    images.declare(made)
    building.declare_loops(made)
    named_formats.declare(made)
    authorization.declare(made)
    return made


# --- lists


def _lists(made: Functions) -> None:
    made.add("sum", T.DYN, [_LIST], _sum)
    made.add("min", T.DYN, [_LIST], lambda items: min(_some(items, "min")))
    made.add("max", T.DYN, [_LIST], lambda items: max(_some(items, "max")))
    made.add("isSorted", T.BOOL, [_LIST], lambda items: all(a <= b for a, b in itertools.pairwise(items)))
    for _, kind in _ANY:
        made.add("indexOf", T.INT, [_LIST, kind], _index)
        made.add("lastIndexOf", T.INT, [_LIST, kind], _last_index)
    made.add("sets.contains", T.BOOL, [_LIST, _LIST], lambda a, b: all(x in a for x in b), member=False)
    made.add(
        "sets.equivalent", T.BOOL, [_LIST, _LIST],
        lambda a, b: all(x in a for x in b) and all(x in b for x in a), member=False,
    )  # fmt: skip
    made.add("sets.intersects", T.BOOL, [_LIST, _LIST], lambda a, b: any(x in a for x in b), member=False)


def _sum(items: list[Any]) -> Any:
    total: Any = items[0] if items else 0
    for item in items[1:]:
        total = total + item
    if isinstance(total, int) and not -(1 << 63) <= total < 1 << 64:
        raise ValueError("integer overflow")
    return total


def _some(items: list[Any], name: str) -> list[Any]:
    if not items:
        raise ValueError(f"{name} called on empty list")
    return items


def _index(items: list[Any], wanted: Any) -> int:
    return next((index for index, item in enumerate(items) if item == wanted), -1)


def _last_index(items: list[Any], wanted: Any) -> int:
    return next((index for index in range(len(items) - 1, -1, -1) if items[index] == wanted), -1)


# --- strings


def _strings(made: Functions) -> None:
    text, number = T.STRING, T.INT
    made.add("charAt", text, [text, number], lambda s, i: _part(s, i, i + 1) if i < len(s) else _part(s, i, i))
    made.add("indexOf", number, [text, text], lambda s, part: s.find(part))
    made.add("indexOf", number, [text, text, number], lambda s, part, start: s.find(part, _place(start)))
    made.add("lastIndexOf", number, [text, text], lambda s, part: s.rfind(part))
    made.add("lastIndexOf", number, [text, text, number], _last_place)
    made.add("lowerAscii", text, [text], lambda s: "".join(c.lower() if c.isascii() else c for c in s))
    made.add("upperAscii", text, [text], lambda s: "".join(c.upper() if c.isascii() else c for c in s))
    made.add("replace", text, [text, text, text], lambda s, old, new: _replace(s, old, new, -1))
    made.add("replace", text, [text, text, text, number], _replace)
    made.add("split", T.List(text), [text, text], lambda s, by: _split(s, by, -1))
    made.add("split", T.List(text), [text, text, number], _split)
    made.add("join", text, [_LIST], lambda items: _bounded("".join(items)))
    made.add("join", text, [_LIST, text], lambda items, by: _bounded(by.join(items)))
    made.add("substring", text, [text, number], lambda s, start: _part(s, start, len(s)))
    made.add("substring", text, [text, number, number], _part)
    made.add("trim", text, [text], lambda s: s.strip())
    made.add("reverse", text, [text], lambda s: s[::-1])
    made.add("strings.quote", text, [text], _quoted, member=False)
    made.add("format", text, [text, _LIST], lambda s, values: _bounded(formatting.formatted(s, values)))


def _place(index: int) -> int:
    if index < 0:
        raise ValueError(f"index out of range: {index}")
    return index


def _last_place(text: str, part: str, end: int) -> int:
    return text.rfind(part, 0, _place(end) + len(part)) if end < len(text) else -1


def _part(text: str, start: int, end: int) -> str:
    if not 0 <= start <= end <= len(text):
        raise ValueError(f"index out of range: {start}")
    return text[start:end]


_ESCAPES = str.maketrans({
    "\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v", "\\": "\\\\",
    '"': '\\"',
})  # fmt: skip


def _quoted(text: str) -> str:
    return f'"{text.translate(_ESCAPES)}"'


def _bounded(text: str) -> str:
    if len(text) > MAX_TEXT:
        raise ValueError(f"a text of more than {MAX_TEXT} characters")
    return text


def _replace(text: str, old: str, new: str, times: int) -> str:
    if times != 0 and text.count(old) * len(new) > MAX_TEXT:
        raise ValueError(f"a text of more than {MAX_TEXT} characters")
    return text.replace(old, new, times)


def _split(text: str, by: str, most: int) -> list[str]:
    if most == 0:
        return []
    if not by:
        return list(text) if most < 0 else [*text[: most - 1], text[most - 1 :]]
    return text.split(by) if most < 0 else text.split(by, most - 1)


# --- regular expressions


def _regex(made: Functions) -> None:
    text = T.STRING
    made.add("find", text, [text, text], regex.find)
    made.add("findAll", T.List(text), [text, text], lambda s, pattern: list(regex.find_all(s, pattern)))
    made.add(
        "findAll", T.List(text), [text, text, T.INT],
        lambda s, pattern, most: [found for found, _ in zip(regex.find_all(s, pattern), _counted(most), strict=False)],
    )  # fmt: skip


def _counted(most: int) -> Iterable[int]:
    return range(most) if most >= 0 else iter(int, 1)


# --- quantities

_QUANTITY, _IP, _CIDR, _URL = "quantity", "ip", "cidr", "url"


def _tried(make: Function) -> Callable[[str], bool]:
    def check(text: str) -> bool:
        try:
            make(text)
        except ValueError:
            return False
        return True

    return check


def _is_text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"a text is wanted, not {value!r}")
    return value


def _number(value: dict[str, Any]) -> Decimal:
    return Decimal(_of(value, _QUANTITY))


def _of(value: dict[str, Any], kind: str) -> str:
    if kind not in value:
        raise ValueError(f"no such overload: {kind} is wanted")
    return str(value[kind])


def _new_quantity(number: Decimal) -> dict[str, str]:
    text = format(number, "f")
    return {_QUANTITY: text.rstrip("0").rstrip(".") if "." in text else text}


def _parse_quantity(text: str) -> dict[str, str]:
    return _new_quantity(Decimal(quantities.parse(text)))


def _quantity(made: Functions) -> None:
    kind, text = T.MAP, T.STRING
    made.add("isQuantity", T.BOOL, [text], _tried(_parse_quantity), member=False)
    made.add("quantity", T.DYN, [text], _parse_quantity, member=False)
    made.add("sign", T.INT, [kind], lambda q: (_number(q) > 0) - (_number(q) < 0))
    made.add("isInteger", T.BOOL, [kind], lambda q: _number(q) == _number(q).to_integral_value())
    made.add("asInteger", T.INT, [kind], _as_integer)
    made.add("asApproximateFloat", T.DOUBLE, [kind], lambda q: float(_number(q)))
    made.add("isLessThan", T.BOOL, [kind, kind], lambda a, b: _compared(a, b) < 0)
    made.add("isGreaterThan", T.BOOL, [kind, kind], lambda a, b: _compared(a, b) > 0)
    made.add("compareTo", T.INT, [kind, kind], _compared)
    for name, sign in (("add", 1), ("sub", -1)):
        made.add(name, T.DYN, [kind, kind], _added(sign))
        made.add(name, T.DYN, [kind, T.INT], _moved(sign))


def _compared(one: dict[str, Any], other: dict[str, Any]) -> int:
    """Of two quantities or two versions, which are compared by functions of the same names."""
    if semver.SEMVER in one:
        return semver.compare(one, other)
    left, right = _number(one), _number(other)
    return (left > right) - (left < right)


def _added(sign: int) -> Function:
    return lambda a, b: _new_quantity(_number(a) + sign * _number(b))


def _moved(sign: int) -> Function:
    return lambda a, b: _new_quantity(_number(a) + sign * b)


def _as_integer(quantity: dict[str, Any]) -> int:
    number = _number(quantity)
    if number != number.to_integral_value() or not -(1 << 63) <= number < 1 << 63:
        raise ValueError("cannot convert value to integer")
    return int(number)


# --- addresses

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def _ip(text: str) -> _Address:
    address = ipaddress.ip_address(_is_text(text))
    if isinstance(address, ipaddress.IPv6Address) and (address.scope_id or address.ipv4_mapped is not None):
        raise ValueError(f"IP Address {text!r}: zones and IPv4-mapped IPv6 addresses are not allowed")
    return address


def _net(text: str) -> tuple[_Address, _Network]:
    address, slash, _ = _is_text(text).partition("/")
    if not slash:
        raise ValueError(f"network address parse error during conversion from string: {text!r}")
    return _ip(address), ipaddress.ip_network(text, strict=False)


def _addresses(made: Functions) -> None:
    kind, text = T.MAP, T.STRING
    made.add("isIP", T.BOOL, [text], _tried(_ip), member=False)
    made.add("ip", T.DYN, [text], lambda s: {_IP: str(_ip(s))}, member=False)
    made.add("ip.isCanonical", T.BOOL, [text], lambda s: str(_ip(s)) == s, member=False)
    made.add("family", T.INT, [kind], lambda a: _ip(_of(a, _IP)).version)
    for name, property in (
        ("isUnspecified", "is_unspecified"), ("isLoopback", "is_loopback"), ("isMulticast", "is_multicast"),
    ):  # fmt: skip
        made.add(name, T.BOOL, [kind], _asked(property))
    made.add("isLinkLocalUnicast", T.BOOL, [kind], lambda a: _ip(_of(a, _IP)).is_link_local)
    made.add("isLinkLocalMulticast", T.BOOL, [kind], _is_link_local_multicast)
    made.add("isGlobalUnicast", T.BOOL, [kind], _is_global_unicast)
    made.add(macros.ADDRESS_TEXT, text, [kind], _address_text, member=False)
    made.add("isCIDR", T.BOOL, [text], _tried(_net), member=False)
    made.add("cidr", T.DYN, [text], lambda s: {_CIDR: f"{_net(s)[0]}/{_net(s)[1].prefixlen}"}, member=False)
    made.add("containsIP", T.BOOL, [kind, kind], lambda c, a: _ip(_of(a, _IP)) in _net(_of(c, _CIDR))[1])
    made.add("containsIP", T.BOOL, [kind, text], lambda c, a: _ip(a) in _net(_of(c, _CIDR))[1])
    made.add("containsCIDR", T.BOOL, [kind, kind], lambda c, d: _within(_of(c, _CIDR), _of(d, _CIDR)))
    made.add("containsCIDR", T.BOOL, [kind, text], lambda c, d: _within(_of(c, _CIDR), d))
    made.add("ip", T.DYN, [kind], lambda c: {_IP: str(_net(_of(c, _CIDR))[0])})
    made.add("masked", T.DYN, [kind], lambda c: {_CIDR: str(_net(_of(c, _CIDR))[1])})
    made.add("prefixLength", T.INT, [kind], lambda c: _net(_of(c, _CIDR))[1].prefixlen)


def _address_text(value: dict[str, Any]) -> str:
    """``string()`` of an address or CIDR."""
    return _of(value, _CIDR) if _CIDR in value else _of(value, _IP)


def _asked(property: str) -> Function:
    return lambda address: bool(getattr(_ip(_of(address, _IP)), property))


def _is_link_local_multicast(value: dict[str, Any]) -> bool:
    address = _ip(_of(value, _IP))
    low = ipaddress.ip_network("224.0.0.0/24") if address.version == 4 else ipaddress.ip_network("ff02::/16")
    return address in low


def _is_global_unicast(value: dict[str, Any]) -> bool:
    """As Go's IsGlobalUnicast: also addresses that are private."""
    address = _ip(_of(value, _IP))
    special = address.is_unspecified or address.is_loopback or address.is_multicast or address.is_link_local
    return not special and str(address) != "255.255.255.255"


def _within(outer: str, inner: str) -> bool:
    one, other = _net(outer)[1], _net(inner)[1]
    if isinstance(one, ipaddress.IPv4Network) and isinstance(other, ipaddress.IPv4Network):
        return other.subnet_of(one)
    if isinstance(one, ipaddress.IPv6Network) and isinstance(other, ipaddress.IPv6Network):
        return other.subnet_of(one)
    return False


# --- URLs


def _parse_url(text: str) -> dict[str, str]:
    """An absolute URL or an absolute path (url.ParseRequestURI). Raises ValueError."""
    parts = urlsplit(_is_text(text))
    _ = parts.port  # raises where it is no number
    if not (parts.scheme or text.startswith("/")) or any(c.isspace() or not c.isprintable() for c in text):
        raise ValueError(f'URL parse error during conversion from string: parse "{text}": invalid URI for request')
    return {_URL: text}


def _url(made: Functions) -> None:
    kind, text = T.MAP, T.STRING
    made.add("isURL", T.BOOL, [text], _tried(_parse_url), member=False)
    made.add("url", T.DYN, [text], _parse_url, member=False)
    made.add("getScheme", text, [kind], lambda u: urlsplit(_of(u, _URL)).scheme)
    made.add("getHost", text, [kind], lambda u: urlsplit(_of(u, _URL)).netloc.rpartition("@")[2])
    made.add("getHostname", text, [kind], _hostname)
    made.add("getPort", text, [kind], lambda u: str(urlsplit(_of(u, _URL)).port or ""))
    made.add("getEscapedPath", text, [kind], lambda u: quote(urlsplit(_of(u, _URL)).path, safe="/%:@!$&'()*+,;=~"))
    made.add("getQuery", T.DYN, [kind], lambda u: parse_qs(urlsplit(_of(u, _URL)).query, keep_blank_values=True))


def _hostname(url: dict[str, Any]) -> str:
    host = urlsplit(_of(url, _URL)).netloc.rpartition("@")[2]
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]

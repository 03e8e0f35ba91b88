"""Kubernetes quantities: exact arithmetic on ``500m``, ``1Gi``, ``12e6`` and their canonical form.

Pure; safe from any thread. The rules are those of k8s.io/apimachinery/pkg/api/resource: nothing finer than nano is
kept (rounded away from zero), nothing above 2^63-1 either, and the three formats (decimal SI, binary SI, decimal
exponent) each keep their own canonical form.
"""

from __future__ import annotations

import re
from decimal import ROUND_UP, Decimal, localcontext
from functools import lru_cache
from typing import NoReturn

Quantity = str | int | float
"""A resource quantity as it stands in JSON."""

_SPLIT = "^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$"
_NUMBER = re.compile(r"([+-]?)([0-9]*)(?:\.([0-9]*))?(.*)", re.DOTALL)
_EXPONENT = re.compile(r"[eE]([+-]?[0-9]+)")

_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}
_DECIMAL_SUFFIX = {exponent: suffix for suffix, exponent in _DECIMAL.items()}
_BINARY_SUFFIX = {power: suffix for suffix, power in _BINARY.items()}

_NANO = Decimal("1e-9")
_MILLI = Decimal("1e-3")
_MAX = Decimal(2**63 - 1)
_DIGITS = 400
"""Decimal's precision while parsing; a longer number is refused rather than rounded."""


class Format:
    """How a quantity was written, which is how it is written back."""

    DECIMAL_SI = "DecimalSI"
    BINARY_SI = "BinarySI"
    DECIMAL_EXPONENT = "DecimalExponent"


def parse(q: str | int | float) -> Decimal:
    """The exact value. Raises ValueError with the text that Kubernetes answers."""
    return _parse(_text(q))[0]


def milli(q: str | int | float) -> int:
    """Thousandths, rounded up (away from zero). Raises ValueError as ``parse``."""
    return _scaled(_text(q), 3)


def value(q: str | int | float) -> int:
    """Whole units, rounded up (away from zero). Raises ValueError as ``parse``."""
    return _scaled(_text(q), 0)


def canonical(q: str | int | float) -> str:
    """Kubernetes' canonical form: ``0.5`` is ``500m``, ``1024Mi`` is ``1Gi``, ``1000`` is ``1k``."""
    return _canonical(_text(q), False)


def canonical_resource(q: str | int | float) -> str:
    """The canonical form of an amount in a resource list, where Kubernetes keeps nothing finer than milli."""
    return _canonical(_text(q), True)


def add(one: Quantity, other: Quantity) -> str:
    """The sum, in the form of ``one`` or, where that is zero, of ``other`` (Quantity.Add)."""
    left, style = _parse(_text(one))
    right, other_style = _parse(_text(other))
    with localcontext() as context:
        context.prec = _DIGITS
        return format_as(left + right, style if left else other_style)


def in_form_of(model: Quantity, amount: Decimal) -> str:
    """``amount`` as it is written where ``model`` is."""
    return format_as(amount, _parse(_text(model))[1])


def negative(q: Quantity) -> str:
    """The amount below zero, in its own form."""
    amount, style = _parse(_text(q))
    return format_as(-amount, style)


def format_as(amount: Decimal, style: str) -> str:
    """``amount`` in the canonical form of a ``Format``."""
    if not amount:
        return "0"
    if style == Format.BINARY_SI and abs(amount) >= 1024 and amount == amount.to_integral_value():
        whole, power = int(amount), 0
        while power < 6 and whole % 1024 == 0:
            whole, power = whole // 1024, power + 1
        return f"{whole}{_BINARY_SUFFIX.get(power, '')}"
    sign, digits, exponent = amount.normalize().as_tuple()
    assert isinstance(exponent, int)
    number = int("".join(map(str, digits)))
    shift = exponent % 3
    number, exponent = number * 10**shift, exponent - shift
    if style == Format.DECIMAL_EXPONENT or exponent not in _DECIMAL_SUFFIX:
        suffix = f"e{exponent}" if exponent else ""
    else:
        suffix = _DECIMAL_SUFFIX[exponent]
    return f"{'-' if sign else ''}{number}{suffix}"


def _text(q: str | int | float) -> str:
    """The quantity as text; a JSON number is read as the text that stood in the JSON."""
    return q.strip() if isinstance(q, str) else repr(q)


@lru_cache(maxsize=4096)
def _parse(text: str) -> tuple[Decimal, str]:
    match = _NUMBER.fullmatch(text)
    if match is None:
        _wrong_format()
    sign, whole, fraction, suffix = match[1], match[2], match[3] or "", match[4]
    if not whole and not fraction:
        _wrong_format()
    if len(whole) + len(fraction) > _DIGITS:
        raise ValueError("unable to parse numeric part of quantity")
    with localcontext() as context:
        context.prec = 2 * _DIGITS
        amount = Decimal(f"{whole or '0'}.{fraction or '0'}")
        if suffix in _DECIMAL:
            style, amount = Format.DECIMAL_SI, amount.scaleb(_DECIMAL[suffix])
        elif suffix in _BINARY:
            style, amount = Format.BINARY_SI, amount * 1024 ** _BINARY[suffix]
        elif exponent := _EXPONENT.fullmatch(suffix):
            power = int(exponent[1][:6])
            style, amount = Format.DECIMAL_EXPONENT, amount.scaleb(max(-_DIGITS, min(_DIGITS, power)))
        elif re.fullmatch(_SPLIT, text):
            raise ValueError("unable to parse quantity's suffix")
        else:
            _wrong_format()
        amount = min(amount.quantize(_NANO, rounding=ROUND_UP), _MAX)
        if style == Format.BINARY_SI and 0 < amount < 1:
            style = Format.DECIMAL_SI
        return (-amount if sign == "-" else amount), style


@lru_cache(maxsize=4096)
def _scaled(text: str, places: int) -> int:
    with localcontext() as context:
        context.prec = _DIGITS
        return int(_parse(text)[0].scaleb(places).to_integral_value(rounding=ROUND_UP))


@lru_cache(maxsize=4096)
def _canonical(text: str, to_milli: bool) -> str:
    amount, style = _parse(text)
    with localcontext() as context:
        context.prec = _DIGITS
        return format_as(amount.quantize(_MILLI, rounding=ROUND_UP) if to_milli else amount, style)


def _wrong_format() -> NoReturn:
    raise ValueError(f"quantities must match the regular expression '{_SPLIT}'")

"""IntOrString: an absolute number, or a percentage of a total such as ``25%``.

Pure. The rule is GetScaledValueFromIntOrPercent of k8s.io/apimachinery/pkg/util/intstr.
"""

from __future__ import annotations

import re

_PERCENT = re.compile(r"([+-]?[0-9]{1,18})%")


def resolve(value: int | str, total: int, round_up: bool) -> int:
    """``value``, or that percentage of ``total`` rounded up or down. Raises ValueError on other strings."""
    if isinstance(value, int):
        return value
    scaled = percent(value) * total
    return -(-scaled // 100) if round_up else scaled // 100


def percent(text: str) -> int:
    """The number before the percent sign. Raises ValueError."""
    match = _PERCENT.fullmatch(text)
    if match is None:
        raise ValueError(f'invalid value for IntOrString: invalid type: string is not a percentage: "{text}"')
    return int(match[1])

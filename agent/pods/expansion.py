"""``$(VAR)`` in command, args and env values. Pure. The rules are Kubernetes' (third_party/forked/golang/expansion):

``$(NAME)`` of a known variable is its value, of an unknown one it stays as it is; ``$$`` is a literal ``$``, so
``$$(NAME)`` is never expanded; what is expanded is not expanded again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_REFERENCE = re.compile(r"\$\$|\$\(([^)]*)\)", re.DOTALL)


class UnknownVariable(Exception):
    """A reference to a variable that is not set; the message names it, as the kubelet does."""


def expand_all(text: str, variables: Mapping[str, str]) -> str:
    """As ``expand``. Raises UnknownVariable where that would leave a reference as it is."""
    for match in _REFERENCE.finditer(text):
        if match[1] is not None and match[1] not in variables:
            raise UnknownVariable(f'missing value for "{match[1]}"')
    return expand(text, variables)


def expand(text: str, variables: Mapping[str, str]) -> str:
    """``text`` with its references replaced."""
    if "$" not in text:
        return text

    def value(match: re.Match[str]) -> str:
        name = match[1]
        if name is None:
            return "$"
        return variables.get(name, match[0])

    return _REFERENCE.sub(value, text)

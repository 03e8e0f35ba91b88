"""Compiling and evaluating CEL within limits: the one module that knows which library does it.

Owns the environment with Kubernetes' functions. An expression is checked when it is compiled (grammar, names,
functions, operators on literals); values are dynamic, so that a field's type is checked when it is evaluated. An
evaluation is bounded by the library's budget of 10,000 iterations, by ``Budget``, and by linear regular expressions.
Compiled programs are immutable; any thread. The library is loaded by the first expression: it takes 16 MB, which a
server without any need not have.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

from controlplane.apiserver.cel import optionals
from controlplane.apiserver.cel.macros import BadMacro, expanded
from controlplane.apiserver.protobuf.wire import TooMany

if TYPE_CHECKING:  # the library is loaded by the first expression
    from controlplane.apiserver.cel.functions import Functions

MAX_EXPRESSION = 16 << 10
"""Characters of an expression."""

MAX_WORK = 64 << 20
"""Characters that the loops of one expression may look at: how often they can run times the longest text."""

ITERATIONS = 10_000
"""Iterations of all loops of one evaluation: the library's own limit."""

_LOOP = re.compile(r"\.\s*(?:all|exists|exists_one|existsOne|map|filter)\s*\(")
_BOOL, _STRING, _DYN, _ERROR = "BOOL", "STRING", "DYN", "ERROR"


class CelError(Exception):
    """An expression that cannot be compiled, or an evaluation that failed; the message is the library's."""


class OutOfBudget(CelError):
    """There is no more time or work to spend."""


class Budget:
    """What all evaluations for one request may cost: ``evaluations`` of them, and ``seconds``."""

    def __init__(
        self, evaluations: int = 10_000, seconds: float = 1.0, clock: Callable[[], float] = time.thread_time
    ) -> None:
        self._left, self._clock = evaluations, clock
        self._until = clock() + seconds

    def spend(self) -> None:
        """One evaluation. Raises OutOfBudget."""
        self._left -= 1
        if self._left < 0 or self._clock() > self._until:
            raise OutOfBudget("validation failed due to running out of cost budget, no further validation rules will "
                              "be run")  # fmt: skip


class Program:
    """A compiled expression. ``result`` is the type's name: BOOL, STRING, INT, DYN where only a value tells."""

    def __init__(self, source: str, text: str, expression: Any) -> None:
        """``text`` is the source with its macros written out."""
        self.source = source
        self.result: str = expression.return_type().name()
        self._expression = expression
        self._loops = len(_LOOP.findall(text))

    @property
    def serialized(self) -> bytes:
        """The checked tree, as cel.expr.CheckedExpr in a google.protobuf.Any."""
        data: bytes = self._expression.serialize()
        return data

    def evaluate(self, variables: Mapping[str, Any], budget: Budget) -> Any:
        """The value, as Python has it. Raises CelError, OutOfBudget."""
        budget.spend()
        if self._loops:
            self._check_work(variables.values())
        try:
            found = self._expression.eval(data=variables)
        except RuntimeError as error:
            raise CelError(_message(error)) from error
        if found.type().name() == _ERROR:
            raise CelError(_message(found.plain_value()))
        return found.plain_value()

    def _check_work(self, values: Iterable[Any]) -> None:
        items, longest = 1, 1
        for value in values:
            count, text = _size(value)
            items, longest = items + count, max(longest, text)
        if min(ITERATIONS, items**self._loops) * longest > MAX_WORK:
            raise OutOfBudget("call cost exceeds limit")


def compiled(source: str, variables: Iterable[str], result: str = "", *, builds: bool = False) -> Program:
    """Compile an expression that may use ``variables``. ``result``: the type that it must have (BOOL, STRING,
    ``OBJECT``, ``PATCH``). With ``builds`` it may make objects and patches, as mutations do.

    Raises CelError.
    """
    if len(source) > MAX_EXPRESSION:
        raise CelError(f"the expression is longer than {MAX_EXPRESSION} characters")
    names = tuple(sorted(variables))
    try:
        text = expanded(source, builds=builds)
        program = Program(source, text, _environment(names, builds=builds).compile(text))
        found = program.result
        if builds:
            found = _environment(names, builds=True, checked=True).compile(text).return_type().name()
        if optionals.can_be_in(text):
            optionals.check(program.serialized, _functions(builds=builds).names)
    except RuntimeError as error:
        raise CelError(f"compilation failed: {_message(error)}") from error
    except (BadMacro, optionals.Misplaced, TooMany) as error:
        raise CelError(f"compilation failed: {error}") from error
    if result and found not in _TAKEN.get(result, (result, _DYN)):
        raise CelError(f"must evaluate to {_CALLED.get(result) or result.lower()}")
    return program


OBJECT, PATCH = "Object", "LIST<JSONPatch>"
"""Types that only mutations make."""

_TAKEN = {OBJECT: (OBJECT,), PATCH: (PATCH, "LIST<DYN>")}
"""What is taken for them; the list of anything is an empty one."""

_CALLED = {_BOOL: "a bool", OBJECT: "Object", PATCH: "list(JSONPatch)"}


@lru_cache(64)
def _environment(variables: tuple[str, ...], *, builds: bool, checked: bool = False) -> Any:
    from cel_expr_python import cel
    from cel_expr_python.ext import ext_bindings, ext_optional

    return cel.NewEnv(
        variables=dict.fromkeys(variables, cel.Type.DYN),
        functions=_functions(builds=builds, checked=checked).declared(),
        extensions=[ext_optional.ExtOptional(), ext_bindings.ExtBindings()],
    )


@cache
def _functions(*, builds: bool, checked: bool = False) -> Functions:
    from controlplane.apiserver.cel import building, library

    made = library.functions()
    if builds:
        building.declare(made, checked=checked)
    return made


_WORDS = (
    (re.compile(r'Key not found in map : "?([^"]*)"?'), r"no such key: \1"),
    (re.compile(r"No matching overloads found : "), "no such overload: "),
)
"""The library's words for what Kubernetes' users know by others."""
_CODES = re.compile(r"^(?:[A-Z_]+: )+|\s*\[[A-Z_]+\]$")


def _message(error: Any) -> str:
    """The library's text without its status codes and without the picture of where in the source it is."""
    text = _CODES.sub("", str(error).strip())
    for pattern, words in _WORDS:
        text = pattern.sub(words, text)
    return "; ".join(line.strip() for line in text.splitlines() if not line.startswith(" |")).strip()


def _size(value: Any) -> tuple[int, int]:
    """How many items a value has in all, and its longest text."""
    items, longest = 0, 1
    waiting = [value]
    while waiting:
        found = waiting.pop()
        if isinstance(found, str):
            longest = max(longest, len(found))
        elif isinstance(found, dict):
            items += len(found)
            waiting += found.values()
        elif isinstance(found, list):
            items += len(found)
            waiting += found
    return items, longest

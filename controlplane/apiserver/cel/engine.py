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
from collections.abc import Callable, Collection, Container, Iterable, Mapping
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

from controlplane.apiserver.cel import cost, optionals, spending
from controlplane.apiserver.cel.macros import BadMacro, expanded
from controlplane.apiserver.protobuf.wire import TooMany

if TYPE_CHECKING:  # the library is loaded by the first expression
    from controlplane.apiserver.cel.functions import Functions

MAX_EXPRESSION = 16 << 10
"""Characters of an expression."""

MAX_WORK = 64 << 20
"""Characters that the loops of one expression may look at: how often they can run times the longest text."""

MAX_VALUE = 64 << 20
"""Characters and items of what one evaluation may make (``cost``)."""

MAX_RESULT = 4 << 20
"""Characters and items of the result of an evaluation, which other expressions may build on."""

MAX_PASSED = 256 << 20
"""Characters and items of what the loops of one expression may hand to functions, where that is not their item."""

ITERATIONS = 10_000
"""Iterations of all loops of one evaluation: the library's own limit."""

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

    def __init__(self, source: str, expression: Any, ours: Container[str]) -> None:
        """``ours`` are the names of the functions that are not the library's."""
        self.source = source
        self.result: str = expression.return_type().name()
        self._expression = expression
        self._cost = cost.of(self.serialized, ours)
        self._longest = len(source)

    @property
    def serialized(self) -> bytes:
        """The checked tree, as cel.expr.CheckedExpr in a google.protobuf.Any."""
        data: bytes = self._expression.serialize()
        return data

    def evaluate(self, variables: Mapping[str, Any], budget: Budget) -> Any:
        """The value, as Python has it. Raises CelError, OutOfBudget."""
        budget.spend()
        if self._cost.loops or self._cost.values > 1:
            self._check_work(variables.values())
        spending.begin()
        try:
            found = self._expression.eval(data=variables)
        except RuntimeError as error:
            if spending.is_over():
                raise OutOfBudget("call cost exceeds limit") from error
            raise CelError(_message(error)) from error
        if spending.is_over():
            raise OutOfBudget("call cost exceeds limit")
        if found.type().name() == _ERROR:
            raise CelError(_message(found.plain_value()))
        value = found.plain_value()
        if isinstance(value, dict | list) and sum(_size(value)) > MAX_RESULT:
            raise OutOfBudget("the result is too large")
        return value

    def _check_work(self, given: Collection[Any]) -> None:
        items, longest = 1, self._longest
        for value in given:
            count, text = _size(value)
            items, longest = items + count, max(longest, text)
        cost = self._cost
        largest = max(items, longest)
        # The library copies the list that map and filter have gathered for each item, and keeps every copy.
        work = min(ITERATIONS, items**cost.loops) * cost.inside * (2 * largest if cost.joins else longest)
        if work > MAX_WORK or largest * cost.values > MAX_VALUE:
            raise OutOfBudget("call cost exceeds limit")
        if cost.passes and min(ITERATIONS, items**cost.loops) * sum(map(spending.weight, given)) > MAX_PASSED:
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
        ours = _functions(builds=builds).names
        program = Program(source, _environment(names, builds=builds).compile(text), ours)
        found = program.result
        if builds:
            found = _environment(names, builds=True, checked=True).compile(text).return_type().name()
        if optionals.can_be_in(text):
            optionals.check(program.serialized, ours)
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
    """How many items a value has in all, and its longest text, keys of maps included."""
    items, longest = 0, 1
    waiting = [value]
    while waiting:
        found = waiting.pop()
        if isinstance(found, str):
            longest = max(longest, len(found))
        elif isinstance(found, dict):
            items += len(found)
            waiting += found.values()
            waiting += found
        elif isinstance(found, list):
            items += len(found)
            waiting += found
    return items, longest

"""Macros of Kubernetes' CEL that the library does not have, written out in what it has.

Pure. What is written out:

- Loops of two variables (cel-go's ext/comprehensions.go), as loops over indices or keys that bind the value.
- ``format.named(…)`` and ``….validate(…)``, which answer an optional: functions of ours cannot make one
  (docs/decisions/0005), so they answer a map with one member or none, and an optional index of it stands behind.
- ``string(…)`` of an address or CIDR, which are maps here.
- ``Object.spec{…}`` and ``JSONPatch{…}`` of mutations (apiserver/pkg/cel/mutation), as calls of functions that get the
  fields as a map.

The names of what is written begin with two underscores. What is no expression is left as it is, for the library to
say what is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

ADDRESS_TEXT = "__address_text"
"""A function: the text of an address or CIDR."""

KEYS, ENTRIES, MERGED = "__keys", "__entries", "__merged"
"""Functions: numbers below a size; a map of pairs; a map of maps."""

OBJECT, PART, PATCH, TEXT = "__object", "__part", "__patch", "__text"
"""Functions: an Object, one that is a field of an Object, an operation of a JSON patch, a text of such."""

_LITERAL = re.compile(r"""[rRbB]{0,2}("{3}|'{3}|"|')""")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?[A-Za-z0-9_]*")
_SPACE = re.compile(r"\s+")
_ADDRESSES = re.compile(r"\bip\b|\bcidr\b|\bvariables\b")
"""What an address may come from; elsewhere string() stays the library's, which knows more when it compiles."""

_CLOSES = {")": "(", "]": "[", "}": "{"}
_WORTH = re.compile(r"\b(?:validate\b|named\b|all\b|exists|transform|Object\b|JSONPatch\b|string\b)")
"""A word that a macro begins with."""

_LOOPS = {
    "all": ((3,), "all"), "exists": ((3,), "exists"), "existsOne": ((3,), "exists_one"),
    "exists_one": ((3,), "exists_one"), "transformList": ((3, 4), "map"), "transformMap": ((3, 4), "map"),
    "transformMapEntry": ((3, 4), "map"),
}  # fmt: skip
"""Of each loop: how many arguments it may have, and the loop of one variable that it becomes."""

_INDEX = {"validate": '[?"errors"]', "named": '[?"format"]'}
_PATCH_FIELDS = ("op", "path", "from", "value")


class BadMacro(ValueError):
    """A macro that is used in a way that it cannot be; the message says how."""


@dataclass(slots=True)
class _Group:
    """What stands between brackets: its pieces, apart where commas are. ``name`` is that of the method or type before
    them, ``start`` where in the pieces outside it begins."""

    opened: str
    name: str = ""
    start: int = 0
    parts: list[list[str]] = field(default_factory=lambda: [[]])

    @property
    def texts(self) -> list[str]:
        return ["".join(pieces) for pieces in self.parts]


def expanded(source: str, *, builds: bool = False) -> str:
    """``source`` with its macros written out; with ``builds`` those of mutations too. Raises BadMacro."""
    if not _WORTH.search(source):
        return source
    addresses = _ADDRESSES.search(source) is not None
    groups = [_Group("")]
    for piece in _pieces(source):
        outside = groups[-1].parts[-1]
        if piece in "([{":
            name, start = _before(outside, piece, builds=builds)
            groups.append(_Group(piece, name, start))
        elif piece in _CLOSES:
            group = groups.pop()
            if group.opened != _CLOSES[piece]:
                return source
            _close(group, groups[-1].parts[-1], len(groups), addresses=addresses)
        elif piece == "," and groups[-1].opened:
            groups[-1].parts.append([])
        else:
            outside.append(piece)
    return "".join(groups[0].parts[0]) if len(groups) == 1 else source


def _pieces(source: str) -> Iterator[str]:
    """Names, numbers, literals, and every other character by itself; without spaces and comments, but one space where
    there were some."""
    at = 0
    while at < len(source):
        if source.startswith("//", at):
            end = source.find("\n", at)
            at = len(source) if end < 0 else end
            continue
        if (found := _SPACE.match(source, at)) is not None:
            at = found.end()
            yield " "
            continue
        if (found := _LITERAL.match(source, at)) is not None:
            end = _literal_end(source, found.end(), found[1], raw="r" in found[0].lower())
        else:
            found = _NAME.match(source, at) or _NUMBER.match(source, at)
            end = at + 1 if found is None else found.end()
        yield source[at:end]
        at = end


def _literal_end(source: str, at: int, quote: str, *, raw: bool) -> int:
    while at < len(source) and not source.startswith(quote, at):
        at += 2 if source[at] == "\\" and not raw else 1
    return min(len(source), at + len(quote))


def _before(pieces: Sequence[str], opening: str, *, builds: bool) -> tuple[str, int]:
    """The name of the method or type that an opening bracket belongs to, and where it begins."""
    last = _significant(pieces, len(pieces))
    if last < 0 or not _NAME.fullmatch(pieces[last]):
        return "", 0
    if opening == "(":
        dot = _significant(pieces, last)
        return (pieces[last], dot) if dot >= 0 and pieces[dot] == "." else ("", 0)
    if opening == "{" and builds:
        chain, start = [pieces[last]], last
        while (dot := _significant(pieces, start)) >= 0 and pieces[dot] == ".":
            start = _significant(pieces, dot)
            if start < 0 or not _NAME.fullmatch(pieces[start]):
                return "", 0
            chain.insert(0, pieces[start])
        return ".".join(chain), start
    return "", 0


def _significant(pieces: Sequence[str], end: int) -> int:
    """The last piece before ``end`` that is no space; -1 where there is none."""
    end -= 1
    while end >= 0 and pieces[end] == " ":
        end -= 1
    return end


def _close(group: _Group, outside: list[str], depth: int, *, addresses: bool) -> None:
    """Put a group, written out, behind the pieces outside it."""
    texts = group.texts
    if group.opened == "{" and group.name:
        made = _construction(group.name, texts)
        if made:
            del outside[group.start :]
            outside.append(made)
            return
    if addresses and len(texts) == 1 and group.opened == "(" and _is_global(outside, "string"):
        del outside[_significant(outside, len(outside)) :]
        shown = f"__shown{depth}"
        outside.append(f"cel.bind({shown},dyn({texts[0]}),type({shown})==map?{ADDRESS_TEXT}({shown}):string({shown}))")
        return
    counts, loop = _LOOPS.get(group.name, ((), "")) if group.opened == "(" else ((), "")
    if len(texts) in counts:
        _write_loop(group, loop, outside, depth)
        return
    text = f"{group.opened}{','.join(texts)}{next(key for key, value in _CLOSES.items() if value == group.opened)}"
    if group.opened == "(" and (group.name == "validate" or _is_named_format(group, outside)):
        text += _INDEX[group.name]
    outside.append(text)


def _is_named_format(group: _Group, outside: Sequence[str]) -> bool:
    return group.name == "named" and _is_global(outside[: group.start], "format")


def _is_global(pieces: Sequence[str], name: str) -> bool:
    """Whether the last piece is this name, of nothing before it."""
    last = _significant(pieces, len(pieces))
    before = _significant(pieces, last) if last >= 0 else -1
    return last >= 0 and pieces[last] == name and (before < 0 or pieces[before] != ".")


# --- loops of two variables


def _write_loop(group: _Group, loop: str, outside: list[str], depth: int) -> None:
    key, value, *bodies = (text.strip() for text in group.texts)
    for name in (key, value):
        if not _NAME.fullmatch(name):
            raise BadMacro(f"argument must be a simple name: {name}")
    if key == value:
        raise BadMacro(f"{group.name}: the two variables must have different names: {key}")
    start = _receiver(outside, group.start)
    of = "".join(outside[start : group.start])
    over, each = f"__over{depth}", f"__each{depth}"
    bodies = [f"cel.bind({key},{each},cel.bind({value},{over}[{each}],{body}))" for body in bodies]
    if group.name == "transformMap":
        bodies[-1] = f"[{each},{bodies[-1]}]"
    keys = f"dyn(type({over})==map?dyn({over}.map({each},{each})):dyn({KEYS}(size({over}))))"
    text = f"{keys}.{loop}({each},{','.join(bodies)})"
    if group.name == "transformMap":
        text = f"{ENTRIES}({text})"
    elif group.name == "transformMapEntry":
        text = f"{MERGED}({text})"
    del outside[start:]
    outside.append(f"cel.bind({over},dyn({of}),{text})")


def _receiver(pieces: Sequence[str], dot: int) -> int:
    """Where the expression begins of which the ``dot`` names a method."""
    start = dot
    while True:
        operand = _significant(pieces, start)
        if operand < 0 or not _is_operand(pieces[operand]):
            return start
        start = operand
        before = _significant(pieces, start)
        if before < 0:
            return start
        if pieces[before] == "?" and (ahead := _significant(pieces, before)) >= 0 and pieces[ahead] == ".":
            start = ahead
        elif pieces[before] == ".":
            start = before
        elif pieces[start][0] not in "([{" or not _is_operand(pieces[before]):
            return start  # only what is in brackets can stand right behind an operand


def _is_operand(piece: str) -> bool:
    return piece != "in" and (piece[0] in "([{\"'`_" or piece[0].isalnum())


# --- objects and patches


def _construction(name: str, texts: Sequence[str]) -> str:
    """The call that makes an Object or a JSONPatch; empty for a type that is none of ours."""
    root = name.partition(".")[0]
    if root not in ("Object", "JSONPatch") or (root == "JSONPatch" and name != root):
        return ""
    if len(texts) > 1 and not texts[-1].strip():
        texts = texts[:-1]  # a comma after the last one
    fields = "" if len(texts) == 1 and not texts[0].strip() else ",".join(_entry(name, text) for text in texts)
    if root == "JSONPatch":
        return f"{PATCH}({{{fields}}})"
    return f'{OBJECT if name == root else PART}("{name}",{{{fields}}})'


_ENTRY = re.compile(r"\s*(\??)\s*([A-Za-z_][A-Za-z0-9_]*)\s*:(.*)", re.DOTALL)


def _entry(name: str, text: str) -> str:
    found = _ENTRY.fullmatch(text)
    if found is None:
        raise BadMacro(f"{name}{{}} takes fields as `name: value`, not {text.strip()!r}")
    optional, key, value = found.groups()
    if name == "JSONPatch":
        if key not in _PATCH_FIELDS:
            raise BadMacro(f"undefined field '{key}' of JSONPatch")
        if key != "value" and not optional:
            value = f"{TEXT}({value})"
    return f'{optional}"{key}":{value}'

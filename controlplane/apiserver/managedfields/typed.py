"""Objects seen through their shape: which paths they have, in what two differ, how one is merged into another.

After sigs.k8s.io/structured-merge-diff/typed (tofieldset.go, compare.go, merge.go, remove.go). A value without a
known shape is deduced: objects are granular, lists atomic. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from controlplane.apiserver.managedfields.fieldset import LEAF, SELF, Set, is_member
from controlplane.apiserver.shapes import ANYTHING, ListOf, MapOf, Shape, Struct
from shared import codec
from shared.api.errors import BadRequest
from shared.api.meta import JSON


def fields_of(value: JSON, shape: Shape, *, added: bool = False) -> Set:
    """Every path that an object has: its leaves, and the items of maps and of lists with keys; with ``added`` also the
    maps and lists themselves, as an update owns them that brings them."""
    return _fields(value, shape, added=added) or {}


def _fields(value: Any, shape: Shape, *, added: bool) -> Set | None:
    """The node of a value, its own path left out where it is a granular one; None when there is nothing in it."""
    if isinstance(value, dict) and not _atomic_map(shape):
        if not value:
            return LEAF
        out: Set = {}
        if isinstance(shape, Struct):
            for key, item in value.items():
                field = shape.fields.get(key)
                below = _fields(item, field.shape if field else ANYTHING, added=added)
                if field is None:
                    below = _item(below)
                if below is not None:
                    out[f"f:{key}"] = below
            return out or None
        inner = shape.value if isinstance(shape, MapOf) else ANYTHING
        for key, item in value.items():
            out[f"f:{key}"] = _item(_fields(item, inner, added=added))
        return _item(out) if added else out
    if isinstance(value, list) and isinstance(shape, ListOf) and shape.associative:
        out = {}
        for element, items in by_element(value, shape).items():
            below = _fields(items[0], shape.item, added=added) if len(items) == 1 else LEAF
            out[element] = _item(below)
        return _item(out) if added else out or None
    return LEAF


def _item(below: Set | None) -> Set:
    """The node of something that is a path of its own, such as an item of a list."""
    return {SELF: LEAF, **below} if below else LEAF


def by_element(value: Sequence[Any], shape: ListOf) -> Mapping[str, list[Any]]:
    """The items of a list that has keys or is a set, by their path elements, in order."""
    found: dict[str, list[Any]] = {}
    for item in value:
        found.setdefault(element_of(item, shape), []).append(item)
    return found


def element_of(item: Any, shape: ListOf) -> str:
    if not shape.keys:
        return f"v:{codec.encode(item).decode()}"
    keys = {}
    for key, default in shape.keys:
        named = item.get(key, default) if isinstance(item, dict) else None
        if named is not None:
            keys[key] = named
    return f"k:{codec.encode(keys).decode()}"


def check_applied(value: Any, shape: Shape, path: str = "") -> None:
    """Refuse lists whose items cannot be told apart, which no manager could own. Raises BadRequest."""
    if isinstance(value, dict) and not _atomic_map(shape):
        for key, item in value.items():
            check_applied(item, _inner(shape, key), f"{path}.{key}")
    elif isinstance(value, list) and isinstance(shape, ListOf) and shape.associative:
        for index, item in enumerate(value):
            for key, default in shape.keys:
                if default is None and (not isinstance(item, dict) or item.get(key) is None):
                    raise BadRequest(
                        f"{path}: element {index}: associative list with keys has an element that omits key field "
                        f'"{key}" (and doesn\'t have default value)'
                    )
        for element, items in by_element(value, shape).items():
            if len(items) > 1:
                raise BadRequest(f"{path}: duplicate entries for key {element[2:]}")
            check_applied(items[0], shape.item, f"{path}[{element[2:]}]")


def compare(old: JSON, new: JSON, shape: Shape) -> tuple[Set, Set]:
    """What ``new`` has lost, and what it has gained or has otherwise."""
    removed: Set = {}
    changed: Set = {}
    _compare(old, new, shape, removed, changed)
    return removed, changed


def _compare(old: Any, new: Any, shape: Shape, removed: Set, changed: Set) -> bool:
    """Fill in the differences below a path. False when the two are leaves, which then differ themselves."""
    if isinstance(old, dict) and isinstance(new, dict) and (old or new) and not _atomic_map(shape):
        _pairs({f"f:{key}": (item, _inner(shape, key), _is_item(shape, key)) for key, item in old.items()},
               {f"f:{key}": (item, _inner(shape, key), _is_item(shape, key)) for key, item in new.items()},
               removed, changed)  # fmt: skip
        return True
    if isinstance(old, list) and isinstance(new, list) and isinstance(shape, ListOf) and shape.associative:
        _pairs({element: (_one(items), shape.item, True) for element, items in by_element(old, shape).items()},
               {element: (_one(items), shape.item, True) for element, items in by_element(new, shape).items()},
               removed, changed)  # fmt: skip
        return True
    return False


def _one(items: list[Any]) -> Any:
    return items[0] if len(items) == 1 else items


Part = tuple[Any, Shape, bool]
"""A value below a path, its shape, and whether its path is an item of a map or list."""


def _pairs(old: Mapping[str, Part], new: Mapping[str, Part], removed: Set, changed: Set) -> None:
    for element, part in old.items():
        if element not in new:
            _whole(removed, element, part)
            continue
        before, (after, shape, _) = part[0], new[element]
        if before == after:
            continue
        lost: Set = {}
        gained: Set = {}
        if not _compare(before, after, shape, lost, gained):
            changed[element] = LEAF
            continue
        if lost:
            removed[element] = lost
        if gained:
            changed[element] = gained
    for element, part in new.items():
        if element not in old:
            _whole(changed, element, part)


def _whole(into: Set, element: str, part: Part) -> None:
    value, shape, is_item = part
    found = _fields(value, shape, added=True)
    if is_item:
        found = _item(found)
    if found is not None:
        into[element] = found


def merge(live: Any, applied: Any, shape: Shape) -> Any:
    """``live`` with every field of ``applied`` set, as a tree of its own."""
    if isinstance(live, dict) and isinstance(applied, dict) and not _atomic_map(shape):
        out = {}
        for key, item in live.items():
            out[key] = merge(item, applied[key], _inner(shape, key)) if key in applied else _own(item)
        for key, item in applied.items():
            if key not in live:
                out[key] = _own(item)
        return out
    if isinstance(live, list) and isinstance(applied, list) and isinstance(shape, ListOf) and shape.associative:
        return _merge_lists(live, applied, shape)
    return _own(applied)


def _merge_lists(live: list[Any], applied: list[Any], shape: ListOf) -> list[Any]:
    """Items of both are in the order of ``applied``; the others of ``live`` keep their place between those."""
    wanted, have = by_element(applied, shape), by_element(live, shape)
    shared = [element for element in wanted if element in have]
    out: list[Any] = []
    done: set[str] = set()
    rest = list(wanted)

    def take(element: str) -> None:
        new = wanted[element][0]
        old = have.get(element, [])
        out.append(merge(old[0], new, shape.item) if len(old) == 1 else _own(new))
        done.add(element)

    for item in live:
        element = element_of(item, shape)
        if element not in wanted:
            out.append(_own(item))
        elif element not in done and shared and element == shared[0]:
            while rest and rest[0] != element:
                take(rest.pop(0))
            take(rest.pop(0))
            shared.pop(0)
        # an item of both whose turn has not come waits for the order of what is applied
    for element in rest:
        take(element)
    return out


def remove(value: Any, items: Set, shape: Shape) -> Any:
    """``value`` without the paths in ``items``, as a tree that shares what is left with it."""
    if isinstance(value, dict) and not _atomic_map(shape):
        out = {}
        for key, item in value.items():
            gone = items.get(f"f:{key}")
            if gone is None:
                out[key] = item
            elif not is_member(gone):
                out[key] = remove(item, gone, _inner(shape, key))
        return out
    if isinstance(value, list) and isinstance(shape, ListOf) and shape.associative:
        kept = []
        for item in value:
            gone = items.get(element_of(item, shape))
            if gone is None:
                kept.append(item)
            elif not is_member(gone):
                kept.append(remove(item, gone, shape.item))
        return kept
    return value


def with_named(tree: Set, shape: Shape) -> Set:
    """The set with each named field on the way to a member in it too (Set.EnsureNamedFieldsAreMembers)."""
    out: Set = {}
    for element, below in tree.items():
        if element == SELF:
            continue
        inner = _inner(shape, element[2:]) if element.startswith("f:") else ANYTHING
        if isinstance(shape, ListOf):
            inner = shape.item
        deeper = with_named(below, inner) if below else LEAF
        named = isinstance(shape, Struct) and element.startswith("f:") and element[2:] in shape.fields
        out[element] = _item(deeper) if named or is_member(below) else deeper
    return out


def _inner(shape: Shape, key: str) -> Shape:
    if isinstance(shape, Struct):
        field = shape.fields.get(key)
        return field.shape if field else ANYTHING
    return shape.value if isinstance(shape, MapOf) else ANYTHING


def _is_item(shape: Shape, key: str) -> bool:
    """Whether a member of an object is an item of a map, not a named field."""
    return not (isinstance(shape, Struct) and key in shape.fields)


def _atomic_map(shape: Shape) -> bool:
    return isinstance(shape, Struct | MapOf) and shape.atomic


def _own(value: Any) -> Any:
    return codec.copy(value) if isinstance(value, dict | list) else value

"""Strategic merge patch: a merge patch that knows which lists are keyed, and has directives.

Changes and returns its first argument, and takes over parts of the second: give it copies. Merge keys and strategies
come from the schema (``Struct.fields``). The rules, the order of elements included, are those of
k8s.io/apimachinery/pkg/util/strategicpatch: items that only the server has keep their place relative to the items of
the patch that it has too; items new in the patch come first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from controlplane.apiserver.patching.json_patch import same
from controlplane.apiserver.shapes import ANYTHING, Field, ListOf, MapOf, Shape, Struct
from shared.api.errors import BadRequest
from shared.api.meta import JSON

PATCH, RETAIN_KEYS = "$patch", "$retainKeys"
DELETE_FROM, SET_ORDER = "$deleteFromPrimitiveList/", "$setElementOrder/"


def strategic_merge(original: JSON, patch: JSON, shape: Shape) -> JSON:
    """``original`` with ``patch`` merged in. Raises BadRequest on a directive that makes no sense."""
    directive = patch.pop(PATCH, None)
    if directive == "replace":
        replaced: JSON = _without_directives(patch)
        return replaced
    if directive == "delete":
        return {}
    if directive not in (None, "merge"):
        raise BadRequest(f"unknown patch type: {directive} in map: {patch}")
    _retain_keys(original, patch)
    _ordered_lists(original, patch, shape)
    for key, value in patch.items():
        if key.startswith(DELETE_FROM):
            _delete_values(original, key.removeprefix(DELETE_FROM), value)
        elif value is None:
            original.pop(key, None)
        elif isinstance(value, dict) and isinstance(original.get(key), dict):
            field = _field(shape, key)
            whole = "replace" in field.strategies
            original[key] = value if whole else strategic_merge(original[key], value, field.shape)
        elif isinstance(value, list) and isinstance(original.get(key), list):
            original[key] = _merge_list(original[key], value, _field(shape, key), key)
        elif not _is_deletion(value):
            original[key] = _without_directives(value)
    return original


def _field(shape: Shape, key: str) -> Field:
    if isinstance(shape, Struct):
        return shape.fields.get(key) or Field(ANYTHING)
    return Field(shape.value if isinstance(shape, MapOf) else ANYTHING)


def _retain_keys(original: JSON, patch: JSON) -> None:
    """``$retainKeys`` lists the only keys that stay."""
    if RETAIN_KEYS not in patch:
        return
    listed = patch.pop(RETAIN_KEYS)
    if not isinstance(listed, list):
        raise BadRequest("invalid patch format of retainKeys")
    for key, value in patch.items():
        if value is not None and not key.startswith("$") and key not in listed:
            raise BadRequest("invalid patch format of retainKeys")
    for key in [key for key in original if key not in listed]:
        del original[key]


def _ordered_lists(original: JSON, patch: JSON, shape: Shape) -> None:
    """Merge each list that has a ``$setElementOrder``, put it in that order, and take both out of the patch."""
    for directive in [key for key in patch if key.startswith(SET_ORDER)]:
        key = directive.removeprefix(SET_ORDER)
        order, given = patch.pop(directive), patch.get(key)
        field = _field(shape, key)
        if not isinstance(order, list) or not isinstance(given or [], list):
            raise BadRequest("invalid patch format of setElementOrder list")
        _check_order(given or [], order, field.merge_key)
        server = original.get(key)
        if key in patch and given is None:
            continue  # null removes the list, in whatever order
        if not isinstance(server, list):
            if given is None:
                continue
            server, merged = [], _without_directives(given)
        elif given is None:
            merged = list(server)
        else:
            merged = _merge_list(list(server), given, field, key)
        original[key] = _reorder(merged, order, server, _identity(field.merge_key))
        patch.pop(key, None)


def _check_order(given: list[Any], order: list[Any], merge_key: str) -> None:
    identity = _identity(merge_key)
    wanted = [identity(item) for item in order]
    position = 0
    for item in given:
        if isinstance(item, dict) and item.get(PATCH) is not None:
            continue
        key = identity(item)
        if key not in wanted[position:]:
            raise BadRequest(f"The order in patch list:\n{given}\n doesn't match $setElementOrder list:\n{order}\n")
        position = wanted.index(key, position)


def _merge_list(server: list[Any], patch: list[Any], field: Field, key: str) -> list[Any]:
    if "merge" not in field.strategies:
        items: list[Any] = _without_directives(patch)
        return items
    if not all(isinstance(item, dict) for item in (*server, *patch)):
        if any(isinstance(item, dict | list) for item in (*server, *patch)):
            raise BadRequest(f"cannot merge lists of different element types at {key}")
        merged = _unique([*server, *patch])
        return _reorder(merged, patch, server, _identity(""))
    if not field.merge_key:
        raise BadRequest(f"cannot merge lists without merge key for {key}")
    server, patch = _list_directives(server, patch, field.merge_key)
    return _merge_keyed(server, patch, field)


def _list_directives(server: list[Any], patch: list[Any], merge_key: str) -> tuple[list[Any], list[Any]]:
    """Act on the elements that are directives; what is left of either list."""
    plain: list[Any] = []
    replace = False
    for item in patch:
        directive = item.get(PATCH)
        if directive is None:
            plain.append(item)
        elif directive == "delete":
            gone = _key_of(item, merge_key)
            server = [have for have in server if not same(have.get(merge_key), gone)]
        elif directive == "replace":
            replace = True
        else:
            raise BadRequest(f"unknown patch type: {directive} in list")
    return (_without_directives(plain), []) if replace else (server, plain)


def _merge_keyed(server: list[Any], patch: list[Any], field: Field) -> list[Any]:
    item_shape = field.shape.item if isinstance(field.shape, ListOf) else ANYTHING
    before = list(server)
    merged = list(server)
    for item in patch:
        key = _key_of(item, field.merge_key)
        place = next((i for i, have in enumerate(merged) if same(have.get(field.merge_key), key)), None)
        if place is None:
            merged.append(_without_directives(item))
        else:
            merged[place] = strategic_merge(merged[place], dict(item), item_shape)
    return _reorder(merged, patch, before, _identity(field.merge_key))


def _key_of(item: JSON, merge_key: str) -> Any:
    if item.get(merge_key) is None:
        raise BadRequest(f"map: {item} does not contain declared merge key: {merge_key}")
    return item[merge_key]


def _delete_values(original: JSON, key: str, values: Any) -> None:
    if not isinstance(values, list):
        raise BadRequest("invalid patch format of primitive list")
    if isinstance(original.get(key), list):
        original[key] = [item for item in original[key] if not any(same(item, value) for value in values)]


def _identity(merge_key: str) -> Callable[[Any], Any]:
    """What two elements have in common that are the same: the merge key's value, or themselves."""

    def identity(item: Any) -> Any:
        value = item.get(merge_key) if merge_key and isinstance(item, dict) else item
        return (type(value).__name__, value)

    return identity


def _reorder(merged: list[Any], patch: list[Any], server: list[Any], identity: Callable[[Any], Any]) -> list[Any]:
    """Items of the patch in its order, the others of the server put in between by the server's own order."""
    wanted = _positions(patch, identity)
    served = _positions(server, identity)
    ours = sorted(
        (item for item in merged if _place(wanted, identity(item)) >= 0),
        key=lambda item: _place(wanted, identity(item)),
    )
    theirs = [item for item in merged if _place(wanted, identity(item)) < 0]
    result: list[Any] = []
    while ours and theirs:
        left, right = _place(served, identity(theirs[0])), _place(served, identity(ours[0]))
        result.append((theirs if 0 <= left < right else ours).pop(0))
    return [*result, *ours, *theirs]


def _positions(items: Iterable[Any], identity: Callable[[Any], Any]) -> list[Any]:
    return [identity(item) for item in items]


def _place(positions: list[Any], key: Any) -> int:
    return positions.index(key) if key in positions else -1


def _unique(items: Iterable[Any]) -> list[Any]:
    kept: list[Any] = []
    for item in items:
        if not any(same(item, have) for have in kept):
            kept.append(item)
    return kept


def _is_deletion(value: Any) -> bool:
    return isinstance(value, dict) and value.get(PATCH) == "delete"


def _without_directives(value: Any) -> Any:
    """A value that is new to the document: its directives have nothing to act on, nor have its nulls."""
    if isinstance(value, dict):
        return {
            key: _without_directives(item)
            for key, item in value.items()
            if item is not None and not _is_directive(key) and not _is_deletion(item)
        }
    if isinstance(value, list):
        return [
            _without_directives(item)
            for item in value
            if not (isinstance(item, dict) and item.get(PATCH) in ("delete", "replace"))
        ]
    return value


def _is_directive(key: str) -> bool:
    return key in (PATCH, RETAIN_KEYS) or key.startswith((DELETE_FROM, SET_ORDER))

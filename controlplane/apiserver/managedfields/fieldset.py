"""Sets of field paths, in the very form of ``fieldsV1``: a tree of dicts keyed by path elements.

A path element is ``f:<field>``, ``k:<JSON of the keys>``, ``v:<JSON value>`` or ``i:<index>``. A node says that its own
path is in the set by a member ``.``, or by being empty; the root is no path, so an empty root is the empty set. (From
k8s.io/apimachinery's FieldsV1 and sigs.k8s.io/structured-merge-diff/fieldpath/serialize.go.) Nodes are shared between
sets and never changed once made.
"""

from __future__ import annotations

from collections.abc import Iterator

from shared import codec
from shared.api.errors import BadRequest
from shared.api.meta import JSON

Set = JSON
SELF = "."
LEAF: Set = {}
_KINDS = ("f:", "k:", "v:", "i:")


def is_member(node: Set) -> bool:
    """Whether the path of a node below the root is itself in the set."""
    return not node or SELF in node


def node(member: bool, children: Set) -> Set | None:
    """A node below the root; None for nothing at all. Takes over ``children``."""
    if member:
        return {SELF: LEAF, **children} if children else LEAF
    return children or None


def union(a: Set, b: Set) -> Set:
    """What is in either."""
    if not a or not b:
        return a or b
    out = dict(a)
    for key, theirs in b.items():
        ours = out.get(key)
        if ours is None:
            out[key] = theirs
        elif key != SELF and ours is not theirs:
            both = union(ours, theirs)
            if (not ours or not theirs) and both:
                both = {SELF: LEAF, **both}  # one was a leaf, hence a member
            out[key] = both
    return out


def difference(a: Set, b: Set) -> Set:
    """What is in ``a`` and not in ``b``; paths below a member of ``b`` stay."""
    if not a or not b:
        return a
    out: Set = {}
    for key, ours in a.items():
        if key == SELF:
            continue
        theirs = b.get(key)
        kept = ours if theirs is None else node(
            is_member(ours) and not is_member(theirs), _below(difference(ours, theirs))
        )  # fmt: skip
        if kept is not None:
            out[key] = kept
    return out


def intersection(a: Set, b: Set) -> Set:
    """What is in both."""
    out: Set = {}
    for key, ours in a.items():
        theirs = b.get(key)
        if key == SELF or theirs is None:
            continue
        kept = node(is_member(ours) and is_member(theirs), intersection(ours, theirs))
        if kept is not None:
            out[key] = kept
    return out


def _below(tree: Set) -> Set:
    return {key: value for key, value in tree.items() if key != SELF} if SELF in tree else tree


def paths(tree: Set, prefix: str = "") -> Iterator[str]:
    """Every path of the set as a person reads it: ``.spec.containers[name="c"].image``."""
    for key in sorted(key for key in tree if key != SELF):
        path = prefix + readable(key)
        if is_member(tree[key]):
            yield path
        yield from paths(tree[key], path)


def readable(element: str) -> str:
    """One path element in Kubernetes' notation (fieldpath.PathElement.String)."""
    kind, text = element[:2], element[2:]
    if kind == "f:":
        return f".{text}"
    if kind == "k:":
        keys: JSON = codec.decode(text)
        return "[" + ",".join(f"{name}={codec.encode(value).decode()}" for name, value in sorted(keys.items())) + "]"
    return f"[={text}]" if kind == "v:" else f"[{text}]"


def check(tree: object, where: str) -> Set:
    """A set that came from a client. Raises BadRequest when it is none."""
    if not isinstance(tree, dict):
        raise BadRequest(f"{where}: must be an object")
    for key, value in tree.items():
        if key != SELF and key[:2] not in _KINDS:
            raise BadRequest(f"{where}: {key!r} is no path element")
        check(value, where)
    return tree

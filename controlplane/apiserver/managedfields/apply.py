"""Server-side apply: a manager's whole intent merged into an object, with conflicts, and removal of what it drops.

After structured-merge-diff/merge/update.go and https://kubernetes.io/docs/reference/using-api/server-side-apply/.
Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby

from controlplane.apiserver.managedfields.fieldset import Set, difference, intersection, paths, union
from controlplane.apiserver.managedfields.managers import UPDATE, Entry, Identity, own_of, owned, with_changes
from controlplane.apiserver.managedfields.typed import check_applied, compare, fields_of, merge, remove, with_named
from controlplane.apiserver.shapes import Shape
from shared import codec
from shared.api.errors import BadRequest, Cause, Conflict
from shared.api.meta import JSON

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_KUBECTL = "kubectl"


def applied(
    live: JSON, intent: JSON, shape: Shape, entries: Sequence[Entry], who: Identity, now: str, *, force: bool
) -> tuple[JSON, list[Entry]]:
    """The object with ``intent`` in it, and the entries then.

    Raises Conflict (FieldManagerConflict) when it would change what others own and ``force`` is not given, and
    BadRequest when its lists have items that cannot be told apart.
    """
    check_applied(intent, shape)
    before = next((entry for entry in entries if entry.who.key == who.key), None)
    mine = Entry(who, own_of(intent, shape), before.time if before else now)
    others = [entry for entry in entries if entry.who.key != who.key]
    new = merge(live, intent, shape)
    if before is not None:
        new = _without_dropped(new, before.fields, [*others, mine], shape)
    removed, changed = compare(live, new, shape)
    changed = owned(changed)
    if not force:
        conflicts = _conflicts(others, changed)
        if conflicts and who.manager == _KUBECTL:
            conflicts = _conflicts(others, difference(changed, _from_last_applied(live, shape)))
        if conflicts:
            raise _refusal(conflicts)
    after = with_changes(others, mine.who, removed, changed, now)
    # What is applied is owned, changed by it or not.
    kept = [entry for entry in after if entry.who.key != who.key]
    moved = before is None or before.fields != mine.fields or bool(removed or changed)
    return new, [*kept, Entry(who, mine.fields, now if moved else mine.time)] if mine.fields else kept


def _without_dropped(merged: JSON, last: Set, managers: Iterable[Entry], shape: Shape) -> JSON:
    """``merged`` without what this manager applied last time and nobody owns any longer (Updater.prune)."""
    last = with_named(last, shape)
    everything = with_named(fields_of(merged, shape), shape)
    left = with_named(fields_of(remove(merged, last, shape), shape), shape)
    held: Set = {}
    for entry in managers:
        held = union(held, with_named(entry.fields, shape))
    gone = intersection(difference(everything, union(left, held)), last)
    pruned: JSON = remove(merged, gone, shape)
    return pruned


def _conflicts(others: Iterable[Entry], changed: Set) -> list[tuple[Identity, str, list[str]]]:
    """By manager: whose entry, the time of it, and the paths."""
    found = []
    for entry in others:
        taken = intersection(entry.fields, changed)
        if taken:
            found.append((entry.who, entry.time, list(paths(taken))))
    return found


def _from_last_applied(live: JSON, shape: Shape) -> Set:
    """What kubectl's client-side apply owned, by its annotation: kubectl may take that over (lastappliedmanager.go)."""
    text = ((live.get("metadata") or {}).get("annotations") or {}).get(LAST_APPLIED)
    if not text:
        return {}
    try:
        last = codec.decode(text)
    except codec.CodecError:
        return {}
    return fields_of(last, shape) if isinstance(last, dict) else {}


def _refusal(conflicts: Sequence[tuple[Identity, str, list[str]]]) -> Conflict:
    causes = [
        Cause("FieldManagerConflict", f"conflict with {_named(who, time)}", path)
        for who, time, listed in conflicts
        for path in listed
    ]
    if len(causes) == 1:
        message = f"Apply failed with 1 conflict: {causes[0].message}: {causes[0].field}"
    else:
        named = sorted((_named(who, time), listed) for who, time, listed in conflicts)
        lines = [
            line
            for name, group in groupby(named, key=lambda pair: pair[0])
            for line in (f"conflicts with {name}:", *(f"- {path}" for _, listed in group for path in listed))
        ]
        message = f"Apply failed with {len(causes)} conflicts: " + "\n".join(lines)
    return Conflict(message, causes=causes)


def _named(who: Identity, time: str) -> str:
    name = codec.encode(who.manager).decode()
    if who.subresource:
        name += f' with subresource "{who.subresource}"'
    if who.operation != UPDATE:
        return name
    return f"{name} using {who.api_version}" + (f" at {time}" if time else "")


def check_fields(unknown: Sequence[str], type_errors: Sequence[str], intent: Mapping[str, object]) -> None:
    """An intent must fit its schema to the last field, or its owner would be said to own nothing. Raises BadRequest."""
    if not unknown and not type_errors:
        return
    meta = intent.get("metadata")
    named = meta if isinstance(meta, dict) else {}
    name = "/".join(filter(None, (named.get("namespace"), named.get("name"))))
    group, _, version = str(intent.get("apiVersion")).rpartition("/")
    gvk = f"{group}/{version}, Kind={intent.get('kind')}"
    wrong = [*type_errors, *(f".{path}: field not declared in schema" for path in unknown)]
    raise BadRequest(f"failed to create typed patch object ({name}; {gvk}): {'; '.join(wrong)}")

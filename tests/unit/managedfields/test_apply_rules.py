"""Server-side apply on trees: ownership, conflicts, removal, the order of lists."""

from __future__ import annotations

from typing import Any

import pytest

from controlplane.apiserver import schema
from controlplane.apiserver.kinds.deployment import DEPLOYMENT
from controlplane.apiserver.kinds.pod import POD
from controlplane.apiserver.kinds.service import SERVICE
from controlplane.apiserver.managedfields import managers
from controlplane.apiserver.managedfields.apply import LAST_APPLIED, applied
from controlplane.apiserver.managedfields.managers import APPLY, UPDATE, Entry, Identity
from shared import codec
from shared.api.errors import BadRequest, Conflict

POD_SHAPE, DEPLOYMENT_SHAPE, SERVICE_SHAPE = (schema.shape(kind) for kind in (POD, DEPLOYMENT, SERVICE))
NOW, LATER = "2026-05-04T12:00:00Z", "2026-05-04T12:01:00Z"


def by(manager: str, operation: str = APPLY, subresource: str = "") -> Identity:
    return Identity(manager, operation, "v1", subresource)


def pod(*containers: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"} | fields.pop("metadata", {}),
            "spec": {"containers": list(containers), **fields}}  # fmt: skip


def apply(live, intent, entries, who, *, shape=POD_SHAPE, force=False, now=NOW):
    return applied(live, intent, shape, entries, who, now, force=force)


def names(tree: dict[str, Any]) -> list[str]:
    return [container["name"] for container in tree["spec"]["containers"]]


def test_what_a_manager_no_longer_applies_goes() -> None:
    first, entries = apply({}, pod({"name": "a", "image": "i", "tty": True}, {"name": "b"}), [], by("one"))
    second, entries = apply(first, pod({"name": "a", "image": "i"}), entries, by("one"))
    assert second == pod({"name": "a", "image": "i"})
    assert entries[0].fields == {"f:spec": {"f:containers": {'k:{"name":"a"}': {".": {}, "f:name": {}, "f:image": {}}}}}


def test_what_another_manager_owns_too_stays() -> None:
    both = pod({"name": "a", "image": "i"}, metadata={"labels": {"x": "1", "y": "2"}})
    live, entries = apply({}, both, [], by("one"))
    live, entries = apply(live, pod({"name": "a"}, metadata={"labels": {"x": "1"}}), entries, by("two"))
    live, entries = apply(live, {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}}, entries, by("one"))
    assert live == pod({"name": "a"}, metadata={"labels": {"x": "1"}})
    assert [entry.who.manager for entry in entries] == ["two"]


def test_item_goes_with_what_an_update_has_added_below_it() -> None:
    live, entries = apply({}, pod({"name": "a", "image": "i"}, {"name": "b", "image": "i"}), [], by("one"))
    new = pod({"name": "a", "image": "i"}, {"name": "b", "image": "i", "tty": True})
    entries = managers.updated(live, new, POD_SHAPE, entries, by("edit", UPDATE), LATER)
    live, entries = apply(new, pod({"name": "a", "image": "i"}), entries, by("one"))
    assert names(live) == ["a"]  # only whoever brings an item owns it


def test_conflict_names_each_field_and_its_owner() -> None:
    live, entries = apply({}, pod({"name": "a", "image": "i"}), [], by("one"))
    changed = pod({"name": "a", "image": "j"})
    entries = managers.updated(live, changed, POD_SHAPE, entries, by("edit", UPDATE), LATER)
    with pytest.raises(Conflict) as refused:
        apply(changed, pod({"name": "a", "image": "k"}), entries, by("one"))
    path = '.spec.containers[name="a"].image'
    assert refused.value.message == f'Apply failed with 1 conflict: conflict with "edit" using v1 at {LATER}: {path}'
    assert [(cause.reason, cause.field) for cause in refused.value.causes] == [("FieldManagerConflict", path)]


def test_several_conflicts_are_listed_by_manager() -> None:
    live, entries = apply({}, pod({"name": "a", "image": "i", "tty": True}), [], by("one"))
    with pytest.raises(Conflict) as refused:
        apply(live, pod({"name": "a", "image": "j", "tty": False}), entries, by("two"))
    assert refused.value.message == (
        'Apply failed with 2 conflicts: conflicts with "one":\n'
        '- .spec.containers[name="a"].image\n- .spec.containers[name="a"].tty'
    )


def test_force_takes_fields_over_and_agreement_shares_them() -> None:
    live, entries = apply({}, pod({"name": "a", "image": "i", "tty": True}), [], by("one"))
    live, entries = apply(live, pod({"name": "a", "image": "j", "tty": True}), entries, by("two"), force=True)
    owned = {entry.who.manager: entry.fields["f:spec"]["f:containers"]['k:{"name":"a"}'] for entry in entries}
    assert "f:image" not in owned["one"]
    assert "f:image" in owned["two"]
    assert "f:tty" in owned["one"]
    assert "f:tty" in owned["two"]


@pytest.mark.parametrize(
    ("live", "applied_", "expected"),
    [
        ("abc", "ab", "abc"),
        ("abc", "ba", "bac"),
        ("abc", "xb", "axbc"),
        ("abc", "bx", "abcx"),
        ("abc", "cax", "cabx"),
        ("", "ba", "ba"),
    ],
)
def test_order_is_that_of_what_is_applied(live: str, applied_: str, expected: str) -> None:
    have, entries = pod(*({"name": name} for name in live)), [Entry(by("old", UPDATE), {}, NOW)]
    got, _ = apply(have, pod(*({"name": name} for name in applied_)), entries, by("one"))
    assert sorted(names(got)) == sorted(expected)
    mine = [name for name in names(got) if name in applied_]
    assert "".join(mine) == applied_


def test_atomic_values_are_owned_whole() -> None:
    live, entries = apply({}, pod(nodeSelector={"a": "1"}), [], by("one"))
    assert entries[0].fields["f:spec"]["f:nodeSelector"] == {}
    with pytest.raises(Conflict, match=r"\.spec\.nodeSelector"):
        apply(live, pod(nodeSelector={"b": "1"}), entries, by("two"))


def test_ports_are_told_apart_by_number_and_protocol() -> None:
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}}
    live = {**service, "spec": {"ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]}}
    intent = {**service, "spec": {"ports": [{"port": 53, "name": "dns"}]}}
    got, entries = apply(live, intent, [], by("one"), shape=SERVICE_SHAPE)
    assert got["spec"]["ports"][1] == {"port": 53, "protocol": "TCP", "name": "dns"}
    assert list(entries[0].fields["f:spec"]["f:ports"]) == ['k:{"port":53,"protocol":"TCP"}']


@pytest.mark.parametrize(
    ("containers", "message"),
    [
        ([{"image": "i"}], 'omits key field "name"'),
        ([{"name": "a"}, {"name": "a"}], "duplicate entries for key"),
    ],
    ids=["no key", "twice"],
)
def test_items_that_cannot_be_told_apart_are_refused(containers: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(BadRequest, match=message):
        apply({}, pod(*containers), [], by("one"))


def test_kubectl_may_take_over_what_its_client_side_apply_has_set() -> None:
    intent = pod({"name": "a", "image": "i"})
    live = pod({"name": "a", "image": "i"}, metadata={"annotations": {LAST_APPLIED: codec.encode(intent).decode()}})
    entries = managers.created(live, POD_SHAPE, by("kubectl-client-side-apply", UPDATE), NOW)
    new = pod({"name": "a", "image": "j"})
    assert apply(live, new, entries, by("kubectl"))[0]["spec"]["containers"][0]["image"] == "j"
    with pytest.raises(Conflict):
        apply(live, new, entries, by("somebody"))
    hosted = {**live, "spec": {**live["spec"], "hostname": "h"}}
    entries = managers.updated(live, hosted, POD_SHAPE, entries, by("edit", UPDATE), NOW)
    with pytest.raises(Conflict, match=r"\.spec\.hostname"):
        apply(hosted, pod({"name": "a"}, hostname="other"), entries, by("kubectl"))


def test_applying_the_same_again_changes_no_time() -> None:
    intent = pod({"name": "a", "image": "i"})
    live, entries = apply({}, intent, [], by("one"))
    again, same = apply(live, intent, entries, by("one"), now=LATER)
    assert (again, same) == (live, entries)


def test_update_takes_what_it_changes_from_everybody() -> None:
    live, entries = apply({}, pod({"name": "a", "image": "i"}, hostname="h"), [], by("one"))
    new = pod({"name": "a", "image": "j"})
    entries = managers.updated(live, new, POD_SHAPE, entries, by("edit", UPDATE), LATER)
    assert [(entry.who.manager, entry.fields) for entry in entries] == [
        ("one", {"f:spec": {"f:containers": {'k:{"name":"a"}': {".": {}, "f:name": {}}}}}),
        ("edit", {"f:spec": {"f:containers": {'k:{"name":"a"}': {"f:image": {}}}}}),
    ]


def test_creation_owns_maps_and_lists_themselves_but_not_the_systems_fields() -> None:
    made = pod({"name": "a"}, metadata={"labels": {"x": "1"}, "uid": "u", "creationTimestamp": NOW})
    (entry,) = managers.created(made, POD_SHAPE, by("kubectl-create", UPDATE), NOW)
    assert entry.fields == {
        "f:metadata": {"f:labels": {".": {}, "f:x": {}}},
        "f:spec": {"f:containers": {".": {}, 'k:{"name":"a"}': {".": {}, "f:name": {}}}},
    }


def test_old_updaters_are_put_together() -> None:
    live: dict[str, Any] = pod({"name": "a"})
    entries: list[Entry] = []
    for number in range(managers.MAX_UPDATERS + 3):
        new = {**live, "metadata": {**live["metadata"], "labels": {f"l{n}": "" for n in range(number + 1)}}}
        entries = managers.updated(
            live, new, POD_SHAPE, entries, by(f"m{number}", UPDATE), f"2026-05-04T12:00:{number:02}Z"
        )
        live = new
    assert len(entries) == managers.MAX_UPDATERS
    ancient = next(entry for entry in entries if entry.who.manager == "ancient-changes")
    assert set(ancient.fields["f:metadata"]["f:labels"]) == {".", "f:l0", "f:l1", "f:l2", "f:l3"}


def test_entries_are_read_back_as_they_were_written() -> None:
    _, entries = apply({}, pod({"name": "a"}), [], by("one"))
    entries.append(Entry(by("two", UPDATE, "status"), {"f:status": {}}, NOW))
    meta = {"managedFields": managers.write(entries)}
    assert managers.read(meta) == managers.stored(meta) == entries

"""What garbage collection decides about one object, and where its decisions lead for whole graphs."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane.controllers.garbage_graph import (
    FOREGROUND,
    ORPHAN,
    Graph,
    Item,
    Owner,
    Plan,
    View,
    decide,
    existing,
    owner_state,
    view_of,
)
from controlplane.controllers.writes import Delete, Patch
from shared.api.kinds import CONFIG_MAPS, NODES, PODS
from shared.api.meta import Object, ObjectMeta, OwnerReference

NOW = datetime(2026, 1, 1, tzinfo=UTC)
KINDS = {(r.group, r.kind): r for r in (PODS, NODES, CONFIG_MAPS)}


def ref(name: str, *, kind: str = "ConfigMap", block: bool = False, uid: str = "") -> OwnerReference:
    return OwnerReference(api_version="v1", kind=kind, name=name, uid=uid or name, block_owner_deletion=block)


def item(name: str, *owners: OwnerReference, finalizers=(), deleting: bool = False, resource=CONFIG_MAPS, ns="ns"):
    meta = ObjectMeta(
        name=name,
        namespace=ns if resource.namespaced else "",
        uid=name,
        resource_version="7",
        owner_references=owners,
        finalizers=tuple(finalizers),
        deletion_timestamp=NOW if deleting else None,
    )
    return Item(resource, Object(kind=resource.kind, metadata=meta))


def view(of: Item, *states: Owner, dependents=()) -> View:
    return View(of, tuple(zip(of.obj.metadata.owner_references, states, strict=True)), tuple(dependents))


def deletion(policy: str, name: str = "x") -> Delete:
    return Delete(CONFIG_MAPS, name, "ns", uid=name, resource_version="7", propagation_policy=policy)


A, B = ref("a", block=True), ref("b")
WAITS = item("w", finalizers=[FOREGROUND], deleting=True)


@pytest.mark.parametrize(
    ("given", "plan"),
    [
        pytest.param(view(item("x")), Plan(), id="no-owners"),
        pytest.param(view(item("x", A), Owner.SOLID), Plan(), id="owner-exists"),
        pytest.param(view(item("x", A), Owner.UNVERIFIED), Plan(verify=(A,)), id="ask-first"),
        pytest.param(view(item("x", A), Owner.ABSENT), Plan(writes=(deletion("Background"),)), id="owner-gone"),
        pytest.param(view(item("x", A, B), Owner.ABSENT, Owner.UNKNOWN), Plan(), id="one-kind-unknown"),
        pytest.param(view(item("x", A), Owner.INVALID), Plan(), id="namespaced-owner-of-cluster-scoped"),
        pytest.param(view(item("x", A, B), Owner.ABSENT, Owner.UNVERIFIED), Plan(verify=(B,)), id="ask-the-other"),
        pytest.param(view(item("x", A, deleting=True), Owner.ABSENT), Plan(), id="going-already"),
        pytest.param(
            view(item("x", A, finalizers=[ORPHAN]), Owner.ABSENT), Plan(writes=(deletion("Orphan"),)), id="keeps-orphan"
        ),
        pytest.param(
            view(item("x", A), Owner.WAITING), Plan(writes=(deletion("Background"),)), id="leaf-of-foreground"
        ),
        pytest.param(
            view(item("x", A), Owner.WAITING, dependents=[item("d", ref("x"))]),
            Plan(writes=(deletion("Foreground"),)),
            id="branch-of-foreground",
        ),
    ],
)
def test_decide(given, plan):
    assert decide(given) == plan


def test_references_to_owners_that_are_gone_are_taken_off_when_another_exists():
    (write,) = decide(view(item("x", A, B), Owner.ABSENT, Owner.SOLID)).writes
    assert write.patch == {"metadata": {"uid": "x", "ownerReferences": [{"$patch": "delete", "uid": "a"}]}}


def test_a_circle_of_foreground_deletions_stops_blocking():
    (write,) = decide(view(item("x", A), Owner.WAITING, dependents=[WAITS])).writes
    assert write.patch["metadata"]["ownerReferences"] == [{"uid": "a", "blockOwnerDeletion": False}]


@pytest.mark.parametrize(
    ("dependents", "finalizers"),
    [
        pytest.param([item("d", ref("x", block=True))], None, id="waits-for-a-blocking-dependent"),
        pytest.param([item("d", ref("x"))], ["keep"], id="does-not-wait-for-others"),
        pytest.param([], ["keep"], id="no-dependents"),
    ],
)
def test_foreground_deletion(dependents, finalizers):
    writes = decide(view(item("x", finalizers=[FOREGROUND, "keep"], deleting=True), dependents=dependents)).writes
    assert [w.patch["metadata"]["finalizers"] for w in writes] == ([finalizers] if finalizers else [])


def test_orphaning_lets_the_dependents_go_and_then_ends():
    dying = item("x", finalizers=[ORPHAN], deleting=True)
    (write,) = decide(view(dying, dependents=[item("d", ref("x"), A)])).writes
    assert (write.name, write.patch["metadata"]["ownerReferences"]) == ("d", [{"$patch": "delete", "uid": "x"}])
    (write,) = decide(view(dying)).writes
    assert write.patch["metadata"] == {"uid": "x", "resourceVersion": "7", "finalizers": None}


@pytest.mark.parametrize(
    ("dependent", "reference", "state"),
    [
        pytest.param(item("d"), ref("o"), Owner.SOLID, id="exists"),
        pytest.param(item("d"), ref("w"), Owner.WAITING, id="in-foreground-deletion"),
        pytest.param(item("d"), ref("gone"), Owner.UNVERIFIED, id="in-no-cache"),
        pytest.param(item("d"), ref("other-name", uid="o"), Owner.UNVERIFIED, id="uid-of-another-name"),
        pytest.param(item("d", ns="elsewhere"), ref("o"), Owner.UNVERIFIED, id="in-another-namespace"),
        pytest.param(item("d"), ref("o", kind="Pod"), Owner.UNVERIFIED, id="of-another-kind"),
        pytest.param(item("d"), ref("o", kind="Widget"), Owner.UNKNOWN, id="kind-not-served"),
        pytest.param(item("d", resource=NODES), ref("o"), Owner.INVALID, id="cluster-scoped-dependent"),
        pytest.param(item("d"), ref("n", kind="Node"), Owner.SOLID, id="cluster-scoped-owner"),
    ],
)
def test_owner_state(dependent, reference, state):
    graph = Graph()
    for known in (item("o"), WAITS, item("n", resource=NODES)):
        graph.put(known)
    assert owner_state(graph, KINDS, dependent, reference, {}) is state


# --- properties ----------------------------------------------------------------------------------------------

owner_lists = st.lists(
    st.tuples(st.sampled_from("abcd"), st.booleans(), st.sampled_from(Owner)), max_size=4, unique_by=lambda o: o[0]
)


@given(owner_lists, st.booleans(), st.lists(st.booleans(), max_size=2))
def test_only_an_object_all_of_whose_owners_are_known_to_be_gone_or_going_is_deleted(owners, deleting, waiting):
    dependents = [item(f"d{n}", ref("x"), finalizers=[FOREGROUND], deleting=w) for n, w in enumerate(waiting)]
    of = item("x", *(ref(name, block=block) for name, block, _ in owners), deleting=deleting)
    plan = decide(view(of, *(state for _, _, state in owners), dependents=dependents))
    if any(isinstance(write, Delete) for write in plan.writes):
        assert owners
        assert not deleting
        assert {state for _, _, state in owners} <= {Owner.ABSENT, Owner.WAITING}


@dataclass
class World:
    """The API server's part: objects by uid, and what patches and deletions do to them."""

    objects: dict[str, Item] = field(default_factory=dict)
    history: list[str] = field(default_factory=list)

    def write(self, write) -> None:
        if write.name not in self.objects:
            return
        meta = self.objects[write.name].obj.metadata
        owners, finalizers, deleting = meta.owner_references, meta.finalizers, meta.deletion_timestamp is not None
        if isinstance(write, Delete):
            add = {"Foreground": FOREGROUND, "Orphan": ORPHAN}.get(write.propagation_policy)
            finalizers = tuple(dict.fromkeys([*finalizers, *([add] if add else [])]))
            deleting = True
        elif isinstance(write, Patch):
            patch = write.patch["metadata"]
            if "finalizers" in patch:
                finalizers = tuple(patch["finalizers"] or ())
            for entry in patch.get("ownerReferences", ()):
                if "$patch" in entry:
                    owners = tuple(o for o in owners if o.uid != entry["uid"])
                else:
                    owners = tuple(ref(o.name) if o.uid == entry["uid"] else o for o in owners)
        if deleting and not finalizers:
            del self.objects[write.name]
            self.history.append(write.name)
        else:
            self.objects[write.name] = item(write.name, *owners, finalizers=finalizers, deleting=deleting)

    def step(self) -> bool:
        """Let every object be looked at once; whether anything was written."""
        wrote = False
        for uid in list(self.objects):
            if uid not in self.objects:
                continue
            graph, of = Graph(), self.objects[uid]
            for known in self.objects.values():
                graph.put(known)
            verified: dict[str, Owner] = {}
            for _ in range(2):
                owners = [(r, owner_state(graph, KINDS, of, r, verified)) for r in of.obj.metadata.owner_references]
                plan = decide(view_of(graph, of, owners))
                for reference in plan.verify:
                    found = self.objects.get(reference.uid)
                    verified[reference.uid] = existing(found) if found else Owner.ABSENT
            for write in plan.writes:
                wrote = True
                self.write(write)
        return wrote


names = [f"o{n}" for n in range(7)]
graphs = st.fixed_dictionaries(
    {
        name: st.lists(
            st.tuples(st.sampled_from([*names, "never-was"]), st.booleans()), max_size=3, unique_by=lambda o: o[0]
        )
        for name in names
    }
)
deletions = st.lists(
    st.tuples(st.sampled_from(names), st.sampled_from(["Background", "Foreground", "Orphan"])), max_size=4
)


@settings(deadline=None, max_examples=300)
@given(graphs, deletions)
def test_any_graph_comes_to_rest_with_nothing_lost_and_nothing_left_over(graph, deleted):
    world = World({n: item(n, *(ref(o, block=b) for o, b in owners)) for n, owners in graph.items()})
    for name, policy in deleted:
        world.write(deletion(policy, name))
    for _ in range(60):
        if not world.step():
            break
    else:
        pytest.fail(f"no rest: {world.objects}")
    for left in world.objects.values():
        assert not left.deleting, "a deletion that was begun is finished"
        for reference in left.obj.metadata.owner_references:
            assert reference.uid in world.objects, "no reference to an owner that is gone is left"
    for name in world.history:
        asked = name in {n for n, _ in deleted}
        assert asked or graph[name], f"{name} had no owner and nobody deleted it"


@settings(deadline=None)
@given(st.integers(1, 5), st.booleans())
def test_in_the_foreground_a_chain_ends_from_its_last_dependent_to_its_owner(length, block):
    chain = [item("o0"), *(item(f"o{n}", ref(f"o{n - 1}", block=True)) for n in range(1, length))]
    world = World({i.uid: i for i in chain})
    world.write(deletion("Foreground", "o0"))
    while world.step():
        pass
    assert world.history == [f"o{n}" for n in reversed(range(length))]

"""The cache that reflectors feed: handlers hear every change once, indexes are always true."""

from hypothesis import given
from hypothesis import strategies as st

from shared.api.kinds import PODS
from shared.api.meta import ObjectMeta
from shared.api.pod import Pod, PodSpec
from shared.client.cache import Cache


def pod(name: str, node: str, revision: int) -> Pod:
    return Pod(
        metadata=ObjectMeta(name=name, namespace="ns", resource_version=str(revision)), spec=PodSpec(node_name=node)
    )


def by_node(obj: Pod) -> tuple[str, ...]:
    return (obj.spec.node_name,) if obj.spec.node_name else ()


names = st.sampled_from("abcde")
nodes = st.sampled_from(["", "n1", "n2"])
steps = st.one_of(
    st.tuples(st.just("apply"), names, nodes),
    st.tuples(st.just("remove"), names, nodes),
    st.tuples(st.just("replace"), st.dictionaries(names, nodes), st.booleans()),
    st.tuples(st.just("index"), st.none(), st.none()),
)


@given(st.lists(steps, max_size=30))
def test_indexes_and_handlers_agree_with_the_contents(sequence):
    cache, mirror = Cache(PODS), {}

    def follow(old: Pod | None, new: Pod | None) -> None:
        name = (new or old).metadata.name
        assert mirror.get(name) == old
        if new is None:
            del mirror[name]
        else:
            mirror[name] = new
        assert cache.get(name, "ns") == new, "handlers run after the change"

    cache.add_handler(follow)
    cache.add_index("node", by_node)
    for revision, (step, what, how) in enumerate(sequence, 1):
        if step == "apply":
            cache.apply(pod(what, how, revision))
        elif step == "remove":
            cache.remove(pod(what, how, revision))
        elif step == "replace":
            kept = [obj for obj in cache if how and obj.metadata.name not in what]
            cache.replace([*kept, *(pod(name, node, revision) for name, node in what.items())], str(revision))
        else:
            cache.add_index("late", by_node)
        contents = {obj.metadata.name: obj for obj in cache}
        assert contents == mirror
        assert len(cache) == len(mirror)
        for index in ("node", "late") if "late" in cache._indexes else ("node",):
            for node in ("n1", "n2"):
                expected = {name for name, obj in contents.items() if obj.spec.node_name == node}
                assert {obj.metadata.name for obj in cache.by_index(index, node)} == expected
            assert cache.by_index(index, "") == []


def test_a_handler_added_later_is_told_what_is_there():
    cache, heard = Cache(PODS), []
    cache.replace([pod("a", "", 1), pod("b", "", 2)], "2")
    cache.add_handler(lambda old, new: heard.append((old, new.metadata.name)))
    assert heard == [(None, "a"), (None, "b")]


def test_a_list_that_changes_nothing_tells_nothing():
    cache, heard = Cache(PODS), []
    cache.replace([pod("a", "", 1)], "2")
    cache.add_handler(lambda old, new: heard.append(old))
    heard.clear()
    cache.replace([pod("a", "", 1)], "9")
    assert heard == []
    assert cache.resource_version == "9"


def test_removing_what_is_not_there_tells_nothing_but_moves_on():
    cache, heard = Cache(PODS), []
    cache.add_handler(lambda old, new: heard.append(old))
    cache.remove(pod("a", "", 7))
    assert (heard, cache.resource_version) == ([], "7")

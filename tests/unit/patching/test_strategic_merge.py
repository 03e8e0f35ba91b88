"""Strategic merge patch: every directive, element order as a real API server answers, and what always holds."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.apiserver.kinds.table import BY_GVK
from controlplane.apiserver.patching import apply_patch
from shared import codec
from shared.api.errors import BadRequest

POD, DEPLOYMENT = BY_GVK["", "v1", "Pod"], BY_GVK["apps", "v1", "Deployment"]
C1, C = {"name": "c", "image": "nginx:1"}, {"name": "c"}


def patched(document: Any, patch: Any, kind: Any = POD) -> Any:
    return apply_patch("application/strategic-merge-patch+json", kind, document, patch)


def containers(before: list[Any], patch: list[Any], **more: Any) -> Any:
    """The pod template's containers of a Deployment after a patch of them."""
    document = {"spec": {"template": {"spec": {"containers": before}}}}
    given_ = {"spec": {"template": {"spec": {"containers": patch, **more}}}}
    return patched(document, given_, DEPLOYMENT)["spec"]["template"]["spec"]["containers"]


@pytest.mark.parametrize(
    ("before", "patch", "more", "expected"),
    [
        pytest.param([C1], [{"name": "d", "image": "x"}], {}, [{"name": "d", "image": "x"}, C1], id="add comes first"),
        pytest.param(
            [{"name": "d", "image": "x"}, C1],
            [{"name": "d", "env": [{"name": "A", "value": "1"}]}],
            {},
            [{"name": "d", "image": "x", "env": [{"name": "A", "value": "1"}]}, C1],
            id="change one",
        ),
        pytest.param([{"name": "d"}, C1], [{"name": "d", "$patch": "delete"}], {}, [C1], id="delete one"),
        pytest.param(
            [C1],
            [{"name": "e", "image": "y"}],
            {"$setElementOrder/containers": [{"name": "e"}, {"name": "c"}]},
            [{"name": "e", "image": "y"}, C1],
            id="set order",
        ),
        pytest.param(
            [{"name": "e", "image": "y"}, C1],
            [{"$patch": "replace"}, {"name": "only", "image": "q"}],
            {},
            [{"name": "only", "image": "q"}],
            id="replace the list",
        ),
    ],
)
def test_containers_as_a_real_server_answers(before: Any, patch: Any, more: Any, expected: Any) -> None:
    assert containers(before, patch, **more) == expected


def test_order_alone_reorders() -> None:
    before = {"spec": {"containers": [{"name": "a"}, {"name": "b"}, {"name": "c"}]}}
    order = [{"name": "c"}, {"name": "a"}, {"name": "b"}]
    after = patched(before, {"spec": {"$setElementOrder/containers": order}})
    assert [c["name"] for c in after["spec"]["containers"]] == ["c", "a", "b"]


def test_items_that_only_the_server_has_keep_their_place() -> None:
    before = {"spec": {"containers": [{"name": "a"}, {"name": "sidecar"}, {"name": "b"}]}}
    order = [{"name": "a"}, {"name": "b"}, {"name": "new"}]
    patch = {"spec": {"$setElementOrder/containers": order, "containers": [{"name": "new"}]}}
    after = patched(before, patch)
    assert [c["name"] for c in after["spec"]["containers"]] == ["a", "sidecar", "b", "new"]


def test_retain_keys_drops_the_others() -> None:
    before = {"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}}
    patch = {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}
    assert patched(before, patch, DEPLOYMENT) == {"spec": {"strategy": {"type": "Recreate"}}}


def test_retain_keys_changes_a_volume_source() -> None:
    before = {"spec": {"volumes": [{"name": "v", "emptyDir": {}}]}}
    patch = {"spec": {"volumes": [{"name": "v", "$retainKeys": ["name", "hostPath"], "hostPath": {"path": "/x"}}]}}
    assert patched(before, patch)["spec"]["volumes"] == [{"name": "v", "hostPath": {"path": "/x"}}]


def test_null_removes_a_key_of_a_map() -> None:
    assert patched({"metadata": {"labels": {"k": "v", "l": "w"}}}, {"metadata": {"labels": {"k": None}}}) == {
        "metadata": {"labels": {"l": "w"}}
    }


def test_null_in_something_new_is_left_out() -> None:
    assert patched({}, {"metadata": {"labels": {"a": "b", "k": None}}}) == {"metadata": {"labels": {"a": "b"}}}


@pytest.mark.parametrize(
    ("before", "patch", "expected"),
    [
        (["a", "b"], {"finalizers": ["c"]}, ["c", "a", "b"]),
        (["a", "b"], {"finalizers": ["a"]}, ["a", "b"]),
        (["a", "b"], {"$deleteFromPrimitiveList/finalizers": ["a"]}, ["b"]),
        (
            ["a", "b"],
            {
                "$setElementOrder/finalizers": ["b", "c"],
                "finalizers": ["c"],
                "$deleteFromPrimitiveList/finalizers": ["a"],
            },
            ["b", "c"],
        ),
        (["a"], {"$deleteFromPrimitiveList/finalizers": ["z"]}, ["a"]),
    ],
    ids=str,
)
def test_lists_of_primitives(before: list[str], patch: Any, expected: list[str]) -> None:
    assert patched({"metadata": {"finalizers": before}}, {"metadata": patch})["metadata"]["finalizers"] == expected


def test_a_list_without_merge_strategy_is_replaced() -> None:
    before = {"spec": {"containers": [{"name": "c", "command": ["a", "b"]}], "tolerations": [{"key": "a"}]}}
    after = patched(before, {"spec": {"tolerations": [{"key": "b"}], "containers": [{"name": "c", "command": ["z"]}]}})
    assert after == {"spec": {"containers": [{"name": "c", "command": ["z"]}], "tolerations": [{"key": "b"}]}}


def test_maps_can_be_replaced_and_emptied() -> None:
    before = {"metadata": {"labels": {"a": "1"}}, "spec": {"nodeSelector": {"x": "y"}}}
    patch = {"metadata": {"labels": {"$patch": "replace", "b": "2"}}, "spec": {"nodeSelector": {"$patch": "delete"}}}
    assert patched(before, patch) == {"metadata": {"labels": {"b": "2"}}, "spec": {"nodeSelector": {}}}


def test_conditions_merge_by_type() -> None:
    before = {
        "status": {
            "conditions": [{"type": "Ready", "status": "False", "reason": "x"}, {"type": "Init", "status": "True"}]
        }
    }
    after = patched(before, {"status": {"conditions": [{"type": "Ready", "status": "True"}]}})
    assert after["status"]["conditions"] == [
        {"type": "Ready", "status": "True", "reason": "x"},
        {"type": "Init", "status": "True"},
    ]


@pytest.mark.parametrize(
    "patch",
    [
        {"$patch": "frobnicate"},
        {"spec": {"containers": [{"image": "no name"}]}},
        {"spec": {"containers": [{"$patch": "delete"}]}},
        {"spec": {"containers": [{"$patch": "merge", "name": "c"}]}},
        {"spec": {"containers": ["c"]}},
        {"spec": {"$setElementOrder/containers": [{"name": "c"}], "containers": [{"name": "z"}]}},
        {"spec": {"$setElementOrder/containers": "c"}},
        {"metadata": {"$retainKeys": "name"}},
        {"metadata": {"$retainKeys": ["name"], "labels": {}}},
        {"metadata": {"$deleteFromPrimitiveList/finalizers": "x"}},
    ],
    ids=str,
)
def test_directives_that_make_no_sense_are_bad_requests(patch: Any) -> None:
    with pytest.raises(BadRequest):
        patched({"metadata": {"name": "p"}, "spec": {"containers": [dict(C)]}}, patch)


names = st.sampled_from(["a", "b", "c", "d", "e"])
lists = st.lists(
    st.builds(lambda n, i: {"name": n, "image": i}, names, st.text("xy", max_size=2)),
    unique_by=lambda c: c["name"],
    max_size=5,
)


def pod(listed: list[Any]) -> Any:
    return {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": listed}}


@given(lists, lists)
def test_applying_twice_changes_nothing_more_and_inputs_stay(before: list[Any], patch: list[Any]) -> None:
    document, given_ = pod(before), pod(patch)
    texts = codec.encode(document), codec.encode(given_)
    once = patched(document, given_)
    assert patched(once, given_) == once
    assert (codec.encode(document), codec.encode(given_)) == texts


@given(lists, lists)
def test_keyed_lists_unite_and_the_patch_wins(before: list[Any], patch: list[Any]) -> None:
    after = patched(pod(before), pod(patch))["spec"]["containers"]
    assert {c["name"]: c for c in after} == {**{c["name"]: c for c in before}, **{c["name"]: c for c in patch}}
    order = [c["name"] for c in after]
    assert len(order) == len(set(order))
    given_ = [c["name"] for c in patch]
    assert [name for name in order if name in given_] == given_
    only_ours = [c["name"] for c in before if c["name"] not in given_]
    assert [name for name in order if name in only_ours] == only_ours


@given(lists, lists)
def test_set_element_order_gives_exactly_that_order(before: list[Any], patch: list[Any]) -> None:
    order = [{"name": c["name"]} for c in patch]
    gone = [{"name": c["name"], "$patch": "delete"} for c in before if {"name": c["name"]} not in order]
    document = {"spec": {"containers": before}}
    after = patched(document, {"spec": {"$setElementOrder/containers": order, "containers": [*patch, *gone]}})
    assert [c["name"] for c in after["spec"].get("containers", [])] == [c["name"] for c in patch]

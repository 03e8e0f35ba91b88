"""Which ReplicaSet is the new one, what it is called, and which old ones may go."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from controlplane.controllers import history
from shared import codec
from shared.api import names
from shared.api.apps import Deployment, DeploymentSpec, ReplicaSet, ReplicaSetSpec, ReplicaSetStatus
from shared.api.meta import LabelSelector, LabelSelectorRequirement, ObjectMeta

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
TEMPLATE: dict[str, Any] = {
    "metadata": {"labels": {"app": "web"}},
    "spec": {"containers": [{"name": "c", "image": "nginx:1"}], "terminationGracePeriodSeconds": 30},
}


def template(image: str = "nginx:1", **metadata: Any) -> dict[str, Any]:
    tree: dict[str, Any] = codec.copy(TEMPLATE)
    tree["spec"]["containers"][0]["image"] = image
    tree["metadata"] |= metadata
    return tree


def deployment(tree: dict[str, Any] = TEMPLATE, annotations: dict[str, str] | None = None) -> Deployment:
    return Deployment(
        metadata=ObjectMeta(name="web", namespace="ns", uid="d-uid", annotations=annotations or {}),
        spec=DeploymentSpec(
            replicas=3,
            template=tree,
            min_ready_seconds=7,
            selector=LabelSelector(
                match_labels={"app": "web"},
                match_expressions=(LabelSelectorRequirement(key="tier", operator="In", values=("a", "b")),),
            ),
        ),
    )


def replica_set(
    name: str, tree: dict[str, Any] = TEMPLATE, *, age: int = 0, size: int = 0, status: int = 0, **meta: Any
) -> ReplicaSet:
    return ReplicaSet(
        metadata=ObjectMeta(name=name, creation_timestamp=EPOCH + timedelta(seconds=age), generation=1, **meta),
        spec=ReplicaSetSpec(replicas=size, template=tree),
        status=ReplicaSetStatus(replicas=status, observed_generation=1),
    )


def with_hash(tree: dict[str, Any], value: str = "abc") -> dict[str, Any]:
    labels = {**tree["metadata"].get("labels", {}), history.HASH_LABEL: value}
    return {**tree, "metadata": {**tree["metadata"], "labels": labels}}


def noisy(tree: dict[str, Any]) -> dict[str, Any]:
    """The template as kubectl sends it back in a rollback, through Go structs."""
    tree = codec.copy(tree)
    tree["metadata"] |= {"creationTimestamp": None, "annotations": {}}
    tree["spec"]["containers"][0] |= {"resources": {}, "env": []}
    return tree


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        pytest.param(template(), template(), True, id="equal"),
        pytest.param(template(), with_hash(template()), True, id="but-for-the-hash"),
        pytest.param({"spec": {}}, {"metadata": {"labels": {history.HASH_LABEL: "x"}}, "spec": {}}, True, id="bare"),
        pytest.param(template(), noisy(template()), True, id="through-kubectl"),
        pytest.param(template(), template("nginx:2"), False, id="other-image"),
        pytest.param(template(), template(annotations={"restartedAt": "1"}), False, id="annotation"),
        pytest.param(template(), template(labels={"app": "web", "v": "2"}), False, id="label"),
        pytest.param(
            {"spec": {"affinity": {"labelSelector": {}}}}, {"spec": {"affinity": {}}}, False, id="empty-selector-is-all"
        ),
        pytest.param({"spec": {"v": [{"emptyDir": {}}]}}, {"spec": {"v": [{}]}}, False, id="empty-object-stays"),
        pytest.param({"spec": {"n": 0}}, {"spec": {}}, False, id="zero-is-a-value"),
    ],
)  # fmt: skip
def test_same_template(a, b, same):
    before = codec.encode([a, b])
    assert history.same_template(a, b) is same
    assert (history.template_hash(a) == history.template_hash(b)) is same
    assert codec.encode([a, b]) == before, "templates are read only"


def test_the_hash_does_not_depend_on_the_order_of_keys_and_changes_with_collisions():
    turned = {key: TEMPLATE[key] for key in reversed(TEMPLATE)}
    assert history.template_hash(turned) == history.template_hash(TEMPLATE)
    hashes = {history.template_hash(TEMPLATE, collisions) for collisions in range(4)}
    assert len(hashes) == 4
    assert all(set(text) <= set("bcdfghjklmnpqrstvwxz2456789") and 0 < len(text) <= 10 for text in hashes)


def test_the_hash_is_the_same_in_every_version():
    """A change would give every Deployment a new ReplicaSet name after an upgrade of the server."""
    assert history.template_hash(TEMPLATE) == history.template_hash(TEMPLATE, 0) == "5bcb59457d"


@pytest.mark.parametrize("name", ["web", "a" * 253, "a" * 248])
def test_names_are_legal(name):
    assert names.dns_subdomain(history.replica_set_name(name, "bcdfghjklm")) == ()


def test_the_oldest_with_the_template_is_the_new_one():
    sets = [
        replica_set("b", with_hash(TEMPLATE), age=5),
        replica_set("a", age=2),
        replica_set("c", template("x"), age=1),
    ]
    found = history.find_new(deployment(), sets)
    assert found is not None
    assert found.metadata.name == "a"
    assert history.find_new(deployment(template("y")), sets) is None


def test_a_new_replica_set():
    d = deployment(
        annotations={"note": "x", history.REVISION: "9", "kubectl.kubernetes.io/last-applied-configuration": "{}"}
    )
    tree = codec.decode(codec.encode(history.new_replica_set(d, 2, 4, {history.DESIRED_REPLICAS: "3"})))
    hash = history.template_hash(TEMPLATE)
    assert tree == {
        "kind": "ReplicaSet",
        "apiVersion": "apps/v1",
        "metadata": {
            "name": f"web-{hash}",
            "namespace": "ns",
            "labels": {"app": "web", "pod-template-hash": hash},
            "annotations": {"note": "x", history.REVISION: "4", history.DESIRED_REPLICAS: "3"},
            "ownerReferences": [
                {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "d-uid", "controller": True,
                 "blockOwnerDeletion": True}
            ],
        },
        "spec": {
            "replicas": 2,
            "minReadySeconds": 7,
            "selector": {
                "matchLabels": {"app": "web", "pod-template-hash": hash},
                "matchExpressions": [{"key": "tier", "operator": "In", "values": ["a", "b"]}],
            },
            "template": with_hash(TEMPLATE, hash),
        },
    }  # fmt: skip
    assert d.spec.template == TEMPLATE


@pytest.mark.parametrize(
    ("current", "revision", "expected"),
    [
        pytest.param({}, 1, {"note": "x", history.REVISION: "1"}, id="first"),
        pytest.param({"note": "x", history.REVISION: "3"}, 3, {}, id="nothing-to-do"),
        pytest.param({"note": "x", history.REVISION: "5"}, 3, {}, id="never-lowered"),
        pytest.param({"note": "x", history.REVISION: "9"}, 10,
                     {history.REVISION: "10", history.REVISION_HISTORY: "9"}, id="numbers-not-words"),
        pytest.param({"note": "x", history.REVISION: "4", history.REVISION_HISTORY: "1,2"}, 7,
                     {history.REVISION: "7", history.REVISION_HISTORY: "1,2,4"}, id="rollback-keeps-history"),
        pytest.param({"note": "y", history.REVISION: "3"}, 3, {"note": "x"}, id="annotation-changed"),
    ],
)  # fmt: skip
def test_new_annotations(current, revision, expected):
    assert history.new_annotations(deployment(annotations={"note": "x"}), current, revision) == expected


def test_the_revision_history_is_bounded():
    long = ",".join(str(n) for n in range(1000, 1400))
    lacking = history.new_annotations(deployment(), {history.REVISION: "1400", history.REVISION_HISTORY: long}, 1401)
    assert len(lacking[history.REVISION_HISTORY]) <= history.HISTORY_CHARACTERS
    assert lacking[history.REVISION_HISTORY].endswith(",1399,1400")


@pytest.mark.parametrize(
    ("limit", "expected"), [(0, ["r1", "r2"]), (1, ["r1", "r2"]), (3, ["r1"]), (4, []), (10, [])], ids=str
)
def test_history_beyond_the_limit_goes_lowest_revision_first(limit, expected):
    def old(revision: int, **more: Any) -> ReplicaSet:
        return replica_set(f"r{revision}", age=9 - revision, annotations={history.REVISION: str(revision)}, **more)

    deleted = replica_set("gone", annotations={history.REVISION: "0"}, deletion_timestamp=EPOCH)
    kept = [old(3, size=1), old(4, status=1)]
    assert [rs.metadata.name for rs in history.removable([*kept, old(2), deleted, old(1)], limit)] == expected


def test_a_replica_set_whose_controller_is_behind_is_not_removed():
    behind = ReplicaSet(metadata=ObjectMeta(name="r", generation=2), status=ReplicaSetStatus(observed_generation=1))
    assert history.removable([behind], 0) == []


@pytest.mark.parametrize(("text", "number"), [("7", 7), ("", 0), ("x", 0), ("-1", 0), ("9" * 30, 0)])
def test_revision_of(text, number):
    assert history.revision_of(replica_set("r", annotations={history.REVISION: text})) == number

"""The schema check: types with Go-like texts, unknown fields with their paths, nulls."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.apiserver import definitions, schema
from controlplane.apiserver.kinds.table import BY_GVK, KINDS
from shared import codec

POD, DEPLOYMENT = BY_GVK["", "v1", "Pod"], BY_GVK["apps", "v1", "Deployment"]
SECRET, CONFIG_MAP = BY_GVK["", "v1", "Secret"], BY_GVK["", "v1", "ConfigMap"]


def container(**fields: Any) -> Any:
    return {"spec": {"containers": [{"name": "c", **fields}]}}


@pytest.mark.parametrize(
    ("kind", "tree", "where"),
    [
        (
            POD,
            {"spec": {"containers": "x"}},
            "unmarshal string into Go struct field PodSpec.spec.containers of type []v1.Container",
        ),
        (POD, {"spec": []}, "cannot unmarshal array into Go struct field Pod.spec of type v1.PodSpec"),
        (POD, container(image=3), "number into Go struct field Container.spec.containers[0].image of type string"),
        (POD, container(tty="yes"), "spec.containers[0].tty of type bool"),
        (POD, container(ports=[{"containerPort": True}]), "cannot unmarshal bool into"),
        (POD, container(ports=[{"containerPort": 2**40}]), "of type int32"),
        (POD, container(ports=[{"containerPort": 1.5}]), "cannot unmarshal number into"),
        (POD, container(command=["a", 1]), "spec.containers[0].command[1] of type string"),
        (POD, {"metadata": {"labels": {"a": 1}}}, "metadata.labels.a of type string"),
        (
            POD,
            container(resources={"limits": {"cpu": "lots"}}),
            "spec.containers[0].resources.limits.cpu: quantities must match",
        ),
        (POD, container(resources={"limits": {"cpu": []}}), "resource.Quantity"),
        (POD, container(livenessProbe={"httpGet": {"port": 1.5}}), "intstr.IntOrString"),
        (POD, {"metadata": {"creationTimestamp": "yesterday"}}, 'parsing time "yesterday"'),
        (POD, {"metadata": {"creationTimestamp": "2026-13-01T00:00:00Z"}}, "parsing time"),
        (
            DEPLOYMENT,
            {"spec": {"replicas": "three"}},
            "string into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        (SECRET, {"data": {"a": "***"}}, "data.a: illegal base64 data at input byte 0"),
        (SECRET, {"data": {"a": "MQ"}}, "illegal base64"),
    ],
    ids=str,
)
def test_type_errors(kind: Any, tree: Any, where: str) -> None:
    found = schema.check(kind, tree)
    assert len(found.type_errors) == 1
    assert where in found.type_errors[0]


@pytest.mark.parametrize(
    ("tree", "path"),
    [
        ({"foo": 1}, "foo"),
        ({"spec": {"foo": {"bar": 1}}}, "spec.foo"),
        (container(bar=1), "spec.containers[0].bar"),
        ({"metadata": {"label": {}}}, "metadata.label"),
        (container(env=[{"name": "a"}, {"name": "b", "valueForm": {}}]), "spec.containers[0].env[1].valueForm"),
    ],
    ids=str,
)
def test_unknown_fields(tree: Any, path: str) -> None:
    found = schema.check(POD, tree)
    assert (found.unknown_fields, found.type_errors) == ([path], [])


@pytest.mark.parametrize(
    "tree",
    [
        container(ports=[{"containerPort": 80}], livenessProbe={"httpGet": {"port": "http"}}),
        container(readinessProbe={"tcpSocket": {"port": 80}}, resources={"requests": {"cpu": 1, "memory": "1Gi"}}),
        container(resources={"requests": {"cpu": 0.5}}),
        {"metadata": {"creationTimestamp": "2026-11-23T03:13:36Z", "managedFields": [{"fieldsV1": {"f:spec": {}}}]}},
        {"metadata": {"creationTimestamp": None, "labels": None}, "spec": None, "status": None},
    ],
    ids=str,
)
def test_what_is_fine(tree: Any) -> None:
    found = schema.check(POD, tree)
    assert (found.unknown_fields, found.type_errors) == ([], [])


def test_nulls_go_from_structs_and_are_empty_in_maps_and_lists() -> None:
    tree = {
        "metadata": {"name": "p", "labels": {"a": None, "b": "c"}, "creationTimestamp": None, "finalizers": None},
        "spec": {"containers": [{"name": "c", "args": ["x", None], "resources": {"limits": {"cpu": None}}}]},
        "unknown": {"kept": None},
    }
    assert schema.check(POD, tree).has_nulls
    schema.prune_nulls(tree, POD)
    assert tree == {
        "metadata": {"name": "p", "labels": {"a": "", "b": "c"}},
        "spec": {"containers": [{"name": "c", "args": ["x", ""], "resources": {"limits": {"cpu": "0"}}}]},
        "unknown": {"kept": None},
    }
    assert not schema.check(POD, tree).has_nulls


def test_nulls_without_a_kind_just_go() -> None:
    tree = {"a": None, "b": [{"c": None}], "d": {"e": None}}
    schema.prune_nulls(tree)
    assert tree == {"b": [{}], "d": {}}


def test_kinds_of_subresources_are_known() -> None:
    bad = {"spec": {"replicas": "x"}}
    assert schema.check_gvk(("autoscaling", "v1", "Scale"), bad).type_errors
    assert not schema.check_gvk(("", "v1", "Binding"), {"target": {"name": "n"}}).unknown_fields


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.resource.kind)
def test_every_kind_has_a_shape(kind: Any) -> None:
    assert {"metadata", "apiVersion", "kind"} <= schema.shape(kind).fields.keys()


def test_the_schemas_are_those_of_1_36() -> None:
    assert "/v1.36." in str(definitions.path())


trees = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["metadata", "spec", "containers", "labels", "name", "data", "x"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["metadata", "spec", "data", "x"]), trees, max_size=3), st.sampled_from(KINDS))
def test_any_tree_is_judged_and_left_alone(tree: Any, kind: Any) -> None:
    before = json.dumps(tree)
    found = schema.check(kind, tree)
    assert json.dumps(tree) == before
    if not found.type_errors:
        schema.prune_nulls(tree, kind)
        again = schema.check(kind, tree)
        assert not again.type_errors
        assert not again.has_nulls


def test_checking_changes_nothing() -> None:
    tree = container(image="x", env=[{"name": "a", "value": "b"}])
    text = codec.encode(tree)
    schema.check(POD, tree)
    assert codec.encode(tree) == text

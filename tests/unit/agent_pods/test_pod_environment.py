"""Environment, expansion and resources."""

from base64 import b64encode
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.pods.env import ConfigError, Objects, command_line, environment, references
from agent.pods.expansion import expand
from agent.pods.resources import container_resources, oom_score_adj, qos_class
from agent.pods.status import NodeFacts
from agent.runtime.base import Resources
from shared.api.core import ConfigMap, Secret
from shared.api.pod import Container, Pod

NODE = NodeFacts("node-1", "192.0.2.7", 4000, 8 << 30)

EXPANSIONS = {
    # the cases of Kubernetes' own expansion_test.go
    "whole string": ("$(VAR_A)", "A"),
    "repeat": ("$(VAR_A)-$(VAR_A)", "A-A"),
    "beginning": ("$(VAR_A)-1", "A-1"),
    "middle": ("___$(VAR_B)___", "___B___"),
    "end": ("___$(VAR_C)", "___C"),
    "compound": ("$(VAR_A)_$(VAR_B)_$(VAR_C)", "A_B_C"),
    "escape and expand": ("$$(VAR_B)_$(VAR_A)", "$(VAR_B)_A"),
    "compound escape": ("$$(VAR_A)_$$(VAR_B)", "$(VAR_A)_$(VAR_B)"),
    "mixed in escapes": ("f000-$$VAR_A", "f000-$VAR_A"),
    "backslash is no escape": ("foo\\$(VAR_C)bar", "foo\\Cbar"),
    "backslash and escape": ("foo\\\\$(VAR_C)bar", "foo\\\\Cbar"),
    "undefined stays": ("$(VAR_DNE)", "$(VAR_DNE)"),
    "undefined between": ("foo$(VAR_DNE)$(VAR_A)", "foo$(VAR_DNE)A"),
    "nested is one name": ("$(VAR_$(VAR_B))", "$(VAR_$(VAR_B))"),
    "unclosed": ("$(VAR_A", "$(VAR_A"),
    "unclosed then closed": ("$(VAR_A_$(VAR_B)", "$(VAR_A_$(VAR_B)"),
    "lone operators": ("$VAR$_$", "$VAR$_$"),
    "trailing operator": ("foo$", "foo$"),
    "many operators": ("$$$$$$$(VAR_A)", "$$$A"),
    "empty reference": ("$()", "$()"),
}


@pytest.mark.parametrize(("text", "expected"), EXPANSIONS.values(), ids=list(EXPANSIONS))
def test_expansion(text: str, expected: str) -> None:
    assert expand(text, {"VAR_A": "A", "VAR_B": "B", "VAR_C": "C"}) == expected


@given(st.text(alphabet="$()ab", max_size=12))
def test_expansion_agrees_with_the_reference_algorithm(text: str) -> None:
    variables = {"a": "1", "ab": "$(a)"}
    assert expand(text, variables) == _reference(text, variables)


def _reference(text: str, variables: dict[str, str]) -> str:
    """The loop that Kubernetes documents: scan for ``$``, then ``$`` or a closed ``(name)``."""
    out, at = "", 0
    while at < len(text):
        if text[at] == "$" and at + 1 < len(text):
            follow = text[at + 1]
            if follow == "$":
                out, at = out + "$", at + 2
                continue
            if follow == "(" and (end := text.find(")", at + 2)) >= 0:
                name = text[at + 2 : end]
                out, at = out + variables.get(name, f"$({name})"), end + 1
                continue
        out, at = out + text[at], at + 1
    return out


def pod(**container: Any) -> Pod:
    tree = {
        "metadata": {
            "name": "p", "namespace": "ns", "uid": "u-1", "labels": {"app": "web"}, "annotations": {"a/b": "note"},
        },
        "spec": {"serviceAccountName": "default", "containers": [{"name": "c", "image": "app:1"} | container]},
    }  # fmt: skip
    return msgspec.convert(tree, Pod)


def secret(**data: str) -> Secret:
    return Secret(data={key: b64encode(value.encode()).decode() for key, value in data.items()})


OBJECTS = Objects(
    {"conf": ConfigMap(data={"a": "1", "b": "2", "no=name": "x"}), "none": None}, {"key": secret(s="t0p"), "none": None}
)


def variables(**container: Any) -> dict[str, str]:
    one = pod(**container)
    return environment(one, one.spec.containers[0], OBJECTS, NODE, "10.0.0.5", "p")


def ref(kind: str, name: str, key: str, optional: bool = False) -> list[dict[str, Any]]:
    return [{"name": "V", "valueFrom": {kind: {"name": name, "key": key, "optional": optional}}}]


def test_the_hostname_is_always_there() -> None:
    assert variables() == {"HOSTNAME": "p"}
    assert variables(env=[{"name": "HOSTNAME", "value": "mine"}]) == {"HOSTNAME": "mine"}


def test_values_refer_to_those_before_them() -> None:
    env = [{"name": "A", "value": "$(B)"}, {"name": "B", "value": "2"}, {"name": "C", "value": "$(B)$$(B)"}]
    assert variables(env=env) == {"HOSTNAME": "p", "A": "$(B)", "B": "2", "C": "2$(B)"}


@pytest.mark.parametrize(
    ("path", "expected"),
    {
        "metadata.name": "p",
        "metadata.namespace": "ns",
        "metadata.uid": "u-1",
        "metadata.labels['app']": "web",
        "metadata.labels['none']": "",
        "metadata.annotations['a/b']": "note",
        "spec.nodeName": "node-1",
        "spec.serviceAccountName": "default",
        "status.podIP": "10.0.0.5",
        "status.hostIP": "192.0.2.7",
    }.items(),
    ids=str,
)
def test_field_references(path: str, expected: str) -> None:
    assert variables(env=[{"name": "V", "valueFrom": {"fieldRef": {"fieldPath": path}}}])["V"] == expected


@pytest.mark.parametrize(
    ("resource", "divisor", "expected"),
    [
        ("limits.cpu", "0", "2"),
        ("limits.cpu", "1m", "1500"),
        ("requests.cpu", "1", "1"),
        ("limits.memory", "1Mi", "4"),
        ("limits.memory", "0", "3145729"),
        ("requests.memory", "0", "0"),
    ],
)
def test_resource_references(resource: str, divisor: str, expected: str) -> None:
    env = [{"name": "V", "valueFrom": {"resourceFieldRef": {"resource": resource, "divisor": divisor}}}]
    resources = {"limits": {"cpu": "1500m", "memory": "3145729"}, "requests": {"cpu": "250m"}}
    assert variables(env=env, resources=resources)["V"] == expected


def test_a_limit_that_is_not_set_is_the_nodes() -> None:
    env = [{"name": "V", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Gi"}}}]
    assert variables(env=env)["V"] == "8"


def test_keys_of_objects() -> None:
    assert variables(env=ref("configMapKeyRef", "conf", "a"))["V"] == "1"
    assert variables(env=ref("secretKeyRef", "key", "s"))["V"] == "t0p"


@pytest.mark.parametrize(
    ("env", "message"),
    [
        (ref("configMapKeyRef", "none", "a"), 'configmap "none" not found'),
        (ref("secretKeyRef", "none", "a"), 'secret "none" not found'),
        (ref("configMapKeyRef", "conf", "x"), "couldn't find key x in ConfigMap ns/conf"),
        (ref("secretKeyRef", "key", "x"), "couldn't find key x in Secret ns/key"),
        ([{"name": "V", "valueFrom": {"fieldRef": {"fieldPath": "spec.x"}}}], "unsupported fieldPath: spec.x"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_missing_is_said_in_kubernetes_words(env: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        variables(env=env)
    assert str(raised.value) == message


@pytest.mark.parametrize("env", [ref("configMapKeyRef", "none", "a", True), ref("secretKeyRef", "key", "x", True)])
def test_what_is_optional_may_be_missing(env: list[dict[str, Any]]) -> None:
    assert "V" not in variables(env=env)


def test_env_from_takes_all_keys_with_a_prefix_and_env_wins() -> None:
    sources = [{"prefix": "P_", "configMapRef": {"name": "conf"}}, {"secretRef": {"name": "key"}}]
    env = [{"name": "P_a", "value": "mine"}]
    assert variables(envFrom=sources, env=env) == {"HOSTNAME": "p", "P_a": "mine", "P_b": "2", "s": "t0p"}
    with pytest.raises(ConfigError, match='configmap "none" not found'):
        variables(envFrom=[{"configMapRef": {"name": "none"}}])
    assert variables(envFrom=[{"configMapRef": {"name": "none", "optional": True}}]) == {"HOSTNAME": "p"}


def test_references_are_what_has_to_be_read() -> None:
    one = pod(env=ref("secretKeyRef", "key", "s"), envFrom=[{"configMapRef": {"name": "conf"}}]).spec.containers[0]
    assert references(one) == {("Secret", "key"), ("ConfigMap", "conf")}


def test_command_and_args_are_expanded() -> None:
    one = pod(command=["run", "$(A)"], args=["$$(A)", "$(B)"]).spec.containers[0]
    assert command_line(one, {"A": "1"}) == (("run", "1"), ("$(A)", "$(B)"))
    assert command_line(pod().spec.containers[0], {}) == (None, None)


def container(requests: dict[str, str] | None = None, limits: dict[str, str] | None = None) -> Container:
    tree = {"name": "c", "resources": {"requests": requests or {}, "limits": limits or {}}}
    return msgspec.convert(tree, Container)


@pytest.mark.parametrize(
    ("requests", "limits", "expected"),
    [
        ({}, {}, (2, 0, 0)),
        ({"cpu": "1m"}, {}, (2, 0, 0)),
        ({"cpu": "250m"}, {}, (256, 0, 0)),
        ({"cpu": "1"}, {"cpu": "2"}, (1024, 200_000, 0)),
        ({}, {"cpu": "500m"}, (512, 50_000, 0)),
        ({}, {"cpu": "5m"}, (5, 1_000, 0)),
        ({"cpu": "1000"}, {}, (262_144, 0, 0)),
        ({"memory": "1Gi"}, {"memory": "2Gi"}, (2, 0, 2 << 30)),
        ({}, {"memory": "1Mi"}, (2, 0, 6 << 20)),
    ],
)
def test_what_the_engine_is_asked_for(
    requests: dict[str, str], limits: dict[str, str], expected: tuple[int, int, int]
) -> None:
    assert container_resources(container(requests, limits)) == Resources(*expected)


FULL = {"cpu": "1", "memory": "1Gi"}


@pytest.mark.parametrize(
    ("requests", "limits", "kind", "score"),
    [
        ({}, {}, "BestEffort", 1000),
        (FULL, FULL, "Guaranteed", -997),
        ({}, FULL, "Guaranteed", -997),
        ({"memory": "1Gi"}, {}, "Burstable", 875),
        ({"cpu": "1"}, {}, "Burstable", 999),
        ({"memory": "8Gi"}, {}, "Burstable", 3),
        ({"cpu": "1", "memory": "1Gi"}, {"cpu": "2", "memory": "1Gi"}, "Burstable", 875),
    ],
)
def test_quality_of_service(requests: dict[str, str], limits: dict[str, str], kind: str, score: int) -> None:
    one = msgspec.structs.replace(
        pod(), spec=msgspec.structs.replace(pod().spec, containers=(container(requests, limits),))
    )
    assert qos_class(one) == kind
    assert oom_score_adj(one, one.spec.containers[0], 8 << 30) == score

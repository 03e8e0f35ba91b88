"""RBAC rules: what one allows, and what rules cover others."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.apiserver.identity import Attributes
from controlplane.apiserver.rbac.rules import allows, shown
from shared.api.rbac import PolicyRule
from shared.rbac import compact, missing


def rule(verbs, groups="", resources="", names="", urls=""):
    split = lambda text: tuple(text.split(",")) if text else ()  # noqa: E731
    apis = tuple("" if group == "core" else group for group in split(groups))
    return PolicyRule(verbs=split(verbs), api_groups=apis, resources=split(resources), resource_names=split(names),
                      non_resource_urls=split(urls))  # fmt: skip


def asked(verb, group, resource, sub="", name=""):
    return Attributes(verb, "", group, "v1", resource, sub, "g", name)


@pytest.mark.parametrize(
    ("held", "attributes", "allowed"),
    [
        (rule("get", "core", "pods"), asked("get", "", "pods"), True),
        (rule("get", "core", "pods"), asked("list", "", "pods"), False),
        (rule("*", "core", "pods"), asked("delete", "", "pods"), True),
        (rule("get", "apps", "pods"), asked("get", "", "pods"), False),
        (rule("get", "*", "pods"), asked("get", "metrics.k8s.io", "pods"), True),
        (rule("get", "core", "pods"), asked("get", "", "pods", "log"), False),
        (rule("get", "core", "pods/log"), asked("get", "", "pods", "log"), True),
        (rule("get", "core", "pods/log"), asked("get", "", "pods"), False),
        (rule("get", "core", "*/scale"), asked("get", "", "pods", "scale"), True),
        (rule("get", "core", "*/scale"), asked("get", "", "pods", "log"), False),
        (rule("get", "core", "pods/*"), asked("get", "", "pods", "log"), False),
        (rule("get", "core", "*"), asked("get", "", "pods", "log"), True),
        (rule("get", "core", "pods", "a,b"), asked("get", "", "pods", name="b"), True),
        (rule("get", "core", "pods", "a,b"), asked("get", "", "pods", name="c"), False),
        (rule("list", "core", "pods", "a"), asked("list", "", "pods"), False),
        (rule("get", urls="/healthz"), Attributes("get", "/healthz"), True),
        (rule("get", urls="/healthz"), Attributes("get", "/healthz/ping"), False),
        (rule("get", urls="/healthz/*"), Attributes("get", "/healthz/ping"), True),
        (rule("get", urls="*"), Attributes("get", "/metrics"), True),
        (rule("*", "*", "*"), Attributes("get", "/metrics"), False),
        (rule("get", urls="*"), asked("get", "", "pods"), False),
    ],
)
def test_what_a_rule_allows(held, attributes, allowed):
    assert allows(held, attributes) is allowed


@pytest.mark.parametrize(
    ("held", "wanted", "lacking"),
    [
        ([rule("get,list", "core", "pods")], [rule("get", "core", "pods")], []),
        ([rule("get", "core", "pods")], [rule("get,list", "core", "pods")], [rule("list", "core", "pods")]),
        ([rule("*", "*", "*")], [rule("get,delete", "core,apps", "pods,deployments/scale", "a")], []),
        ([rule("*", "*", "*")], [rule("get", urls="/metrics")], [rule("get", urls="/metrics")]),
        ([rule("get", "core", "pods", "a")], [rule("get", "core", "pods")], [rule("get", "core", "pods")]),
        ([rule("get", "core", "pods")], [rule("get", "core", "pods", "a")], []),
        ([rule("get", "core", "pods", "a")], [rule("get", "core", "pods", "a,b")], [rule("get", "core", "pods", "b")]),
        ([rule("get", "core", "*/scale")], [rule("get", "core", "pods/scale")], []),
        ([rule("get", "core", "pods")], [rule("get", "core", "*")], [rule("get", "core", "*")]),
        ([rule("get", "core", "pods"), rule("list", "core", "pods")], [rule("get,list", "core", "pods")], []),
        ([rule("get", "core", "pods")], [rule("*", "core", "pods")], [rule("*", "core", "pods")]),
        ([rule("get", urls="/a/*")], [rule("get", urls="/a/b")], []),
        ([rule("get", urls="/a/b")], [rule("get", urls="/a/*")], [rule("get", urls="/a/*")]),
        ([], [], []),
    ],
)
def test_what_is_missing(held, wanted, lacking):
    assert missing(held, wanted) == lacking


some = lambda *values: st.lists(st.sampled_from(values), min_size=1, max_size=3, unique=True).map(tuple)  # noqa: E731
RULES = st.builds(
    PolicyRule, verbs=some("get", "list", "*"), api_groups=some("", "apps", "*"),
    resources=some("pods", "pods/log", "*/log", "*"), resource_names=st.just(()) | some("a", "b"),
)  # fmt: skip
ASKED = st.builds(
    asked, st.sampled_from(["get", "list", "delete"]), st.sampled_from(["", "apps", "batch"]),
    st.sampled_from(["pods", "jobs"]), st.sampled_from(["", "log"]), st.sampled_from(["", "a", "b", "c"]),
)  # fmt: skip


@given(st.lists(RULES, max_size=3), st.lists(RULES, max_size=3), ASKED)
def test_who_lacks_nothing_may_do_all_of_it(held, wanted, attributes):
    """The property that makes granting safe: what is covered never allows more than what is held."""
    if not missing(held, wanted) and any(allows(found, attributes) for found in wanted):
        assert any(allows(found, attributes) for found in held)


@given(st.lists(RULES, max_size=4))
def test_everybody_has_what_he_has(held):
    assert missing(held, held) == []


def test_how_rules_are_shown():
    found = compact([rule("get", "core", "pods"), rule("list", "core", "pods"), rule("get", urls="/x")])
    assert [shown(part) for part in found] == [
        '{APIGroups:[""], Resources:["pods"], Verbs:["get" "list"]}',
        '{NonResourceURLs:["/x"], Verbs:["get"]}',
    ]


def test_rules_are_read_as_kubernetes_writes_them():
    read = msgspec.convert({"verbs": ["get"], "nonResourceURLs": ["/a"]}, PolicyRule)
    assert read.non_resource_urls == ("/a",)

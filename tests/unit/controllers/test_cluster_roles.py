"""The default cluster roles, and those that are made of others."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from controlplane.controllers import bootstrap_rbac, cluster_role_aggregation
from controlplane.controllers.writes import Create, Delete, Patch
from shared.api.rbac import ClusterRole, ClusterRoleBinding

GOLDEN = Path(__file__).parents[2] / "golden/bootstrap-rbac.json"
ROLES, BINDINGS = bootstrap_rbac.wanted()


def read(trees, type_):
    return {tree["metadata"]["name"]: msgspec.convert(tree, type_) for tree in trees}


def aggregated(roles):
    """The rules of all roles once the aggregation has come to rest."""
    found = dict(roles)
    for _ in range(4):
        for name, role in found.items():
            if (write := cluster_role_aggregation.decide(role, found.values())) is not None:
                rules = msgspec.convert(write.patch, ClusterRole).rules
                found[name] = msgspec.structs.replace(role, rules=rules)
    return found


def test_roles_are_those_of_a_real_cluster() -> None:
    """Recorded from one, whose test user is left out; 1.36 lets everybody ask who he is."""
    want = {role["name"]: role["rules"] for role in json.loads(GOLDEN.read_text())["clusterroles"]}
    want["system:basic-user"].append(
        {"verbs": ["create"], "apiGroups": ["authentication.k8s.io"], "resources": ["selfsubjectreviews"]}
    )
    have = aggregated(read(ROLES, ClusterRole))
    key = lambda rule: json.dumps(rule, sort_keys=True)  # noqa: E731
    plain = {name: {key(msgspec.to_builtins(rule)) for rule in role.rules} for name, role in have.items()}
    assert plain == {name: set(map(key, rules)) for name, rules in want.items()}


def test_bindings_are_those_of_a_real_cluster_and_nobody_elses() -> None:
    want = {binding["name"]: binding for binding in json.loads(GOLDEN.read_text())["clusterrolebindings"]}
    have = read(BINDINGS, ClusterRoleBinding)
    assert have.keys() == want.keys()
    assert not any(subject.name == "test-all-user" for binding in have.values() for subject in binding.subjects)
    assert [subject.name for subject in have["cluster-admin"].subjects] == ["system:masters"]
    assert have["system:node"].subjects == ()


def test_what_is_missing_is_made_and_nothing_else() -> None:
    assert all(isinstance(write, Create) for write in bootstrap_rbac.decide_roles(ROLES, {}))
    have_roles, have_bindings = read(ROLES, ClusterRole), read(BINDINGS, ClusterRoleBinding)
    assert bootstrap_rbac.decide_roles(ROLES, have_roles) == ()
    assert bootstrap_rbac.decide_bindings(BINDINGS, have_bindings) == ()
    assert bootstrap_rbac.decide_roles(ROLES, aggregated(have_roles)) == ()


def changed(tree, **changes):
    return {tree["metadata"]["name"]: msgspec.convert(tree | changes, ClusterRole)}


DISCOVERY = next(role for role in ROLES if role["metadata"]["name"] == "system:discovery")
EXTRA = {"verbs": ["get"], "nonResourceURLs": ["/metrics"]}


def test_rules_that_were_taken_away_come_back_and_others_stay() -> None:
    (write,) = bootstrap_rbac.decide_roles([DISCOVERY], changed(DISCOVERY, rules=[EXTRA]))
    assert isinstance(write, Patch)
    assert write.patch["rules"] == [EXTRA, *DISCOVERY["rules"]]


def test_who_wants_no_updates_gets_none() -> None:
    metadata = {"name": "system:discovery", "annotations": {bootstrap_rbac.AUTOUPDATE: "false"}}
    assert bootstrap_rbac.decide_roles([DISCOVERY], changed(DISCOVERY, rules=[], metadata=metadata)) == ()


@pytest.mark.parametrize(
    ("changes", "write"),
    [({"subjects": []}, Patch), ({"roleRef": {"kind": "ClusterRole", "name": "view"}}, Delete)],
)
def test_bindings_are_put_right(changes, write) -> None:
    binding = next(found for found in BINDINGS if found["metadata"]["name"] == "cluster-admin")
    found = {"cluster-admin": msgspec.convert(binding | changes, ClusterRoleBinding)}
    (made,) = bootstrap_rbac.decide_bindings([binding], found)
    assert isinstance(made, write)


def role(name, rules=(), labels=None, selects=None):
    tree = {"metadata": {"name": name, "labels": labels or {}}, "rules": list(rules)}
    if selects is not None:
        tree["aggregationRule"] = {"clusterRoleSelectors": [{"matchLabels": selects}]}
    return msgspec.convert(tree, ClusterRole)


def test_a_role_has_the_rules_of_those_it_selects() -> None:
    whole = role("whole", [EXTRA], labels={"a": "b"}, selects={"a": "b"})
    others = [whole, role("z", [EXTRA], {"a": "b"}), role("y", DISCOVERY["rules"], {"a": "b"}), role("x", [EXTRA])]
    write = cluster_role_aggregation.decide(whole, others)
    assert write is not None
    assert write.patch["rules"] == [*DISCOVERY["rules"], EXTRA]
    settled = role("whole", write.patch["rules"], {"a": "b"}, {"a": "b"})
    assert cluster_role_aggregation.decide(settled, others) is None
    assert cluster_role_aggregation.decide(others[1], others) is None

"""The default cluster roles, and those that are made of others."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from controlplane.controllers import bootstrap_rbac, cluster_role_aggregation
from controlplane.controllers.writes import Create, Delete, Patch
from shared.api.kinds import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, ROLE_BINDINGS
from shared.api.kinds import ROLES as NAMESPACED
from shared.api.rbac import ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding
from shared.rbac import compact, missing

GOLDEN = Path(__file__).parents[2] / "golden/bootstrap-rbac.json"
DEFAULTS = bootstrap_rbac.wanted()
ROLES, BINDINGS = DEFAULTS.cluster_roles, DEFAULTS.cluster_role_bindings


def read(trees, type_):
    return {bootstrap_rbac.name_of(tree): msgspec.convert(tree, type_) for tree in trees}


def by_name(trees, type_):
    return {name: obj for (_, name), obj in read(trees, type_).items()}


def aggregated(roles):
    """The rules of all roles once the aggregation has come to rest."""
    found = dict(roles)
    for _ in range(4):
        for name, role in found.items():
            if (write := cluster_role_aggregation.decide(role, found.values())) is not None:
                rules = msgspec.convert(write.patch, ClusterRole).rules
                found[name] = msgspec.structs.replace(role, rules=rules)
    return found


def on(verbs, groups, resources, names=""):
    split = lambda text: tuple(filter(None, text.split(",")))  # noqa: E731
    return PolicyRule(
        verbs=split(verbs), api_groups=tuple(groups.split(",")), resources=split(resources),
        resource_names=split(names),
    )  # fmt: skip


WRITE = "create,delete,deletecollection,patch,update"
TAKEN_SINCE = {
    "admin": [on(WRITE, "", "endpoints")],
    "edit": [on(WRITE, "", "endpoints")],
    "system:aggregate-to-edit": [on(WRITE, "", "endpoints")],
    "system:kube-scheduler": [on("create", "", "endpoints"), on("get,update", "", "endpoints", "kube-scheduler")],
    "system:kubelet-api-admin": [on("*", "", "nodes/spec")],
    "system:controller:expand-controller": [
        on("get,list,watch", "storage.k8s.io", "storageclasses"), on("get", "", "endpoints"), on("get", "", "services"),
        on("get", "", "secrets"),
    ],
    "system:controller:horizontal-pod-autoscaler": [
        on("get", "", "services/proxy", "http:heapster:"), on("get", "", "services/proxy", "https:heapster:"),
    ],
    "system:controller:persistent-volume-binder": [
        on("create,delete,get,update", "", "endpoints"), on("create,delete,get", "", "services"),
        on("get", "", "secrets"),
        on("get", "", "nodes"),
    ],
    "system:kube-controller-manager": [
        on("create", "", "endpoints"), on("get,update", "", "endpoints", "kube-controller-manager"),
    ],
}  # fmt: skip
"""What a role of Kubernetes 1.20 could that one of 1.36 can not: no other may have lost anything."""

ADDED_SINCE = {
    f"system:controller:{name}"
    for name in (
        "device-taint-eviction-controller", "ephemeral-volume-controller", "legacy-service-account-token-cleaner",
        "resource-claim-controller", "selinux-warning-controller", "service-cidrs-controller",
        "ttl-after-finished-controller", "validatingadmissionpolicy-status-controller",
        "volumeattributesclass-protection-controller",
    )
}  # fmt: skip


OURS = {"system:aggregated-metrics-reader"}
"""What metrics-server brings elsewhere."""


def test_roles_are_those_of_a_real_cluster_and_what_came_since() -> None:
    """Recorded from one of 1.20, whose test user is left out."""
    recorded = json.loads(GOLDEN.read_text())["clusterroles"]
    want = {role["name"]: msgspec.convert(role["rules"], list[PolicyRule]) for role in recorded}
    have = aggregated(by_name(ROLES, ClusterRole))
    assert have.keys() == want.keys() | ADDED_SINCE | OURS
    taken = {name: missing(have[name].rules, rules) for name, rules in want.items()}
    assert {name: compact(rules) for name, rules in taken.items() if rules} == {
        name: compact(missing((), rules)) for name, rules in TAKEN_SINCE.items()
    }


BINDING = on("patch,update", "resource.k8s.io", "resourceclaims/binding")


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("view", on("get,list,watch", "discovery.k8s.io", "endpointslices")),
        ("edit", on("create", "", "serviceaccounts/token,pods/eviction")),
        ("edit", on(f"{WRITE},get,list,watch", "coordination.k8s.io", "leases")),
        ("admin", on(WRITE, "resource.k8s.io", "resourceclaims")),
        ("system:basic-user", on("create", "authentication.k8s.io", "selfsubjectreviews")),
        ("system:kube-scheduler", on("get,list,watch", "storage.k8s.io", "csistoragecapacities")),
        ("system:node", on("get", "", "serviceaccounts")),
        ("system:node-proxier", on("list,watch", "networking.k8s.io", "servicecidrs")),
        ("system:kubelet-api-admin", on("*", "", "nodes/configz,nodes/healthz,nodes/pods")),
        ("system:controller:disruption-controller", on("patch,update", "", "pods/status")),
        ("system:controller:pvc-protection-controller", on("update", "", "persistentvolumeclaims/status")),
        ("system:controller:resource-claim-controller", BINDING),
        ("system:kube-scheduler", BINDING),
    ],
)
def test_what_came_since(name: str, rule: PolicyRule) -> None:
    assert missing(aggregated(by_name(ROLES, ClusterRole))[name].rules, [rule]) == []


def test_bindings_are_those_of_a_real_cluster_and_nobody_elses() -> None:
    want = {binding["name"]: binding for binding in json.loads(GOLDEN.read_text())["clusterrolebindings"]}
    have = by_name(BINDINGS, ClusterRoleBinding)
    assert have.keys() == want.keys() | ADDED_SINCE
    assert not any(subject.name == "test-all-user" for binding in have.values() for subject in binding.subjects)
    assert [subject.name for subject in have["cluster-admin"].subjects] == ["system:masters"]
    assert have["system:node"].subjects == ()
    for name in ADDED_SINCE:
        (subject,) = have[name].subjects
        assert (subject.namespace, f"system:controller:{subject.name}") == ("kube-system", name)


def test_every_binding_has_its_role() -> None:
    cluster_roles, roles = by_name(ROLES, ClusterRole), read(DEFAULTS.roles, Role)
    for (namespace, _), binding in read(BINDINGS + DEFAULTS.role_bindings, RoleBinding).items():
        ref = binding.role_ref
        assert ref.name in cluster_roles if ref.kind == "ClusterRole" else (namespace, ref.name) in roles


def test_roles_within_namespaces() -> None:
    names = {name: read(DEFAULTS.roles, Role)[name].rules for name in read(DEFAULTS.roles, Role)}
    assert set(names) == {
        ("kube-public", "system:controller:bootstrap-signer"),
        *(("kube-system", f"system:controller:{name}") for name in ("bootstrap-signer", "cloud-provider",
                                                                    "token-cleaner")),
        ("kube-system", "extension-apiserver-authentication-reader"),
        ("kube-system", "system::leader-locking-kube-controller-manager"),
        ("kube-system", "system::leader-locking-kube-scheduler"),
    }  # fmt: skip
    assert names["kube-system", "extension-apiserver-authentication-reader"] == (
        on("get,list,watch", "", "configmaps", "extension-apiserver-authentication"),
    )
    bindings = read(DEFAULTS.role_bindings, RoleBinding)
    reader = bindings["kube-system", "system::extension-apiserver-authentication-reader"]
    assert [subject.name for subject in reader.subjects] == ["system:kube-controller-manager", "system:kube-scheduler"]
    assert bindings["kube-public", "system:controller:bootstrap-signer"].subjects[0].namespace == "kube-system"


def test_what_is_missing_is_made_and_nothing_else() -> None:
    for resource, roles, type_ in ((CLUSTER_ROLES, ROLES, ClusterRole), (NAMESPACED, DEFAULTS.roles, Role)):
        made = bootstrap_rbac.decide_roles(resource, roles, {})
        assert all(isinstance(write, Create) and write.resource is resource for write in made)
        assert [write.namespace for write in made] == [role["metadata"].get("namespace", "") for role in roles]
        assert bootstrap_rbac.decide_roles(resource, roles, read(roles, type_)) == ()
    for resource, bindings in ((CLUSTER_ROLE_BINDINGS, BINDINGS), (ROLE_BINDINGS, DEFAULTS.role_bindings)):
        assert bootstrap_rbac.decide_bindings(resource, bindings, read(bindings, RoleBinding)) == ()
    assert bootstrap_rbac.decide_roles(CLUSTER_ROLES, ROLES, aggregated(read(ROLES, ClusterRole))) == ()


DISCOVERY = next(role for role in ROLES if role["metadata"]["name"] == "system:discovery")
EXTRA = {"verbs": ["get"], "nonResourceURLs": ["/metrics"]}
EVERYTHING = {"verbs": ["*"], "nonResourceURLs": ["*"]}


def decided(role, **changes):
    """The writes for a role that stands there with changes."""
    found = {bootstrap_rbac.name_of(role): msgspec.convert(role | changes, ClusterRole)}
    return bootstrap_rbac.decide_roles(CLUSTER_ROLES, [role], found)


def test_rules_that_were_taken_away_come_back_and_others_stay() -> None:
    (write,) = decided(DISCOVERY, rules=[EXTRA])
    assert isinstance(write, Patch)
    assert write.patch["rules"][0] == EXTRA
    have = msgspec.convert(write.patch["rules"], list[PolicyRule])
    assert missing(have, msgspec.convert(DISCOVERY["rules"], list[PolicyRule])) == []


def test_rules_that_others_cover_are_not_missing() -> None:
    assert decided(DISCOVERY, rules=[EVERYTHING]) == ()


def test_labels_and_annotations_come_back_and_keep_what_somebody_has_set() -> None:
    metadata = {"name": "system:discovery", "labels": {"kubernetes.io/bootstrapping": "mine", "a": "b"}}
    (write,) = decided(DISCOVERY, metadata=metadata)
    assert write.patch == {"metadata": {"annotations": {bootstrap_rbac.AUTOUPDATE: "true"}, "resourceVersion": ""}}


def test_an_aggregation_that_was_taken_away_comes_back() -> None:
    view = next(role for role in ROLES if role["metadata"]["name"] == "view")
    (write,) = decided(view, aggregationRule=None)
    assert write.patch["aggregationRule"] == view["aggregationRule"]


def test_who_wants_no_updates_gets_none() -> None:
    metadata = {"name": "system:discovery", "annotations": {bootstrap_rbac.AUTOUPDATE: "false"}}
    assert decided(DISCOVERY, rules=[], metadata=metadata) == ()


@pytest.mark.parametrize(
    ("changes", "write"),
    [({"subjects": []}, Patch), ({"roleRef": {"kind": "ClusterRole", "name": "view"}}, Delete)],
)
def test_bindings_are_put_right(changes, write) -> None:
    binding = next(found for found in BINDINGS if found["metadata"]["name"] == "cluster-admin")
    found = {("", "cluster-admin"): msgspec.convert(binding | changes, ClusterRoleBinding)}
    (made,) = bootstrap_rbac.decide_bindings(CLUSTER_ROLE_BINDINGS, [binding], found)
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

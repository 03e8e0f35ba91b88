"""Who may do what: a table of what is allowed, and a walk that shows that everything else is not."""

from __future__ import annotations

import itertools

import msgspec
import pytest

from controlplane.apiserver.authz import Authorizer, StaticRules, forbidden
from controlplane.apiserver.identity import ANONYMOUS, CONTROL_PLANE, Attributes, User
from controlplane.apiserver.node_authz import NodeAuthority, node_name, restrict_node, restrict_token, selected
from shared.api.errors import Forbidden
from shared.api.pod import Pod

ADMIN = User("longboat:admin", ("system:masters", "system:authenticated"))
NODE = User("system:node:n1", ("system:nodes", "system:authenticated"))
JOINING = User("system:bootstrap:abcdef", ("system:bootstrappers", "system:authenticated"))
SOMEBODY = User("jane", ("system:authenticated",))


def pod(name, node, namespace="shop", **spec):
    return {"metadata": {"name": name, "namespace": namespace}, "spec": {"nodeName": node, **spec}}


MINE = pod(
    "mine",
    "n1",
    volumes=[
        {"name": "a", "secret": {"secretName": "vol-secret"}},
        {"name": "b", "configMap": {"name": "vol-config"}},
        {"name": "c", "emptyDir": {}},
        {"name": "d", "persistentVolumeClaim": {"claimName": "claim"}},
        {"name": "e", "ephemeral": {}},
        {
            "name": "f",
            "projected": {
                "sources": [
                    {"secret": {"name": "projected-secret"}},
                    {"configMap": {"name": "projected-config"}},
                    {"serviceAccountToken": {"path": "token"}},
                    {"serviceAccountToken": {"path": "vault", "audience": "vault"}},
                ]
            },
        },
    ],
    serviceAccountName="robot",
    containers=[
        {
            "name": "c",
            "envFrom": [{"secretRef": {"name": "from-secret"}}, {"configMapRef": {"name": "from-config"}}],
            "env": [
                {"name": "A", "valueFrom": {"secretKeyRef": {"name": "env-secret", "key": "k"}}},
                {"name": "B", "valueFrom": {"configMapKeyRef": {"name": "env-config", "key": "k"}}},
                {"name": "C", "value": "plain"},
            ],
        }
    ],
    initContainers=[{"name": "i", "envFrom": [{"secretRef": {"name": "init-secret"}}]}],
)
OTHERS = pod("others", "n2", volumes=[{"name": "a", "secret": {"secretName": "their-secret"}}])
PENDING = pod("pending", "")


class Pods:
    def claim_of_volume(self, name):
        return {"bound": ("shop", "claim"), "elsewhere": ("other", "claim"), "unclaimed": None}.get(name)

    def __init__(self, convert):
        self._pods = {(p["metadata"]["namespace"], p["metadata"]["name"]): convert(p) for p in (MINE, OTHERS, PENDING)}

    def pod(self, namespace, name):
        return self._pods.get((namespace, name))

    def pods_of_node(self, node):
        trees = {(p["metadata"]["namespace"], p["metadata"]["name"]): p for p in (MINE, OTHERS, PENDING)}
        return [self._pods[key] for key, tree in trees.items() if tree["spec"]["nodeName"] == node]


@pytest.fixture(params=["trees", "structs"])
def authorizer(request):
    convert = (lambda tree: tree) if request.param == "trees" else (lambda tree: msgspec.convert(tree, Pod))
    return Authorizer(StaticRules(), NodeAuthority(Pods(convert)))


def on(verb, what, name="", namespace="", fields=""):
    """``what`` is ``[group/]resource[/subresource]``; a group has a dot."""
    parts = what.split("/")
    group = parts.pop(0) if "." in parts[0] else ""
    return Attributes(verb, "/", group, "v1", parts[0], parts[1] if len(parts) > 1 else "", namespace, name, fields)


def at(verb, path):
    return Attributes(verb, path)


CSR = "certificates.k8s.io/certificatesigningrequests"
ALLOWED = [
    (ADMIN, on("deletecollection", "secrets", namespace="kube-system")),
    (ADMIN, at("post", "/anything")),
    (CONTROL_PLANE, on("create", "pods/binding", "p", "shop")),
    *[(SOMEBODY, at("get", path)) for path in ("/api", "/api/v1", "/apis", "/apis/apps/v1", "/openapi/v3", "/version")],
    *[(ANONYMOUS, at("get", path)) for path in ("/healthz", "/livez", "/readyz", "/version", "/version/")],
    (JOINING, on("create", CSR)),
    (JOINING, on("get", CSR, "node-csr-x")),
    (NODE, at("get", "/api")),
    (NODE, on("create", "nodes")),
    (NODE, on("get", "nodes", "n1")),
    (NODE, on("patch", "nodes", "n1")),
    (NODE, on("patch", "nodes/status", "n1")),
    (NODE, on("update", "nodes/status", "n1")),
    (NODE, on("watch", "nodes", "n1", fields="metadata.name=n1")),
    (NODE, on("list", "pods", fields="spec.nodeName=n1")),
    (NODE, on("watch", "pods", fields="spec.nodeName=n1")),
    (NODE, on("watch", "pods", fields="status.phase!=Failed,spec.nodeName==n1")),
    (NODE, on("get", "pods", "mine", "shop")),
    (NODE, on("delete", "pods", "mine", "shop")),
    (NODE, on("patch", "pods/status", "mine", "shop")),
    (NODE, on("delete", "pods", "gone", "shop")),
    *[(NODE, on("get", "secrets", f"{n}-secret", "shop")) for n in ("vol", "from", "env", "init", "projected")],
    *[(NODE, on("get", "configmaps", f"{n}-config", "shop")) for n in ("vol", "from", "env", "projected")],
    (NODE, on("watch", "configmaps", "", "shop", "metadata.name=vol-config")),
    *[(NODE, on("get", "persistentvolumeclaims", name, "shop")) for name in ("claim", "mine-e")],
    (NODE, on("get", "persistentvolumes", "bound")),
    (NODE, on("create", "serviceaccounts/token", "robot", "shop")),
    (NODE, on("list", "services")),
    (NODE, on("watch", "services")),
    (NODE, on("create", "events", namespace="shop")),
    (NODE, on("patch", "events", "e", "shop")),
    (NODE, on("create", CSR)),
    (NODE, on("get", CSR, "node-csr-x")),
    (NODE, on("create", "longboat.dev/nodes/heartbeat", "n1")),
    (NODE, on("get", "longboat.dev/nodes/tunnel", "n1")),
    (NODE, on("get", "longboat.dev/nodes/streams", "n1")),
]
REFUSED = [
    (ANONYMOUS, at("get", "/")),
    (ANONYMOUS, at("get", "/api")),
    (ANONYMOUS, at("get", "/healthz/store")),
    (ANONYMOUS, at("get", "/metrics")),
    (ANONYMOUS, at("post", "/version")),
    (ANONYMOUS, on("list", "pods")),
    (SOMEBODY, at("get", "/metrics")),
    (SOMEBODY, at("get", "/apifoo")),
    (SOMEBODY, at("get", "//api")),
    (SOMEBODY, at("post", "/api")),
    (SOMEBODY, on("list", "pods", namespace="shop")),
    (SOMEBODY, on("create", CSR)),
    (User("system:node:n1", ("system:authenticated",)), on("get", "nodes", "n1")),
    (User("jane", ("system:nodes",)), on("get", "nodes", "n1")),
    (User("system:node:", ("system:nodes",)), on("create", "nodes")),
    (JOINING, on("list", CSR)),
    (JOINING, on("get", CSR)),
    (JOINING, on("update", f"{CSR}/approval", "x")),
    (JOINING, on("get", "nodes", "n1")),
    (JOINING, on("get", "secrets", "bootstrap-token-abcdef", "kube-system")),
    (JOINING, on("create", "longboat.dev/nodes/heartbeat", "n1")),
    (NODE, on("create", "nodes", "n2")),
    (NODE, on("get", "nodes", "n2")),
    (NODE, on("patch", "nodes", "n2")),
    (NODE, on("patch", "nodes/status", "n2")),
    (NODE, on("delete", "nodes", "n1")),
    (NODE, on("list", "nodes")),
    (NODE, on("list", "nodes", fields="metadata.name!=n1")),
    (NODE, on("list", "pods")),
    (NODE, on("list", "pods", namespace="shop")),
    (NODE, on("watch", "pods", fields="spec.nodeName=n2")),
    (NODE, on("watch", "pods", fields="spec.nodeName!=n1")),
    (NODE, on("watch", "pods", fields="spec.nodeName=")),
    (NODE, on("watch", "pods", fields=r"metadata.name!=x\,spec.nodeName=n1")),
    (NODE, on("get", "pods", "others", "shop")),
    (NODE, on("get", "pods", "pending", "shop")),
    (NODE, on("delete", "pods", "others", "shop")),
    (NODE, on("patch", "pods/status", "others", "shop")),
    (NODE, on("patch", "pods", "mine", "shop")),
    (NODE, on("create", "pods/binding", "mine", "shop")),
    (NODE, on("create", "pods/exec", "mine", "shop")),
    (NODE, on("get", "pods/log", "mine", "shop")),
    (NODE, on("get", "secrets", "their-secret", "shop")),
    (NODE, on("get", "secrets", "vol-secret", "kube-system")),
    (NODE, on("get", "secrets", "vol-config", "shop")),
    (NODE, on("list", "secrets", namespace="shop")),
    (NODE, on("list", "secrets", namespace="shop", fields="metadata.name!=vol-secret")),
    (NODE, on("update", "configmaps", "vol-config", "shop")),
    (NODE, on("get", "persistentvolumeclaims", "theirs", "shop")),
    (NODE, on("watch", "persistentvolumeclaims", "claim", "shop", "metadata.name=claim")),
    (NODE, on("patch", "persistentvolumeclaims", "claim", "shop")),
    *[(NODE, on("get", "persistentvolumes", name)) for name in ("elsewhere", "unclaimed", "none", "")],
    (NODE, on("list", "persistentvolumes", "bound", fields="metadata.name=bound")),
    (NODE, on("update", "persistentvolumes", "bound")),
    (NODE, on("get", "persistentvolumes/status", "bound")),
    (NODE, on("create", "serviceaccounts/token", "other", "shop")),
    (NODE, on("create", "serviceaccounts/token", "robot", "other")),
    (NODE, on("get", "serviceaccounts/token", "robot", "shop")),
    (NODE, on("get", "serviceaccounts", "robot", "shop")),
    (SOMEBODY, on("create", "serviceaccounts/token", "robot", "shop")),
    (NODE, on("delete", "events", "e", "shop")),
    (NODE, on("list", "events")),
    (NODE, on("update", f"{CSR}/approval", "x")),
    (NODE, on("update", f"{CSR}/status", "x")),
    (NODE, on("list", CSR)),
    (NODE, on("get", "coordination.k8s.io/leases", "n1", "kube-node-lease")),
    (NODE, on("create", "longboat.dev/nodes/heartbeat", "n2")),
    (NODE, on("get", "longboat.dev/nodes/tunnel", "n2")),
    (NODE, on("get", "longboat.dev/nodes", "n1")),
    (NODE, on("get", "longboat.dev/nodes/streams", "n2")),
]


def name(case):
    user, a = case
    return f"{user.name}-{a.verb}-{a.resource or a.path}-{a.subresource}-{a.name}-{a.field_selector}"


@pytest.mark.parametrize("case", ALLOWED, ids=name)
def test_allowed(authorizer, case):
    authorizer.authorize(*case)


@pytest.mark.parametrize("case", REFUSED, ids=name)
def test_refused(authorizer, case):
    with pytest.raises(Forbidden):
        authorizer.authorize(*case)


VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
RESOURCES = [
    "namespaces", "nodes", "pods", "pods/status", "pods/binding", "pods/exec", "pods/log", "pods/eviction",
    "pods/attach", "configmaps", "secrets", "serviceaccounts", "serviceaccounts/token", "endpoints",
    "persistentvolumes", "apps/deployments", "apps.x/deployments", "apps.x/deployments/scale", "rbac.x/clusterroles",
    "coordination.k8s.io/leases", CSR, f"{CSR}/approval", f"{CSR}/status", "longboat.dev/nodes",
]  # fmt: skip


def test_without_authorities_nobody_may_anything():
    with pytest.raises(Forbidden):
        Authorizer().authorize(ADMIN, on("list", "pods"))


def test_a_walk_over_everything_is_refused_but_for_what_is_listed(authorizer):
    """Other people's objects: nobody but an administrator gets anywhere."""
    for user, verb, what in itertools.product((ANONYMOUS, SOMEBODY, JOINING, NODE), VERBS, RESOURCES):
        asked = on(verb, what, "" if verb in ("list", "watch", "create", "deletecollection") else "others", "shop")
        expected = (what == CSR and verb in ("create", "get") and user in (JOINING, NODE)) or (
            # Of what an agent creates the object is looked at: its own Node, mirrors of its static pods.
            (what, verb, user) in (("nodes", "create", NODE), ("pods", "create", NODE))
        )
        assert authorizer.allowed(user, asked) is expected, (user.name, asked)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (
            on("get", "pods", "x", "n"),
            'pods "x" is forbidden: User "jane" cannot get resource "pods" in API group "" in the namespace "n"',
        ),
        (
            on("patch", "apps.k/deployments/scale", "x", "n"),
            'deployments.apps.k "x" is forbidden: User "jane" cannot patch resource "deployments/scale" in API group'
            ' "apps.k" in the namespace "n"',
        ),
        (
            on("list", "nodes"),
            'nodes is forbidden: User "jane" cannot list resource "nodes" in API group "" at the cluster scope',
        ),
        (at("get", "/metrics"), 'forbidden: User "jane" cannot get path "/metrics"'),
    ],
    ids=["namespaced", "subresource", "cluster", "path"],
)
def test_refusals_are_worded_as_kubernetes_words_them(asked, message):
    error = forbidden(SOMEBODY, asked)
    assert error.message == message
    assert (error.code, error.reason, error.kind, error.name) == (403, "Forbidden", asked.resource, asked.name)


def test_a_node_is_told_apart_from_who_calls_itself_one():
    assert node_name(NODE) == "n1"
    assert node_name(User("system:node:n1")) is None


def node(labels=None, name="n1", **spec):
    return {"metadata": {"name": name, "labels": labels or {}}, "spec": spec}


TAINTS = [{"key": "k", "effect": "NoSchedule"}]


@pytest.mark.parametrize(
    ("new", "old", "words"),
    [
        (node(name="n2"), None, "another node"),
        (node({"node-restriction.kubernetes.io/tier": "db"}), None, "labels"),
        (node(podCIDR="10.0.0.0/8"), None, "podCIDR"),
        (node(taints=[]), node(taints=TAINTS), "taints"),
        (node(), node({"node-restriction.kubernetes.io/tier": "db"}), "labels"),
        (node(podCIDR="10.0.0.0/8"), node(podCIDR="10.42.0.0/24"), "podCIDR"),
    ],
    ids=["other", "restricted-label", "cidr", "untaint", "restricted-label-away", "other-cidr"],
)
def test_a_node_may_not_write_what_is_administrators(new, old, words):
    with pytest.raises(Forbidden, match=words):
        restrict_node(NODE, on("patch" if old else "create", "nodes", "n1"), new, old)
    restrict_node(ADMIN, on("patch" if old else "create", "nodes", "n1"), new, old)


@pytest.mark.parametrize(
    ("new", "old"),
    [(node({"a": "b"}), None), (node(taints=TAINTS), None), (node({"a": "c"}, taints=TAINTS), node(taints=TAINTS))],
    ids=["labels", "registers-tainted", "update"],
)
def test_a_node_may_write_its_own(new, old):
    restrict_node(NODE, on("patch", "nodes", "n1"), new, old)


@pytest.mark.parametrize(
    ("selector", "fixed"),
    [
        ("a=b,c==d", {"a": "b", "c": "d"}),
        ("a!=b", {}),
        ("", {}),
        (r"a=b\,c=d", {}),
    ],
)
def test_what_a_field_selector_fixes(selector, fixed):
    assert selected(selector) == fixed


TO_MINE = {"kind": "Pod", "apiVersion": "v1", "name": "mine", "uid": "u"}


@pytest.mark.parametrize("spec", [{"boundObjectRef": TO_MINE}, {"boundObjectRef": TO_MINE, "audiences": ["vault"]}])
def test_an_agent_gets_tokens_of_its_pods(spec):
    restrict_token(NODE, spec, msgspec.convert(MINE, Pod))


@pytest.mark.parametrize(
    ("spec", "bound", "said"),
    [
        ({}, None, "not bound to a pod"),
        ({"boundObjectRef": TO_MINE | {"kind": "Secret"}}, None, "not bound to a pod"),
        ({"boundObjectRef": TO_MINE | {"uid": ""}}, MINE, "without a uid"),
        ({"boundObjectRef": TO_MINE}, OTHERS, "scheduled on a different node"),
        ({"boundObjectRef": TO_MINE}, PENDING, "scheduled on a different node"),
        ({"boundObjectRef": TO_MINE, "audiences": ["", "vault"]}, MINE, "0 or 1 audiences"),
        ({"boundObjectRef": TO_MINE, "audiences": ["bank"]}, MINE, 'audience "bank" not found in pod spec volume'),
        ({"boundObjectRef": TO_MINE}, MINE | {"spec": {"nodeName": "n1"}}, 'audience "" not found'),
    ],
)
def test_an_agent_gets_no_other_tokens(spec, bound, said):
    found = None if bound is None else msgspec.convert(bound, Pod)
    with pytest.raises(Forbidden, match=said):
        restrict_token(NODE, spec, found)
    restrict_token(ADMIN, spec, found)


def test_an_agent_is_told_that_a_thing_is_none_of_its_business(authorizer):
    with pytest.raises(Forbidden, match="no relationship found between node 'n1' and this object"):
        authorizer.authorize(NODE, on("get", "secrets", "their-secret", "shop"))
    with pytest.raises(Forbidden) as refused:
        authorizer.authorize(NODE, on("get", "apps.x/deployments", "d", "shop"))
    assert "relationship" not in refused.value.message

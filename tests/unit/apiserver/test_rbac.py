"""Roles and bindings on a real API server: who may do what, and what nobody may give away."""

from __future__ import annotations

from typing import Any

import pytest

from controlplane.apiserver.api import ApiServer
from controlplane.apiserver.authz import Authorizer, StaticRules
from controlplane.apiserver.identity import Attributes, User
from controlplane.apiserver.local_client import LocalClient
from controlplane.apiserver.rbac.authority import RbacAuthority
from controlplane.apiserver.rbac.escalation import Escalation
from shared.api.errors import Forbidden, Invalid, NotFound
from shared.api.kinds import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, RBAC, ROLE_BINDINGS, ROLES

JANE = User("jane", ("developers", "system:authenticated"))
ROBOT = User("system:serviceaccount:g:robot", ("system:serviceaccounts", "system:serviceaccounts:g"))
PODS = {"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods"]}
SECRETS = {"verbs": ["get"], "apiGroups": [""], "resources": ["secrets"]}
WRITES = {"verbs": ["*"], "apiGroups": [RBAC], "resources": ["*"]}


@pytest.fixture
def rbac(api: ApiServer) -> RbacAuthority:
    authority = RbacAuthority(api)
    api.restrictions.append(Escalation(authority, Authorizer(StaticRules(), authority)).check)
    return authority


def asked(resource: str = "pods", verb: str = "get", namespace: str = "g") -> Attributes:
    return Attributes(verb, "", "", "v1", resource, "", namespace, "p")


def role(name: str, *rules: Any, **more: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "rules": list(rules), **more}


def binding(name: str, of: str, *subjects: dict[str, str], kind: str = "Role") -> dict[str, Any]:
    return {"metadata": {"name": name}, "roleRef": {"kind": kind, "name": of}, "subjects": list(subjects)}


USER = {"kind": "User", "name": "jane"}
GROUP = {"kind": "Group", "name": "developers"}
ACCOUNT = {"kind": "ServiceAccount", "name": "robot"}


@pytest.mark.parametrize(
    ("subject", "user"),
    [(USER, JANE), (GROUP, JANE), (ACCOUNT, ROBOT), (ACCOUNT | {"namespace": "g"}, ROBOT)],
    ids=["user", "group", "account", "account with namespace"],
)
async def test_a_role_holds_in_its_namespace(
    client: LocalClient, rbac: RbacAuthority, subject: dict[str, str], user: User
) -> None:
    assert not rbac.allows(user, asked())
    await client.create(ROLES, role("reader", PODS), "g")
    await client.create(ROLE_BINDINGS, binding("b", "reader", subject), "g")
    assert rbac.allows(user, asked())
    assert not rbac.allows(user, asked(verb="delete"))
    assert not rbac.allows(user, asked("secrets"))
    assert not rbac.allows(user, asked(namespace="other"))
    assert not rbac.allows(user, asked(namespace=""))
    assert not rbac.allows(User("joe", ("system:authenticated",)), asked())


async def test_a_cluster_role_holds_where_it_is_bound(client: LocalClient, rbac: RbacAuthority) -> None:
    await client.create(CLUSTER_ROLES, role("reader", PODS))
    await client.create(ROLE_BINDINGS, binding("b", "reader", USER, kind="ClusterRole"), "g")
    assert rbac.allows(JANE, asked())
    assert not rbac.allows(JANE, asked(namespace="other"))
    await client.create(CLUSTER_ROLE_BINDINGS, binding("b", "reader", USER, kind="ClusterRole"))
    assert rbac.allows(JANE, asked(namespace="other"))
    assert rbac.allows(JANE, asked(namespace=""))
    assert rbac.why(JANE, asked()) == ('RBAC: allowed by ClusterRoleBinding "b" of ClusterRole "reader" to User "jane"')


async def test_what_is_taken_away_is_gone_at_once(client: LocalClient, rbac: RbacAuthority) -> None:
    await client.create(ROLES, role("reader", PODS), "g")
    await client.create(ROLE_BINDINGS, binding("b", "reader", USER), "g")
    assert rbac.allows(JANE, asked())
    await client.patch(ROLES, "reader", {"rules": [SECRETS]}, "g")
    assert (rbac.allows(JANE, asked()), rbac.allows(JANE, asked("secrets"))) == (False, True)
    await client.delete(ROLES, "reader", "g")
    assert not rbac.allows(JANE, asked("secrets"))
    await client.create(ROLES, role("reader", PODS), "g")
    assert rbac.allows(JANE, asked())
    await client.delete(ROLE_BINDINGS, "b", "g")
    assert not rbac.allows(JANE, asked())


async def test_a_refusal_names_the_roles_that_are_not_there(client: LocalClient, rbac: RbacAuthority) -> None:
    authorizer = Authorizer(StaticRules(), rbac)
    plain = 'pods "p" is forbidden: User "jane" cannot get resource "pods" in API group "" in the namespace "g"'

    def refusal() -> str:
        with pytest.raises(Forbidden) as refused:
            authorizer.authorize(JANE, asked())
        return refused.value.message.removeprefix(plain)

    assert refusal() == ""
    await client.create(ROLE_BINDINGS, binding("b", "none", USER), "g")
    assert refusal() == ': RBAC: role.rbac.authorization.k8s.io "none" not found'
    await client.create(CLUSTER_ROLE_BINDINGS, binding("b", "x", GROUP, kind="ClusterRole"))
    await client.create(ROLE_BINDINGS, binding("c", "none", GROUP), "g")  # told once
    assert refusal() == (
        ': RBAC: [clusterrole.rbac.authorization.k8s.io "x" not found, role.rbac.authorization.k8s.io "none" not found]'
    )
    assert rbac.refusal(JANE, asked(namespace="other")) == ('RBAC: clusterrole.rbac.authorization.k8s.io "x" not found')
    assert rbac.refusal(ROBOT, asked()) == ""
    await client.create(CLUSTER_ROLES, role("x", SECRETS))
    assert refusal() == ': RBAC: role.rbac.authorization.k8s.io "none" not found'


# --- escalation


@pytest.fixture
async def jane(client: LocalClient, api: ApiServer, rbac: RbacAuthority) -> LocalClient:
    """Jane may write roles and read pods in g."""
    await client.create(ROLES, role("janes", PODS, WRITES | {"verbs": ["create", "update", "patch", "get"]}), "g")
    await client.create(ROLE_BINDINGS, binding("janes", "janes", USER), "g")
    return LocalClient(api, JANE)


async def test_nobody_gives_more_than_he_has(jane: LocalClient, client: LocalClient) -> None:
    await jane.create(ROLES, role("less", PODS | {"verbs": ["get"]}), "g")
    with pytest.raises(Forbidden) as refused:
        await jane.create(ROLES, role("more", PODS, SECRETS | {"verbs": ["get", "list"]}), "g")
    assert refused.value.message == (
        'roles.rbac.authorization.k8s.io "more" is forbidden: user "jane" (groups=["developers" '
        '"system:authenticated"]) is attempting to grant RBAC permissions not currently held:\n'
        '{APIGroups:[""], Resources:["secrets"], Verbs:["get" "list"]}'
    )
    with pytest.raises(Forbidden):
        await jane.patch(ROLES, "less", {"rules": [SECRETS]}, "g")
    await jane.patch(ROLES, "less", {"metadata": {"labels": {"a": "b"}}}, "g")
    await client.create(ROLES, role("big", SECRETS), "g")
    await jane.patch(ROLES, "big", {"metadata": {"labels": {"a": "b"}}}, "g")  # not her doing


async def test_nobody_binds_more_than_he_has(jane: LocalClient, client: LocalClient) -> None:
    await client.create(ROLES, role("big", SECRETS), "g")
    await client.create(ROLES, role("small", PODS), "g")
    await jane.create(ROLE_BINDINGS, binding("b", "small", GROUP), "g")
    with pytest.raises(Forbidden, match="not currently held"):
        await jane.create(ROLE_BINDINGS, binding("c", "big", GROUP), "g")
    with pytest.raises(NotFound, match=r'roles.rbac.authorization.k8s.io "none" not found'):
        await jane.create(ROLE_BINDINGS, binding("c", "none", GROUP), "g")
    await client.create(ROLE_BINDINGS, binding("c", "big"), "g")
    with pytest.raises(Forbidden):
        await jane.patch(ROLE_BINDINGS, "c", {"subjects": [GROUP]}, "g")


@pytest.mark.parametrize(("verb", "plural"), [("escalate", "roles"), ("bind", "roles")])
async def test_who_may_escalate_or_bind_may(jane: LocalClient, client: LocalClient, verb: str, plural: str) -> None:
    await client.create(ROLES, role("big", SECRETS), "g")
    more = {"verbs": [verb], "apiGroups": [RBAC], "resources": [plural]}
    await client.create(ROLES, role("may", more), "g")
    await client.create(ROLE_BINDINGS, binding("may", "may", USER), "g")
    if verb == "escalate":
        await jane.create(ROLES, role("more", SECRETS), "g")
    else:
        await jane.create(ROLE_BINDINGS, binding("c", "big", GROUP), "g")


async def test_aggregation_is_for_administrators(client: LocalClient, api: ApiServer, rbac: RbacAuthority) -> None:
    await client.create(CLUSTER_ROLES, role("writer", WRITES))
    await client.create(CLUSTER_ROLE_BINDINGS, binding("writer", "writer", USER, kind="ClusterRole"))
    rule = {"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]}
    # "*" on roles is "escalate" too, so this one may; with the plain verbs only an administrator may.
    await LocalClient(api, JANE).create(CLUSTER_ROLES, role("all", aggregationRule=rule))
    plain = WRITES | {"verbs": ["create", "update"]}
    await client.patch(CLUSTER_ROLES, "writer", {"rules": [plain]})
    with pytest.raises(Forbidden, match="must have cluster-admin privileges to use the aggregationRule"):
        await LocalClient(api, JANE).create(CLUSTER_ROLES, role("again", aggregationRule=rule))


# --- validation


@pytest.mark.parametrize(
    ("resource", "obj", "field"),
    [
        (ROLES, role("r", {"apiGroups": [""], "resources": ["pods"]}), "rules[0].verbs"),
        (ROLES, role("r", {"verbs": ["get"], "resources": ["pods"]}), "rules[0].apiGroups"),
        (ROLES, role("r", {"verbs": ["get"], "apiGroups": [""]}), "rules[0].resources"),
        (ROLES, role("r", {"verbs": ["get"], "nonResourceURLs": ["/x"]}), "rules[0].nonResourceURLs"),
        (CLUSTER_ROLES, role("r", PODS | {"nonResourceURLs": ["/x"]}), "rules[0].nonResourceURLs"),
        (CLUSTER_ROLES, role("r", aggregationRule={}), "aggregationRule.clusterRoleSelectors"),
        (ROLE_BINDINGS, binding("b", ""), "roleRef.name"),
        (ROLE_BINDINGS, binding("b", "a/b"), "roleRef.name"),
        (ROLE_BINDINGS, binding("b", "r", kind="Pod"), "roleRef.kind"),
        (CLUSTER_ROLE_BINDINGS, binding("b", "r", kind="Role"), "roleRef.kind"),
        (ROLE_BINDINGS, binding("b", "r", {"kind": "User"}), "subjects[0].name"),
        (ROLE_BINDINGS, binding("b", "r", {"kind": "Robot", "name": "x"}), "subjects[0].kind"),
        (ROLE_BINDINGS, binding("b", "r", USER | {"apiGroup": "x"}), "subjects[0].apiGroup"),
        (CLUSTER_ROLE_BINDINGS, binding("b", "r", ACCOUNT, kind="ClusterRole"), "subjects[0].namespace"),
    ],
)
async def test_what_is_wrong_is_named(client: LocalClient, resource: Any, obj: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as refused:
        await client.create(resource, obj, "g" if resource.namespaced else "")
    assert [cause.field for cause in refused.value.causes] == [field]


async def test_a_binding_keeps_its_role(client: LocalClient) -> None:
    await client.create(ROLE_BINDINGS, binding("b", "r", USER), "g")
    with pytest.raises(Invalid, match="cannot change roleRef"):
        await client.patch(ROLE_BINDINGS, "b", {"roleRef": {"name": "other"}}, "g")

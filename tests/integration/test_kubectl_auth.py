"""kubectl auth, create role and rolebinding, and what a user without rights gets, against a server process."""

import json
import ssl

import pytest

from shared import pki, tls
from shared.cluster_pki import load_cluster_ca
from tests.cluster import eventually
from tests.raw import Line


@pytest.fixture(scope="module")
def cluster(cluster):
    eventually(lambda: cluster.get("clusterrole", "view").get("rules"), "the default roles, the aggregated ones too")
    return cluster


def line_of(cluster, user, *groups):
    ca = load_cluster_ca(cluster.directory / "data")
    context: ssl.SSLContext = tls.client_context(ca.pem, pki.client_certificate(ca, user, groups))
    return Line(cluster, context)


def as_user(cluster, user, *arguments, check=True):
    return cluster.kubectl("--as", user, *arguments, check=check)


def test_can_i(cluster):
    assert cluster.kubectl("auth", "can-i", "create", "pods").stdout.strip() == "yes"
    done = as_user(cluster, "joe", "auth", "can-i", "list", "secrets", check=False)
    assert (done.returncode, done.stdout.strip()) == (1, "no")


def test_roles_made_by_kubectl_give_rights(cluster):
    cluster.kubectl("create", "role", "reader", "--verb=get,list,watch", "--resource=pods,pods/log")
    cluster.kubectl("create", "rolebinding", "janes", "--role=reader", "--user=jane")
    cluster.kubectl("create", "clusterrole", "metrics", "--verb=get", "--non-resource-url=/metrics")
    cluster.kubectl("create", "clusterrolebinding", "janes", "--clusterrole=metrics", "--user=jane")
    assert as_user(cluster, "jane", "auth", "can-i", "list", "pods").stdout.strip() == "yes"
    listed = as_user(cluster, "jane", "auth", "can-i", "--list").stdout
    assert "pods/log" in listed
    assert "/metrics" in listed
    assert "selfsubjectreviews.authentication.k8s.io" in listed
    with line_of(cluster, "jane") as line:
        assert line.ask("GET", "/api/v1/namespaces/default/pods").code == 200
        assert line.ask("GET", "/metrics").code == 200
        refused = line.ask("GET", "/api/v1/namespaces/kube-system/pods")
    assert refused.code == 403
    assert refused.message == (
        'pods is forbidden: User "jane" cannot list resource "pods" in API group "" in the namespace "kube-system"'
    )
    assert "reader" in cluster.kubectl("get", "rolebindings", "-o", "wide").stdout
    assert "pods/log" in cluster.kubectl("describe", "role", "reader").stdout


def test_a_service_account_has_what_is_bound_to_it(cluster):
    cluster.kubectl("create", "serviceaccount", "robot")
    cluster.kubectl("create", "rolebinding", "robots", "--clusterrole=view", "--serviceaccount=default:robot")
    account = "system:serviceaccount:default:robot"
    assert as_user(cluster, account, "auth", "can-i", "list", "deployments.apps").stdout.strip() == "yes"
    assert as_user(cluster, account, "auth", "can-i", "get", "secrets", check=False).stdout.strip() == "no"
    assert as_user(cluster, account, "auth", "can-i", "list", "pods", "-n", "kube-system", check=False).returncode == 1


def test_who_am_i(cluster):
    told = json.loads(as_user(cluster, "jane", "auth", "whoami", "-o", "json").stdout)
    assert told["status"]["userInfo"] == {"username": "jane", "groups": ["system:authenticated"]}


def test_reconcile(cluster, tmp_path):
    path = tmp_path / "role.yaml"
    path.write_text(
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: more, namespace: default}\n"
        "rules: [{verbs: [get], apiGroups: [''], resources: [services]}]\n"
    )
    assert "reconciled" in cluster.kubectl("auth", "reconcile", "-f", str(path)).stdout
    assert cluster.get("role", "more")["rules"] == [{"verbs": ["get"], "apiGroups": [""], "resources": ["services"]}]


def test_reconcile_gives_back_what_is_missing_and_takes_only_when_told(cluster, tmp_path):
    def write(verbs, subject):
        path = tmp_path / "rights.yaml"
        path.write_text(
            "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: lookers}\n"
            f"rules: [{{verbs: {verbs}, apiGroups: [''], resources: [nodes]}}]\n---\n"
            "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata: {name: lookers}\n"
            "roleRef: {kind: ClusterRole, name: lookers, apiGroup: rbac.authorization.k8s.io}\n"
            f"subjects: [{{kind: User, name: {subject}, apiGroup: rbac.authorization.k8s.io}}]\n"
        )
        return "auth", "reconcile", "-f", str(path)

    def have():
        verbs = [verb for rule in cluster.get("clusterrole", "lookers")["rules"] for verb in rule["verbs"]]
        return sorted(verbs), [subject["name"] for subject in cluster.get("clusterrolebinding", "lookers")["subjects"]]

    cluster.kubectl(*write("[get, list]", "ann"))
    cluster.kubectl(*write("[get, watch]", "bob"), "--dry-run=client")
    assert have() == (["get", "list"], ["ann"])
    cluster.kubectl(*write("[get, watch]", "bob"))
    assert have() == (["get", "list", "watch"], ["ann", "bob"])
    cluster.kubectl(*write("[get]", "bob"), "--remove-extra-permissions", "--remove-extra-subjects")
    assert have() == (["get"], ["bob"])
    assert as_user(cluster, "bob", "auth", "can-i", "get", "nodes").stdout.strip() == "yes"


def test_a_refusal_tells_which_role_is_missing(cluster):
    cluster.kubectl("create", "clusterrolebinding", "dangling", "--clusterrole=nowhere", "--user=dora")
    missing = 'RBAC: clusterrole.rbac.authorization.k8s.io "nowhere" not found'
    with line_of(cluster, "dora") as line:
        refused = line.ask("GET", "/api/v1/nodes")
        own = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
        rules = line.ask("POST", own, {"spec": {"namespace": "default"}})
    assert (refused.code, refused.message.endswith(f"at the cluster scope: {missing}")) == (403, True)
    spec = {"user": "dora", "resourceAttributes": {"verb": "list", "resource": "nodes"}}
    with Line(cluster) as line:
        reply = line.ask("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", {"spec": spec})
    assert reply.tree["status"] == {"allowed": False, "reason": missing}
    assert f"RBAC: {rules.tree['status']['evaluationError']}" == missing


def test_an_administrator_may_everything(cluster):
    listed = cluster.kubectl("auth", "can-i", "--list").stdout
    assert ["*.*", "[]", "[]", "[*]"] in [line.split() for line in listed.splitlines()]
    assert ["[*]", "[]", "[*]"] in [line.split() for line in listed.splitlines()]


def test_default_roles_come_back_with_the_next_start(cluster):
    cluster.kubectl("delete", "role", "extension-apiserver-authentication-reader", "-n", "kube-system")
    cluster.kubectl("patch", "clusterrole", "system:discovery", "--type=merge", "-p", '{"rules": []}')
    cluster.kubectl("annotate", "--overwrite", "clusterrole", "system:heapster",
                    "rbac.authorization.kubernetes.io/autoupdate=false")  # fmt: skip
    cluster.kubectl("patch", "clusterrole", "system:heapster", "--type=merge", "-p", '{"rules": []}')
    cluster.stop()
    cluster.start()
    eventually(lambda: cluster.get("clusterrole", "system:discovery")["rules"], "the rules are back")
    eventually(
        lambda: cluster.get("role", "extension-apiserver-authentication-reader", "-n", "kube-system"), "the role is"
    )
    assert not cluster.get("clusterrole", "system:heapster").get("rules")


def test_reviews_by_administrators(cluster):
    spec = {"user": "jane", "resourceAttributes": {"verb": "list", "resource": "pods", "namespace": "default"}}
    with Line(cluster) as line:
        path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
        reply = line.ask("POST", path, {"spec": spec})
        assert (reply.code, reply.tree["status"]["allowed"]) == (201, True)
        assert 'RoleBinding "janes/default" of Role "reader" to User "jane"' in reply.tree["status"]["reason"]
        local = "/apis/authorization.k8s.io/v1/namespaces/default/localsubjectaccessreviews"
        assert line.ask("POST", local, {"spec": spec}).tree["status"]["allowed"] is True
        bad = line.ask("POST", local, {"spec": {"user": "x", "resourceAttributes": {"namespace": "other"}}})
        assert (bad.code, bad.fields) == (422, ["spec.resourceAttributes.namespace"])
        assert line.ask("POST", path, {"spec": {"user": "x"}}).code == 422
        assert line.ask("POST", path, {"spec": {"resourceAttributes": {}}}).fields == ["spec.user"]
    with line_of(cluster, "jane") as line:
        assert line.ask("POST", path, {"spec": spec}).code == 403


def walk(cluster):
    """Every verb of every resource and subresource that is served, and the other pages."""
    with Line(cluster) as line:
        groups = ["/api/v1"]
        for group in line.ask("GET", "/apis").tree["groups"]:
            groups += [f"/apis/{version['groupVersion']}" for version in group["versions"]]
        for group in groups:
            for resource in line.ask("GET", group).tree["resources"]:
                plural, _, sub = resource["name"].partition("/")
                where = f"{group}/namespaces/default/{plural}" if resource["namespaced"] else f"{group}/{plural}"
                named = f"{where}/a-name" + (f"/{sub}" if sub else "")
                for verb in resource["verbs"]:
                    match verb:
                        case "create":
                            yield "POST", named if sub else where, plural
                        case "list" | "watch":
                            yield "GET", where + ("?watch=1" if verb == "watch" else ""), plural
                        case "deletecollection":
                            yield "DELETE", where, plural
                        case _:
                            yield (
                                {"get": "GET", "update": "PUT", "patch": "PATCH", "delete": "DELETE"}[verb],
                                named,
                                plural,
                            )
    for path in ("/metrics", "/readyz/store", "/openid/v1/jwks", "/logs", "/debug/pprof"):
        yield "GET", path, ""


EVERYBODYS = {"selfsubjectaccessreviews", "selfsubjectrulesreviews", "selfsubjectreviews"}


def test_who_has_no_rights_gets_nothing_anywhere(cluster):
    seen = 0
    with line_of(cluster, "nobody") as line:
        for method, path, plural in walk(cluster):
            reply = line.ask(method, path, "{}" if method in ("POST", "PUT", "PATCH") else None)
            seen += 1
            if plural in EVERYBODYS:
                assert reply.code in (201, 400, 422), (method, path, reply)
            else:
                assert reply.code == 403, (method, path, reply)
    assert seen > 100

"""Which rule of an audit policy a request meets, and what a policy must not say."""

from pathlib import Path
from typing import Any

import pytest

from controlplane.apiserver.audit.policy import Level, PolicyError, Stage, load, parse
from controlplane.apiserver.identity import Attributes, User

JANE = User("jane", ("developers", "system:authenticated"))


def policy(*rules: dict[str, Any], **more: Any) -> Any:
    return {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": list(rules), **more}


def asked(
    verb: str = "get", resource: str = "pods", sub: str = "", namespace: str = "g", name: str = "p", group: str = ""
):
    return Attributes(verb, "/api", group, "v1", resource, sub, namespace, name)


PODS = {"group": "", "resources": ["pods"]}


@pytest.mark.parametrize(
    ("rule", "attributes", "matches"),
    [
        pytest.param({}, asked(), True, id="an empty rule"),
        pytest.param({}, Attributes("get", "/healthz"), True, id="an empty rule and a path"),
        pytest.param({"users": ["jane"]}, asked(), True, id="user"),
        pytest.param({"users": ["joe"]}, asked(), False, id="another user"),
        pytest.param({"userGroups": ["x", "developers"]}, asked(), True, id="group"),
        pytest.param({"userGroups": ["x"]}, asked(), False, id="another group"),
        pytest.param({"verbs": ["list", "get"]}, asked(), True, id="verb"),
        pytest.param({"verbs": ["list"]}, asked(), False, id="another verb"),
        pytest.param({"namespaces": ["g"]}, asked(), True, id="namespace"),
        pytest.param({"namespaces": ["h"]}, asked(), False, id="another namespace"),
        pytest.param({"namespaces": [""]}, asked(resource="nodes", namespace=""), True, id="no namespace"),
        pytest.param({"resources": [PODS]}, asked(), True, id="resource"),
        pytest.param({"resources": [PODS]}, asked(sub="log"), False, id="not its subresources"),
        pytest.param(
            {"resources": [{"group": "", "resources": ["pods/log"]}]}, asked(sub="log"), True, id="subresource"
        ),
        pytest.param({"resources": [{"group": "", "resources": ["pods/*"]}]}, asked(sub="log"), True, id="every sub"),
        pytest.param({"resources": [{"group": "", "resources": ["pods/*"]}]}, asked(), True, id="and the resource"),
        pytest.param({"resources": [{"group": "", "resources": ["*/log"]}]}, asked(), False, id="only that sub"),
        pytest.param({"resources": [{"group": "", "resources": ["*/log"]}]}, asked(sub="exec"), False, id="not others"),
        pytest.param({"resources": [{"group": "*", "resources": ["*"]}]}, asked(), False, id="groups have no wildcard"),
        pytest.param({"users": ["*"]}, asked(), False, id="nor have users"),
        pytest.param({"resources": [PODS], "namespaces": ["h"]}, asked(), False, id="both must match"),
        pytest.param({"users": ["jane"], "verbs": ["list"]}, asked(), False, id="all must match"),
        pytest.param({"nonResourceURLs": ["*"]}, Attributes("get", "/healthz"), True, id="every path"),
        pytest.param({"namespaces": ["g"]}, Attributes("get", "/healthz"), False, id="a path has no namespace"),
        pytest.param({"resources": [{"group": "", "resources": ["*/log"]}]}, asked(sub="log"), True, id="a sub of all"),
        pytest.param({"resources": [{"group": "", "resources": ["*"]}]}, asked(sub="log"), True, id="everything"),
        pytest.param({"resources": [{"group": ""}]}, asked(), True, id="a whole group"),
        pytest.param({"resources": [{"group": "apps"}]}, asked(), False, id="another group"),
        pytest.param({"resources": [PODS | {"resourceNames": ["p"]}]}, asked(), True, id="name"),
        pytest.param({"resources": [PODS | {"resourceNames": ["q"]}]}, asked(), False, id="another name"),
        pytest.param({"resources": [PODS]}, Attributes("get", "/healthz"), False, id="a path is no resource"),
        pytest.param({"nonResourceURLs": ["/healthz*"]}, Attributes("get", "/healthz/ping"), True, id="path"),
        pytest.param({"nonResourceURLs": ["/healthz"]}, Attributes("get", "/healthz/ping"), False, id="another path"),
        pytest.param({"nonResourceURLs": ["*"]}, asked(), False, id="a resource is no path"),
    ],
)
def test_matching(rule: dict[str, Any], attributes: Attributes, matches: bool) -> None:
    found = parse(policy({"level": "Metadata", **rule}), "p").verdict(JANE, attributes)
    assert (found.level is Level.METADATA) is matches


def test_the_first_rule_counts_and_stages_add_up() -> None:
    rules = ({"level": "None", "users": ["joe"]}, {"level": "Request", "omitStages": ["Panic"]}, {"level": "Metadata"})
    found = parse(policy(*rules, omitStages=["RequestReceived"], omitManagedFields=True), "p")
    assert found.verdict(User("joe"), asked()).level is Level.NONE
    verdict = found.verdict(JANE, asked())
    assert (verdict.level, verdict.omit_stages) == (Level.REQUEST, {Stage.PANIC, Stage.RECEIVED})
    assert verdict.omit_managed_fields
    assert parse(policy(), "p").verdict(JANE, asked()).level is Level.NONE
    assert found.verdict(None, asked()).level is Level.REQUEST


@pytest.mark.parametrize(
    ("tree", "said"),
    [
        (None, "Expected `object`"),
        ({"kind": "Policy", "rules": []}, "apiVersion"),
        (policy() | {"apiVersion": "audit.k8s.io/v1beta1"}, "not audit.k8s.io/v1 Policy"),
        (policy({}), r"level.*rules\[0\]"),
        (policy({"level": "metadata"}), r"rules\[0\].level: 'metadata' is none of None, Metadata"),
        (policy({"level": "None", "user": ["x"]}), r"unknown field `user`.*rules\[0\]"),
        (policy({"level": "None", "omitStages": ["Never"]}), "Never"),
        (policy({"level": "None", "namespaces": ["x"], "nonResourceURLs": ["*"]}), "not both"),
        (policy({"level": "None", "nonResourceURLs": ["/a*b"]}), "at its end only"),
        (policy({"level": "None", "resources": [{"group": "", "resourceNames": ["x"]}]}), "at least one resource"),
    ],
)
def test_a_policy_that_cannot_be_used_says_where(tree: Any, said: str) -> None:
    with pytest.raises(PolicyError, match=said):
        parse(tree, "the file")


def test_a_rule_says_otherwise_of_managed_fields() -> None:
    rules = ({"level": "Request", "users": ["joe"], "omitManagedFields": False}, {"level": "Request"})
    found = parse(policy(*rules, omitManagedFields=True), "p")
    assert not found.verdict(User("joe"), asked()).omit_managed_fields
    assert found.verdict(JANE, asked()).omit_managed_fields


def test_a_file_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="cannot be read: No such file"):
        load(tmp_path / "none")
    (tmp_path / "odd").write_text("a: [")
    with pytest.raises(PolicyError, match="is not YAML"):
        load(tmp_path / "odd")

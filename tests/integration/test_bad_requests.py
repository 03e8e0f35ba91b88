"""Bad input to the server process, byte for byte: a Kubernetes error that names the field, and nothing is lost.

The server is one process for all of these, so each also shows that the ones before did it no harm.
"""

import json

import pytest

from tests.cluster import deployment
from tests.raw import CONFIG_MAPS, DEPLOYMENTS, JSON_PATCH, MERGE_PATCH, PODS, STRATEGIC_PATCH, Line, config_map

YAML = "application/yaml"


@pytest.fixture(scope="module")
def cluster(cluster):
    cluster.apply(config_map("kept", data={"a": "1"}), deployment("kept", 0))
    yield cluster
    cluster.stop()
    assert "Traceback" not in (cluster.directory / "server.log").read_text()


@pytest.fixture
def line(cluster):
    """A connection; afterwards it and the server still work, and what was there still is."""
    with Line(cluster) as line:
        before = [line.ask("GET", f"{path}/kept").tree["metadata"]["uid"] for path in (CONFIG_MAPS, DEPLOYMENTS)]
        yield line
        kept = line.ask("GET", f"{CONFIG_MAPS}/kept")
        assert (kept.code, kept.tree["data"]) == (200, {"a": "1"})
        assert kept.tree["metadata"]["uid"] == before[0]
        rest = line.ask("GET", f"{DEPLOYMENTS}/kept")
        assert (rest.code, rest.tree["metadata"]["generation"]) == (200, 1)
        assert rest.tree["metadata"]["uid"] == before[1]


def refused(reply, code, reason, said, field=None):
    assert (reply.code, reply.tree["kind"], reply.tree["status"]) == (code, "Status", "Failure"), reply.text[:500]
    assert (reply.tree["code"], reply.tree["reason"]) == (code, reason)
    assert said in reply.message
    if field is not None:
        assert field in reply.fields, reply.text[:500]


# --- text that is no object


def nested(levels, opened="[", closed="]"):
    return f'{{"kind":"ConfigMap","apiVersion":"v1","metadata":{{"name":"a"}},"x":{opened * levels}{closed * levels}}}'


BOMB = "a: &a [x, x]\n" + "".join(f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefghi", "bcdefghij", strict=True))  # fmt: skip  # noqa: E501


@pytest.mark.parametrize(
    ("body", "type", "said"),
    [
        ("{", "application/json", "invalid JSON: unexpected end of data: line 1 column 2"),
        ("a: [", YAML, "invalid YAML: while parsing a flow node"),
        ("", "application/json", "the request has no body"),
        ("null", "application/json", "must be an object, not null"),
        ("[]", "application/json", "must be an object, not an array"),
        (b"\xff\xfe{}", "application/json", "not valid UTF-8"),
        ('{"metadata":{"name":"\\ud800"}}', "application/json", "no low surrogate"),
        ("[" * 500_000, "application/json", "depth limit exceeded"),
        (nested(300), "application/json", "nested more than 254 deep"),
        ("[" * 500_000, YAML, "nested more than 250 deep"),
        ("- " * 500_000, YAML, "nested more than 250 deep"),
        (BOMB, YAML, "aliases stand for too much text"),
    ],
    ids=["broken JSON", "broken YAML", "nothing", "null", "a list", "no UTF-8", "half a character", "deep JSON",
         "JSON that cannot be written", "deep YAML", "deep YAML in blocks", "YAML bomb"],
)  # fmt: skip
def test_text_that_is_no_object(line, body, type, said):
    refused(line.ask("POST", CONFIG_MAPS, body, type), 400, "BadRequest", said)


# --- an object that is not what the path is for


@pytest.mark.parametrize(
    ("path", "body", "code", "said"),
    [
        (CONFIG_MAPS, {"kind": "Frob", "apiVersion": "v1"}, 400,
         'Frob in version "v1" cannot be handled as a ConfigMap'),
        (CONFIG_MAPS, {"kind": "ConfigMap", "apiVersion": "v9"}, 400,
         "the API version in the data (v9) does not match"),
        ("/api/v1/namespaces/default/frobs", {}, 404, "the server could not find the requested resource"),
        ("/api/v9/namespaces/default/configmaps", {}, 404, "the server could not find the requested resource"),
        ("/apis/frob.example/v1/frobs", {}, 404, "the server could not find the requested resource"),
        ("/api/v1/namespaces/nowhere/configmaps", config_map("a"), 404, 'namespaces "nowhere" not found'),
        (CONFIG_MAPS, config_map("a") | {"metadata": {"name": "a", "namespace": "other"}}, 400,
         "the namespace of the provided object does not match"),
    ],
    ids=["kind", "version", "no such resource", "no such version", "no such group", "no such namespace", "namespace"],
)  # fmt: skip
def test_an_unknown_kind_version_or_place(line, path, body, code, said):
    refused(line.ask("POST", path, body), code, "BadRequest" if code == 400 else "NotFound", said)


@pytest.mark.parametrize("validation", ["Strict", "Warn", "Ignore"])
def test_unknown_and_doubled_fields(line, validation):
    body = '{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"a"},"frob":1,"data":{"a":"1","a":"2"}}'
    reply = line.ask("POST", f"{CONFIG_MAPS}?fieldValidation={validation}&dryRun=All", body)
    if validation == "Strict":
        refused(reply, 400, "BadRequest", 'duplicate field "data.a"')
    else:
        assert (reply.code, reply.tree["frob"], reply.tree["data"]) == (201, 1, {"a": "2"})


# --- fields that do not hold


def web(**spec):
    tree = deployment("a", 1)
    tree["spec"] |= spec
    return tree


def container(**fields):
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}}
    return body | {"spec": {"containers": [{"name": "c", "image": "i", **fields}]}}


BAD_FIELDS = {
    "wrong type: a number": (
        CONFIG_MAPS,
        config_map("a", data={"a": 1}),
        400,
        "cannot unmarshal number into Go struct field data.a of type string",
    ),
    "wrong type: a list": (CONFIG_MAPS, config_map("a", data=[]), 400, "ConfigMap.data of type map[string]string"),
    "wrong type: in a list": (
        PODS,
        container(ports=[{"containerPort": "x"}]),
        400,
        "spec.containers[0].ports[0].containerPort",
    ),
    "wrong type: a quantity": (
        PODS,
        container(resources={"requests": {"cpu": "much"}}),
        400,
        "spec.containers[0].resources.requests.cpu",
    ),
    "bad name": (CONFIG_MAPS, config_map("A_b"), 422, "metadata.name"),
    "long name": (CONFIG_MAPS, config_map("a" * 254), 422, "metadata.name"),
    "no name": (CONFIG_MAPS, config_map(""), 422, "metadata.name"),
    "bad label": (
        CONFIG_MAPS,
        config_map("a") | {"metadata": {"name": "a", "labels": {"a b": "c"}}},
        422,
        "metadata.labels",
    ),
    "bad key": (CONFIG_MAPS, config_map("a", data={"a/b": ""}), 422, "data[a/b]"),
    "too much data": (CONFIG_MAPS, config_map("a", data={"a": "x" * ((1 << 20) + 1)}), 422, "[]"),
    "selector and template": (
        DEPLOYMENTS,
        web(selector={"matchLabels": {"app": "b"}}),
        422,
        "spec.template.metadata.labels",
    ),
    "no selector": (DEPLOYMENTS, web(selector=None), 422, "spec.selector"),
    "negative replicas": (DEPLOYMENTS, web(replicas=-1), 422, "spec.replicas"),
    "no containers": (PODS, container() | {"spec": {"containers": []}}, 422, "spec.containers"),
    "no image": (PODS, container(image=""), 422, "spec.containers[0].image"),
    "port out of range": (
        PODS,
        container(ports=[{"containerPort": 70000}]),
        422,
        "spec.containers[0].ports[0].containerPort",
    ),
    "unknown policy": (PODS, container(imagePullPolicy="Often"), 422, "spec.containers[0].imagePullPolicy"),
    "request over limit": (
        PODS,
        container(resources={"requests": {"cpu": 2}, "limits": {"cpu": 1}}),
        422,
        "spec.containers[0].resources.requests",
    ),
}


@pytest.mark.parametrize("case", BAD_FIELDS)
def test_a_field_that_does_not_hold_is_named(line, case):
    path, body, code, field = BAD_FIELDS[case]
    reply = line.ask("POST", path, body)
    if code == 400:
        refused(reply, 400, "BadRequest", field)
    else:
        refused(reply, 422, "Invalid", field, field)
    assert line.ask("GET", f"{path}/a").code == 404


def test_every_mistake_is_told_at_once(line):
    body = container(ports=[{"containerPort": 0}], imagePullPolicy="Often")
    body["spec"] |= {"restartPolicy": "Sometimes", "terminationGracePeriodSeconds": -1}
    found = line.ask("POST", PODS, body).fields
    assert {"spec.restartPolicy", "spec.containers[0].imagePullPolicy", "spec.containers[0].ports[0].containerPort"} <= set(found)  # fmt: skip  # noqa: E501


# --- changes


def test_immutable_fields(line):
    labels = {"app": "other"}
    change = {"spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}}}}
    reply = line.ask("PATCH", f"{DEPLOYMENTS}/kept", change, MERGE_PATCH)
    refused(reply, 422, "Invalid", "field is immutable", "spec.selector")
    for path, value in (("uid", "x"), ("name", "x"), ("namespace", "x")):
        reply = line.ask("PATCH", f"{CONFIG_MAPS}/kept", {"metadata": {path: value}}, MERGE_PATCH)
        assert 400 <= reply.code < 500, path
        assert reply.tree["kind"] == "Status"


def test_an_immutable_config_map(line):
    line.ask("POST", CONFIG_MAPS, config_map("fixed", data={"a": "1"}, immutable=True))
    reply = line.ask("PATCH", f"{CONFIG_MAPS}/fixed", {"data": {"a": "2"}}, MERGE_PATCH)
    refused(reply, 422, "Invalid", "field is immutable when `immutable` is set", "data")
    assert line.ask("DELETE", f"{CONFIG_MAPS}/fixed").code == 200


def test_conflicts(line):
    old = line.ask("GET", f"{CONFIG_MAPS}/kept").tree
    same = line.ask("PUT", f"{CONFIG_MAPS}/kept", old | {"metadata": old["metadata"] | {"labels": {"a": "b"}}})
    assert same.code == 200
    refused(line.ask("PUT", f"{CONFIG_MAPS}/kept", old), 409, "Conflict", "the object has been modified")
    refused(line.ask("POST", CONFIG_MAPS, config_map("kept")), 409, "AlreadyExists", 'configmaps "kept" already exists')
    options = {"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": {"uid": "another"}}
    refused(
        line.ask("DELETE", f"{CONFIG_MAPS}/kept", options),
        409,
        "Conflict",
        "the UID in the precondition (another) does not",
    )


DEEP = '{"x":' * 300 + "1" + "}" * 300


@pytest.mark.parametrize(
    ("type", "patch", "code", "said"),
    [
        (MERGE_PATCH, "{", 400, "error decoding patch: invalid JSON"),
        (MERGE_PATCH, "[]", 400, ""),
        (MERGE_PATCH, "", 400, "error decoding patch"),
        (MERGE_PATCH, '{"data":{"a":1}}', 422, "cannot unmarshal number into Go struct field data.a of type string"),
        (MERGE_PATCH, '{"metadata":{"resourceVersion":"1"}}', 409, "the object has been modified"),
        (JSON_PATCH, "{}", 400, "error decoding patch"),
        (JSON_PATCH, '[{"op":"frob","path":"/data/a"}]', 422, "Unexpected kind: frob"),
        (JSON_PATCH, '[{"op":"replace","path":"/data/z","value":"1"}]', 422, "path does not exist: /data/z"),
        (JSON_PATCH, '[{"op":"test","path":"/data/a","value":"2"}]', 422, "testing value /data/a failed"),
        (JSON_PATCH, '[{"op":"remove","path":""}]', 422, "the whole document cannot be removed"),
        (STRATEGIC_PATCH, '{"data":"x"}', 422, "data"),
        (STRATEGIC_PATCH, '{"metadata":{"ownerReferences":[{"name":"a"}]}}', 422, "ownerReferences"),
        (STRATEGIC_PATCH, '{"$patch":"frob"}', 400, "unknown patch type: frob"),
        (MERGE_PATCH, DEEP, 400, "nested more than 254 deep"),
        (STRATEGIC_PATCH, DEEP, 400, "nested more than 254 deep"),
        (JSON_PATCH, f'[{{"op":"add","path":"/x","value":{DEEP}}}]', 400, "nested more than 254 deep"),
        ("application/json", "{}", 415, "the body of the request was in an unknown format"),
    ],
    ids=["broken", "merge with a list", "empty", "wrong type", "stale", "no list", "no such operation", "no such path",
         "failed test", "removes all", "strategic wrong type", "no merge key", "no directive", "deep merge",
         "deep strategic", "deep value", "no patch type"],
)  # fmt: skip
def test_a_bad_patch(line, type, patch, code, said):
    reply = line.ask("PATCH", f"{CONFIG_MAPS}/kept", patch, type)
    assert (reply.code, reply.tree["kind"], reply.tree["code"]) == (code, "Status", code), reply.text[:500]
    assert said in reply.message


def test_a_patch_of_a_patch_never_grows_too_deep_to_be_served(line):
    line.ask("POST", CONFIG_MAPS, config_map("grows"))
    path = ""
    value = '{"x":' * 100 + "1" + "}" * 100
    for _ in range(3):
        reply = line.ask(
            "PATCH", f"{CONFIG_MAPS}/grows", f'[{{"op":"add","path":"{path}/x","value":{value}}}]', JSON_PATCH
        )
        path += "/x" * 100
    refused(reply, 400, "BadRequest", "nested more than 254 deep")
    assert line.ask("GET", f"{CONFIG_MAPS}/grows").code == 200
    assert line.ask("DELETE", f"{CONFIG_MAPS}/grows").code == 200


# --- questions


@pytest.mark.parametrize(
    ("query", "code", "reason", "said"),
    [
        ("limit=1&continue=xyz", 400, "BadRequest", "continue key is not valid"),
        ("limit=1&continue=eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MX0", 400, "BadRequest", "continue key is not valid"),
        ("limit=x", 400, "BadRequest", 'parsing "x": invalid syntax'),
        ("labelSelector=a%20b%20c", 400, "BadRequest", "unable to parse requirement"),
        ("fieldSelector=spec.x%3D1", 400, "BadRequest", "is not a known field selector"),
        ("watch=1&resourceVersion=abc", 400, "BadRequest", "invalid resource version"),
        ("resourceVersion=99999999999", 504, "Timeout", "Too large resource version"),
        ("watch=maybe&resourceVersion=abc", 400, "BadRequest", "invalid resource version"),
    ],
    ids=["continue", "another's continue", "limit", "label selector", "field selector", "watch from", "future",
         "watch=maybe is a watch"],
)  # fmt: skip
def test_a_question_that_makes_no_sense(line, query, code, reason, said):
    refused(line.ask("GET", f"{CONFIG_MAPS}?{query}"), code, reason, said)


def test_a_continue_token_that_was_changed(line):
    for number in range(4):
        line.ask("POST", CONFIG_MAPS, config_map(f"page{number}"))
    token = line.ask("GET", f"{CONFIG_MAPS}?limit=2").tree["metadata"]["continue"]
    assert line.ask("GET", f"{CONFIG_MAPS}?limit=2&continue={token}").code == 200
    for wrong in (token[:-4], token[::-1], token[:5] + "A" + token[6:], "A" * 5000):
        reply = line.ask("GET", f"{CONFIG_MAPS}?limit=2&continue={wrong}")
        assert reply.code in (200, 400, 410), reply.text  # a token may change into another that holds
        assert reply.tree["kind"] in ("Status", "ConfigMapList")
    for number in range(4):
        line.ask("DELETE", f"{CONFIG_MAPS}/page{number}")


@pytest.mark.parametrize(("method", "path"), [("POST", f"{CONFIG_MAPS}/kept"), ("PUT", CONFIG_MAPS), ("PATCH", PODS)])
def test_a_verb_that_is_not_there(line, method, path):
    refused(line.ask(method, path, {}), 405, "MethodNotAllowed", "the server does not allow this method")


def test_the_mistakes_of_kubectl_users(cluster, tmp_path):
    """The same through kubectl: exit code 1, the field, nothing made."""
    manifest = tmp_path / "bad.json"
    manifest.write_text(json.dumps(web(selector={"matchLabels": {"app": "b"}})))
    done = cluster.kubectl("apply", "-f", str(manifest), check=False)
    assert done.returncode == 1
    assert "spec.template.metadata.labels" in done.stderr
    manifest.write_text(json.dumps(web(replicas="three")))
    done = cluster.kubectl("apply", "-f", str(manifest), "--validate=false", check=False)
    assert done.returncode == 1
    assert "spec.replicas" in done.stderr
    assert cluster.kubectl("get", "deployment", "a", check=False).returncode == 1

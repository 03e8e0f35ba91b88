"""Static pods out of files: what they become, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from agent.static_pods.manifest import BadManifest, parse


def manifest(**spec: Any) -> dict[str, Any]:
    spec = {"containers": [{"name": "c", "image": "app:1"}]} | spec
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "labels": {"a": "b"}}, "spec": spec}


def encoded(tree: Any) -> bytes:
    return yaml.safe_dump(tree).encode()


def test_a_pod_of_this_node() -> None:
    static = parse(encoded(manifest()), "n1")
    meta, spec = static.pod.metadata, static.pod.spec
    assert (meta.name, meta.namespace, spec.node_name) == ("web-n1", "default", "n1")
    assert meta.annotations == {"kubernetes.io/config.hash": meta.uid, "kubernetes.io/config.source": "file"}
    assert [(t.operator, t.effect) for t in spec.tolerations] == [("Exists", "NoExecute")]
    assert (len(meta.uid), spec.containers[0].image_pull_policy) == (32, "IfNotPresent")


def test_its_uid_is_of_the_file_and_the_node() -> None:
    uids = {parse(encoded(tree), node).uid for tree in (manifest(), manifest(hostname="x")) for node in ("n1", "n2")}
    assert len(uids) == 4
    assert parse(encoded(manifest()), "n1").uid in uids


def test_what_the_api_is_shown() -> None:
    static = parse(encoded(manifest()), "n1")
    mirror = static.mirror("n1", "node-uid")
    assert "uid" not in mirror["metadata"]
    assert mirror["metadata"]["annotations"]["kubernetes.io/config.mirror"] == static.uid
    assert mirror["metadata"]["ownerReferences"] == [
        {"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": "node-uid", "controller": True}
    ]


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("app", "Always"),
        ("app:latest", "Always"),
        ("app:1", "IfNotPresent"),
        (f"app@sha256:{'0' * 64}", "IfNotPresent"),
    ],
)
def test_pull_policies_are_the_servers_defaults(image: str, policy: str) -> None:
    static = parse(encoded(manifest(containers=[{"name": "c", "image": image}])), "n1")
    assert static.pod.spec.containers[0].image_pull_policy == policy


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"a: [", "neither YAML nor JSON"),
        (b"- a", "not one v1 Pod"),
        (encoded(manifest() | {"kind": "Deployment"}), "not one v1 Pod"),
        (encoded({"apiVersion": "v1", "kind": "Pod"}), "needs metadata"),
        (encoded(manifest(containers=[])), "a spec with containers"),
        (encoded(manifest() | {"metadata": {"name": "Web"}}), "default/Web-n1 is no name of a pod"),
        (encoded(manifest() | {"metadata": {}}), "is no name of a pod"),
        (encoded(manifest(containers=[{"name": "C", "image": "a"}])), "a container has no name"),
        (encoded(manifest(containers=[{"name": "c", "image": "A"}])), "must be lower case"),
        (encoded(manifest(containers=["c"])), "Expected `object`"),
        (encoded(manifest(serviceAccountName="x")), "cannot refer to a ServiceAccount"),
        (encoded(manifest(imagePullSecrets=[{"name": "x"}])), "cannot refer to"),
        (encoded(manifest(volumes=[{"name": "v", "configMap": {"name": "x"}}])), "cannot refer to"),
        (encoded(manifest(volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "x"}}])), "cannot refer to"),
    ],
)
def test_what_is_no_static_pod(content: bytes, words: str) -> None:
    with pytest.raises(BadManifest) as refused:
        parse(content, "n1")
    assert words in str(refused.value)

"""What pods an agent may create: mirrors of its own static pods."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from controlplane.apiserver.identity import User
from controlplane.apiserver.mirror_pods import restrict_mirror_pod
from shared.api.errors import Forbidden

AGENT = User("system:node:n1", ("system:nodes",))
OWNER = {"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": "u", "controller": True}
MIRROR: dict[str, Any] = {
    "metadata": {"name": "web-n1", "annotations": {"kubernetes.io/config.mirror": "x"}, "ownerReferences": [OWNER]},
    "spec": {"nodeName": "n1", "containers": [{"name": "c", "image": "i"}]},
}


def changed(part: str, **fields: Any) -> dict[str, Any]:
    pod = copy.deepcopy(MIRROR)
    pod[part] |= fields
    return pod


def test_a_mirror_of_its_own_is_let_pass() -> None:
    restrict_mirror_pod(AGENT, MIRROR)


@pytest.mark.parametrize(
    ("pod", "words"),
    [
        (changed("metadata", annotations={}), 'does not have "kubernetes.io/config.mirror" annotation'),
        (changed("spec", nodeName="n2"), "with spec.nodeName set to itself"),
        (changed("spec", nodeName=""), "with spec.nodeName set to itself"),
        (changed("metadata", ownerReferences=[]), "with a single owner reference set to itself"),
        (changed("metadata", ownerReferences=[OWNER | {"kind": "Pod"}]), "with a single owner reference"),
        (changed("metadata", ownerReferences=[OWNER | {"name": "n2"}]), "with an owner reference set to itself"),
        (changed("metadata", ownerReferences=[OWNER | {"controller": False}]), "with a controller owner reference"),
        (
            changed("metadata", ownerReferences=[OWNER | {"blockOwnerDeletion": True}]),
            "must not set blockOwnerDeletion",
        ),
        (changed("spec", serviceAccountName="admin"), "reference a service account"),
        (changed("spec", imagePullSecrets=[{"name": "s"}]), "reference secrets"),
        (changed("spec", volumes=[{"name": "v", "configMap": {"name": "s"}}]), "reference configmaps"),
    ],
)
def test_anything_else_is_refused(pod: dict[str, Any], words: str) -> None:
    with pytest.raises(Forbidden) as refused:
        restrict_mirror_pod(AGENT, pod)
    assert words in str(refused.value)


def test_others_are_not_looked_at() -> None:
    restrict_mirror_pod(User("jane", ()), {"metadata": {}, "spec": {}})

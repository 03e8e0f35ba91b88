"""A static pod out of a file. Pure.

Names, uid, annotations and tolerations are the kubelet's (pkg/kubelet/config: common.go applyDefaults, file.go;
https://kubernetes.io/docs/tasks/configure-pod-container/static-pod/).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import msgspec

from agent.pods.env import pod_references
from agent.runtime.base import RuntimeFailure
from agent.runtime.images import parse_reference
from shared import codec
from shared.api import names
from shared.api.meta import JSON
from shared.api.pod import Pod
from shared.api.static_pods import HASH, MIRROR, SOURCE

_EVERYTHING: JSON = {"operator": "Exists", "effect": "NoExecute"}


class BadManifest(Exception):
    """A file that holds no static pod; the message says why."""


@dataclass(frozen=True, slots=True)
class StaticPod:
    """``pod`` is what runs, under a uid made of the file; ``tree`` the object without what only the server knows."""

    pod: Pod
    tree: JSON

    @property
    def uid(self) -> str:
        return self.pod.metadata.uid

    def mirror(self, node: str, node_uid: str) -> JSON:
        """What the API is to show of it."""
        meta = {key: value for key, value in self.tree["metadata"].items() if key != "uid"}
        meta["annotations"] = {**meta["annotations"], MIRROR: self.uid}
        owner = {"apiVersion": "v1", "kind": "Node", "name": node, "uid": node_uid, "controller": True}
        meta["ownerReferences"] = [owner]
        return {**self.tree, "metadata": meta}


def parse(content: bytes, node: str) -> StaticPod:
    """Raises BadManifest."""
    try:
        tree: Any = codec.decode_yaml(content)
    except codec.CodecError as error:
        raise BadManifest(f"it is neither YAML nor JSON: {error}") from error
    if not isinstance(tree, dict) or (tree.get("apiVersion"), tree.get("kind")) != ("v1", "Pod"):
        raise BadManifest("it is not one v1 Pod")
    meta, spec = tree.get("metadata"), tree.get("spec")
    if not isinstance(meta, dict) or not isinstance(spec, dict) or not spec.get("containers"):
        raise BadManifest("a pod needs metadata, and a spec with containers")
    name, namespace = f"{meta.get('name') or ''}-{node}", meta.get("namespace") or "default"
    if not meta.get("name") or names.dns_subdomain(name) or names.dns_label(namespace):
        raise BadManifest(f"{namespace}/{name} is no name of a pod")
    uid = hashlib.md5(node.encode() + b"\0" + content, usedforsecurity=False).hexdigest()
    annotations = {**(meta.get("annotations") or {}), HASH: uid, SOURCE: "file"}
    whole: JSON = {
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "uid": uid, "labels": meta.get("labels") or {},
                     "annotations": annotations},
        "spec": {**spec, "nodeName": node, "tolerations": [*(spec.get("tolerations") or ()), _EVERYTHING]},
    }  # fmt: skip
    for field in ("containers", "initContainers"):
        whole["spec"][field] = [_with_policy(container) for container in spec.get(field) or ()]
    try:
        pod = msgspec.convert(whole, Pod)
    except msgspec.ValidationError as error:
        raise BadManifest(str(error)) from error
    if any(names.dns_label(container.name) for container in (*pod.spec.containers, *pod.spec.init_containers)):
        raise BadManifest("a container has no name, or one that it may not have")
    if pod.spec.service_account_name or pod_references(pod) or _claims(pod):
        raise BadManifest("a static pod cannot refer to a ServiceAccount, Secret, ConfigMap or PersistentVolumeClaim")
    return StaticPod(pod, whole)


def _with_policy(container: Any) -> Any:
    """The default pull policy, which the server would have set."""
    if (
        not isinstance(container, dict)
        or container.get("imagePullPolicy")
        or not isinstance(container.get("image"), str)
    ):
        return container
    try:
        reference = parse_reference(container["image"])
    except RuntimeFailure as error:
        raise BadManifest(error.message) from error
    newest = not reference.digest and reference.version == "latest"
    return {**container, "imagePullPolicy": "Always" if newest else "IfNotPresent"}


def _claims(pod: Pod) -> bool:
    return any(
        volume.persistent_volume_claim is not None or volume.ephemeral is not None for volume in pod.spec.volumes
    )

"""What an agent may do: its own Node, the pods bound to it, and what those pods refer to. Nothing else.

The light form of Kubernetes' node authorizer (plugin/pkg/auth/authorizer/node) and of its NodeRestriction
admission: a stolen node key opens that node's pods and their Secrets, not the cluster. Reads the watch cache on
the event loop; no I/O.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

import msgspec

from controlplane.apiserver.authz import forbidden
from controlplane.apiserver.identity import Attributes, User
from shared.api.errors import Forbidden
from shared.api.meta import JSON
from shared.api.pod import Container, Pod
from shared.pki import NODE_GROUP, NODE_PREFIX

_NODE_PATHS = frozenset({("create", "heartbeat"), ("get", "tunnel"), ("get", "streams")})
_BY_POD = frozenset(("", plural) for plural in (
    "secrets", "configmaps", "persistentvolumeclaims", "persistentvolumes", "serviceaccounts",
))  # fmt: skip
"""What an agent gets to see for the sake of its pods."""

_RESTRICTED_LABEL = "node-restriction.kubernetes.io/"


class NodePods(Protocol):
    """Pods as the watch cache has them, as structs or trees."""

    def pod(self, namespace: str, name: str) -> Pod | JSON | None: ...

    def pods_of_node(self, node: str) -> Iterable[Pod | JSON]:
        """The pods whose spec.nodeName is ``node``."""
        ...

    def claim_of_volume(self, name: str) -> tuple[str, str] | None:
        """Namespace and name of the claim that the PersistentVolume ``name`` is bound to."""
        ...


class NodeAuthority:
    """Permissions of ``system:node:<name>`` in group system:nodes."""

    def __init__(self, pods: NodePods) -> None:
        self._pods = pods

    def why(self, user: User, attributes: Attributes) -> str | None:
        return "" if self.allows(user, attributes) else None

    def refusal(self, user: User, attributes: Attributes) -> str:
        """In Kubernetes' words (plugin/pkg/auth/authorizer/node/node_authorizer.go)."""
        node = node_name(user)
        if node is None or (attributes.group, attributes.resource) not in _BY_POD:
            return ""
        return f"no relationship found between node '{node}' and this object"

    def allows(self, user: User, attributes: Attributes) -> bool:
        node = node_name(user)
        if node is None or not attributes.is_resource:
            return False
        match attributes.group, attributes.resource:
            case "longboat.dev", "nodes":
                return attributes.name == node and (attributes.verb, attributes.subresource) in _NODE_PATHS
            case "", "nodes":
                return self._own_node(node, attributes)
            case "", "pods":
                return self._pod(node, attributes)
            case "", "secrets" | "configmaps":
                return self._referenced(node, attributes)
            case "", "persistentvolumeclaims":
                return attributes.verb == "get" and self._referenced(node, attributes)
            case "", "persistentvolumes":
                return self._volume(node, attributes)
            case "", "serviceaccounts":
                return self._token(node, attributes)
            case "", "services":
                return attributes.verb in ("get", "list", "watch") and not attributes.subresource
            case "" | "events.k8s.io", "events":
                return attributes.verb in ("create", "patch", "update") and not attributes.subresource
            case "certificates.k8s.io", "certificatesigningrequests":
                return not attributes.subresource and (
                    attributes.verb == "create" or (attributes.verb == "get" and bool(attributes.name))
                )
        return False

    def _own_node(self, node: str, attributes: Attributes) -> bool:
        if attributes.subresource not in ("", "status"):
            return False
        match attributes.verb:
            case "create":
                # A create has no name yet: restrict_node looks at the object.
                return not attributes.subresource and attributes.name in ("", node)
            case "get" | "patch" | "update":
                return attributes.name == node
            case "list" | "watch":
                return not attributes.subresource and _selects(attributes.field_selector, "metadata.name", node)
        return False

    def _pod(self, node: str, attributes: Attributes) -> bool:
        verb, sub = attributes.verb, attributes.subresource
        if verb in ("list", "watch"):
            return not sub and _selects(attributes.field_selector, "spec.nodeName", node)
        if verb == "create" and not sub:
            return True  # a mirror of a static pod: ``mirror_pods`` looks at the object
        if not attributes.name or (verb, sub) not in (
            ("get", ""), ("delete", ""), ("patch", "status"), ("update", "status"), ("get", "status"),
        ):  # fmt: skip
            return False
        found = self._pods.pod(attributes.namespace, attributes.name)
        # One that is gone is let through to the verb, which answers NotFound: for an agent that deletes what
        # somebody else has deleted, "forbidden" would be no answer.
        return found is None or _as_pod(found).spec.node_name == node

    def _referenced(self, node: str, attributes: Attributes) -> bool:
        if attributes.verb not in ("get", "list", "watch") or attributes.subresource or not attributes.namespace:
            return False
        name = attributes.name or selected(attributes.field_selector).get("metadata.name", "")
        if not name:
            return False
        return self._refers(node, attributes.namespace, (attributes.resource, name))

    def _volume(self, node: str, attributes: Attributes) -> bool:
        """A volume is seen through the claim of a pod that it is bound to."""
        if attributes.verb != "get" or attributes.subresource or not attributes.name:
            return False
        claim = self._pods.claim_of_volume(attributes.name)
        return claim is not None and self._refers(node, claim[0], ("persistentvolumeclaims", claim[1]))

    def _token(self, node: str, attributes: Attributes) -> bool:
        """Tokens of accounts that pods here run as; ``restrict_token`` looks at what is asked for."""
        return (attributes.verb, attributes.subresource) == ("create", "token") and any(
            (pod.metadata.namespace, pod.spec.service_account_name) == (attributes.namespace, attributes.name)
            for pod in map(_as_pod, self._pods.pods_of_node(node))
        )

    def _refers(self, node: str, namespace: str, wanted: tuple[str, str]) -> bool:
        return any(
            pod.metadata.namespace == namespace and wanted in references(pod)
            for pod in map(_as_pod, self._pods.pods_of_node(node))
        )


def node_name(user: User) -> str | None:
    """The node that a user is the agent of, or None."""
    if NODE_GROUP in user.groups and user.name.startswith(NODE_PREFIX) and len(user.name) > len(NODE_PREFIX):
        return user.name.removeprefix(NODE_PREFIX)
    return None


def restrict_node(user: User, attributes: Attributes, obj: JSON, old: JSON | None = None) -> None:
    """Admission of what an agent writes to a Node: only its own, and nothing that is for administrators.

    For creates and updates of nodes, with the decoded object and, for an update, what is stored; does nothing for
    anybody else. Raises Forbidden. (Kubernetes: plugin/pkg/admission/noderestriction.)
    """
    node = node_name(user)
    if node is None or (attributes.group, attributes.resource) != ("", "nodes"):
        return
    if (obj.get("metadata") or {}).get("name") != node:
        raise forbidden(user, attributes, f'node "{node}" is not allowed to write another node')
    if _restricted_labels(obj) != _restricted_labels(old or {}):
        raise forbidden(user, attributes, f'node "{node}" is not allowed to change labels of {_RESTRICTED_LABEL}')
    spec, before = obj.get("spec") or {}, (old or {}).get("spec") or {}
    for field in ("podCIDR", "podCIDRs") if old is None else ("taints", "podCIDR", "podCIDRs"):
        if spec.get(field) != before.get(field):
            raise forbidden(user, attributes, f'node "{node}" is not allowed to set spec.{field}')


def restrict_token(user: User, spec: JSON, bound: Pod | None) -> None:
    """Admission of what an agent asks a token for: bound to a pod of its node, by uid, for an audience that the pod's
    volumes name. ``bound`` is the pod of the spec's ``boundObjectRef``; does nothing for anybody else.

    Raises Forbidden. (Kubernetes: admitServiceAccount and KEP-4935 of plugin/pkg/admission/noderestriction.)
    """
    node = node_name(user)
    if node is None:
        return
    reference = spec.get("boundObjectRef") or {}
    if bound is None or reference.get("kind") != "Pod":
        raise Forbidden("node requested token not bound to a pod")
    if not reference.get("uid"):
        raise Forbidden("node requested token with a pod binding without a uid")
    if bound.spec.node_name != node:
        raise Forbidden("node requested token bound to a pod scheduled on a different node")
    audiences = spec.get("audiences") or [""]
    if len(audiences) > 1:
        raise Forbidden("node may only request 0 or 1 audiences")
    projections = (source.service_account_token for volume in bound.spec.volumes if volume.projected is not None
                   for source in volume.projected.sources)  # fmt: skip
    if audiences[0] not in {projection.audience for projection in projections if projection is not None}:
        raise Forbidden(
            f'audience "{audiences[0]}" not found in pod spec volume, {user.name} is not authorized to request tokens'
            " for this audience"
        )


def _restricted_labels(obj: JSON) -> JSON:
    labels = (obj.get("metadata") or {}).get("labels") or {}
    return {key: value for key, value in labels.items() if str(key).startswith(_RESTRICTED_LABEL)}


def references(pod: Pod) -> Iterator[tuple[str, str]]:
    """(resource, name) of every ConfigMap, Secret and claim that a pod refers to, repeats included."""
    for volume in pod.spec.volumes:
        if volume.persistent_volume_claim is not None:
            yield "persistentvolumeclaims", volume.persistent_volume_claim.claim_name
        if volume.ephemeral is not None:
            yield "persistentvolumeclaims", f"{pod.metadata.name}-{volume.name}"
        if volume.secret is not None:
            yield "secrets", volume.secret.secret_name
        if volume.config_map is not None:
            yield "configmaps", volume.config_map.name
        for projection in volume.projected.sources if volume.projected is not None else ():
            if projection.secret is not None:
                yield "secrets", projection.secret.name
            if projection.config_map is not None:
                yield "configmaps", projection.config_map.name
    for reference in pod.spec.image_pull_secrets:
        yield "secrets", reference.name
    containers: Iterable[Container] = (
        *pod.spec.init_containers, *pod.spec.containers, *pod.spec.ephemeral_containers,
    )  # fmt: skip
    for container in containers:
        for source in container.env_from:
            if source.secret_ref is not None:
                yield "secrets", source.secret_ref.name
            if source.config_map_ref is not None:
                yield "configmaps", source.config_map_ref.name
        for variable in container.env:
            if variable.value_from is None:
                continue
            if variable.value_from.secret_key_ref is not None:
                yield "secrets", variable.value_from.secret_key_ref.name
            if variable.value_from.config_map_key_ref is not None:
                yield "configmaps", variable.value_from.config_map_key_ref.name


def selected(field_selector: str) -> dict[str, str]:
    """The fields that a selector fixes to one value. A selector with escapes fixes nothing: a value may then hold
    what looks like another requirement."""
    if "\\" in field_selector:
        return {}
    fixed: dict[str, str] = {}
    for part in field_selector.split(","):
        field, operator, value = part.strip().partition("=")
        if operator and not field.endswith("!"):
            fixed[field.strip()] = value.removeprefix("=").strip()
    return fixed


def _selects(field_selector: str, field: str, value: str) -> bool:
    return bool(value) and selected(field_selector).get(field) == value


def _as_pod(found: Pod | JSON) -> Pod:
    return found if isinstance(found, Pod) else msgspec.convert(found, Pod)

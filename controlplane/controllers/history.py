"""The ReplicaSets of a Deployment as its history: which one is new, their revisions, hashes and names.

Pure. The rules are those of k8s.io/kubernetes pkg/controller/deployment/util/deployment_util.go. The template
hash is our own function (Kubernetes hashes a dump of its Go structs, which nobody else can repeat), written in
Kubernetes' alphabet; nothing depends on its value but names and labels.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
import orjson

from shared import codec
from shared.api.apps import Deployment, ReplicaSet
from shared.api.kinds import DEPLOYMENTS, REPLICA_SETS
from shared.api.meta import JSON, Object, controller_reference

REVISION = "deployment.kubernetes.io/revision"
REVISION_HISTORY = "deployment.kubernetes.io/revision-history"
DESIRED_REPLICAS = "deployment.kubernetes.io/desired-replicas"
MAX_REPLICAS = "deployment.kubernetes.io/max-replicas"
HASH_LABEL = "pod-template-hash"

NOT_COPIED = frozenset(
    {
        "kubectl.kubernetes.io/last-applied-configuration", "deprecated.deployment.rollback.to",
        REVISION, REVISION_HISTORY, DESIRED_REPLICAS, MAX_REPLICAS,
    }
)  # fmt: skip
"""Annotations of a Deployment that its ReplicaSets do not get."""

HISTORY_CHARACTERS = 2000
"""The longest that the revision-history annotation grows; the oldest revisions fall out."""

_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
_EMPTY_IS_ABSENT = frozenset(
    {"labels", "annotations", "nodeSelector", "matchLabels", "limits", "requests", "resources"}
)


def comparable(template: Mapping[str, Any]) -> dict[str, Any]:
    """The template without the hash label and without what Go's JSON adds and drops on the way through kubectl.

    ``kubectl rollout undo`` sends back a template that went through Go structs: ``creationTimestamp: null`` and
    ``resources: {}`` appear, empty lists and maps disappear. An empty object elsewhere means something
    (``labelSelector: {}`` selects all), so it stays.
    """
    tree: dict[str, Any] = _pruned(template)
    labels = tree.get("metadata", {}).get("labels", {})
    if HASH_LABEL in labels:
        labels = {key: value for key, value in labels.items() if key != HASH_LABEL}
        tree["metadata"] = {**tree["metadata"], "labels": labels}
        if not labels:
            del tree["metadata"]["labels"]
    if not tree.get("metadata"):
        tree.pop("metadata", None)
    return tree


def _pruned(value: Any) -> Any:
    if isinstance(value, Mapping):
        kept: dict[str, Any] = {}
        for key, item in value.items():
            inner = _pruned(item)
            if inner is None or inner == [] or (inner == {} and key in _EMPTY_IS_ABSENT):
                continue
            kept[key] = inner
        return kept
    if isinstance(value, list | tuple):
        return [_pruned(item) for item in value]
    return value


def template_hash(template: Mapping[str, Any], collisions: int = 0) -> str:
    """A stable hash of ``comparable(template)``: up to ten characters that no word is made of."""
    digest = hashlib.blake2b(orjson.dumps(comparable(template), option=orjson.OPT_SORT_KEYS), digest_size=4)
    if collisions:
        digest.update(collisions.to_bytes(4, "little"))
    return "".join(_ALPHABET[ord(char) % len(_ALPHABET)] for char in str(int.from_bytes(digest.digest(), "big")))


def replica_set_name(deployment: str, hash: str) -> str:
    """``<deployment>-<hash>``, the first part shortened so that the name is a legal one (253 characters)."""
    return f"{deployment[: 253 - len(hash) - 1]}-{hash}"


def new_replica_set(
    deployment: Deployment, size: int, revision: int, annotations: Mapping[str, str], collisions: int = 0
) -> JSON:
    """The ReplicaSet for the Deployment's template, its pods told apart from all others' by the hash label."""
    spec, meta = deployment.spec, deployment.metadata
    template: dict[str, Any] = codec.copy(spec.template)
    hash = template_hash(template, collisions)
    given = template.get("metadata") or {}
    labels = {**(given.get("labels") or {}), HASH_LABEL: hash}
    template["metadata"] = {**given, "labels": labels}
    selector: JSON = msgspec.to_builtins(spec.selector)
    selector["matchLabels"] = {**selector.get("matchLabels", {}), HASH_LABEL: hash}
    owner = controller_reference(DEPLOYMENTS.api_version, DEPLOYMENTS.kind, meta.name, meta.uid)
    return {
        "kind": REPLICA_SETS.kind,
        "apiVersion": REPLICA_SETS.api_version,
        "metadata": {
            "name": replica_set_name(meta.name, hash),
            "namespace": meta.namespace,
            "labels": dict(labels),
            "annotations": {**new_annotations(deployment, {}, revision), **annotations},
            "ownerReferences": [owner],
        },
        "spec": {
            "replicas": size,
            **({"minReadySeconds": spec.min_ready_seconds} if spec.min_ready_seconds else {}),
            "selector": selector,
            "template": template,
        },
    }


def find_new(deployment: Deployment, sets: Iterable[ReplicaSet]) -> ReplicaSet | None:
    """The ReplicaSet that has the Deployment's template; of several, which older versions made, the oldest."""
    wanted = comparable(deployment.spec.template)
    for candidate in sorted(sets, key=_by_creation):
        if comparable(candidate.spec.template) == wanted:
            return candidate
    return None


def same_template(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    """Whether the templates make the same pods (EqualIgnoreHash)."""
    return comparable(a) == comparable(b)


def revision_of(obj: Object) -> int:
    """The revision annotation; 0 without one, or with one that is no number."""
    return _number(obj.metadata.annotations.get(REVISION)) or 0


def desired_of(obj: Object) -> int | None:
    """The desired-replicas annotation."""
    return _number(obj.metadata.annotations.get(DESIRED_REPLICAS))


def most_of(obj: Object) -> int | None:
    """The max-replicas annotation."""
    return _number(obj.metadata.annotations.get(MAX_REPLICAS))


def new_annotations(deployment: Deployment, current: Mapping[str, str], revision: int) -> dict[str, str]:
    """What the new ReplicaSet's annotations (``current``) lack: the Deployment's own, the revision, the history."""
    have = deployment.metadata.annotations
    lacking = {k: v for k, v in have.items() if k not in NOT_COPIED and current.get(k) != v}
    before = current.get(REVISION)
    if (_number(before) or 0) < revision:
        lacking[REVISION] = str(revision)
        if before is not None:  # it was new once before: this is a rollback to it
            lacking[REVISION_HISTORY] = _extended(current.get(REVISION_HISTORY, ""), before)
    return lacking


def _extended(history: str, revision: str) -> str:
    revisions = [*filter(None, history.split(",")), revision]
    while len(",".join(revisions)) > HISTORY_CHARACTERS:
        revisions.pop(0)
    return ",".join(revisions)


def removable(old: Sequence[ReplicaSet], limit: int) -> list[ReplicaSet]:
    """Old ReplicaSets beyond the history ``limit``, lowest revision first; those with pods stay, as do those
    whose controller has not seen their spec yet."""
    alive = [rs for rs in old if rs.metadata.deletion_timestamp is None]
    surplus = max(0, len(alive) - limit)
    return [
        rs
        for rs in sorted(alive, key=lambda rs: (revision_of(rs), _by_creation(rs)))[:surplus]
        if rs.spec.replicas == 0 and rs.status.replicas == 0 and rs.metadata.generation <= rs.status.observed_generation
    ]


def _by_creation(rs: ReplicaSet) -> tuple[float, str]:
    created = rs.metadata.creation_timestamp
    return (created.timestamp() if created is not None else 0.0, rs.metadata.name)


def age(rs: ReplicaSet) -> float:
    """Orders ReplicaSets by creation, the oldest smallest; seconds of the epoch."""
    return _by_creation(rs)[0]


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 19 else None

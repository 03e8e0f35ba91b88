"""metav1: what every object carries, as frozen structs to read.

Structs declare only the fields that we use, so one is never written back over a stored object: that would
drop the others. Writers send a patch, or a new object built from a template.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec

_ACRONYMS = {
    "ip": "IP", "ips": "IPs", "cidr": "CIDR", "cidrs": "CIDRs", "id": "ID", "uuid": "UUID", "pid": "PID",
    "ipc": "IPC", "fqdn": "FQDN", "tls": "TLS", "os": "OS", "url": "URL", "urls": "URLs", "ca": "CA", "uid": "UID",
    "api": "API",
}  # fmt: skip


def camel(name: str) -> str:
    """Kubernetes' JSON name of a snake_case field: ``pod_ip`` is ``podIP``, ``host_network`` ``hostNetwork``."""
    first, *rest = name.rstrip("_").split("_")
    return first + "".join(_ACRONYMS.get(part, part.capitalize()) for part in rest)


class Struct(msgspec.Struct, frozen=True, kw_only=True, rename=camel, omit_defaults=True):
    """Base of every API struct: immutable, keyword only, Kubernetes' JSON names, unknown fields ignored."""


class OwnerReference(Struct, frozen=True, kw_only=True):
    """The owner of an object; ``controller`` marks the one that manages it."""

    api_version: str
    kind: str
    name: str
    uid: str
    controller: bool = False
    block_owner_deletion: bool = False


class ObjectMeta(Struct, frozen=True, kw_only=True):
    """metadata of an object."""

    name: str = ""
    generate_name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None
    deletion_grace_period_seconds: int | None = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    owner_references: tuple[OwnerReference, ...] = ()
    finalizers: tuple[str, ...] = ()


class Object(Struct, frozen=True, kw_only=True):
    """Any object: what is common to all kinds. The struct of every kind extends it."""

    api_version: str = ""
    kind: str = ""
    metadata: ObjectMeta = ObjectMeta()

    @property
    def key(self) -> str:
        """``namespace/name``, or ``name`` of a cluster-scoped object."""
        meta = self.metadata
        return f"{meta.namespace}/{meta.name}" if meta.namespace else meta.name


class LabelSelectorRequirement(Struct, frozen=True, kw_only=True):
    key: str
    operator: str
    values: tuple[str, ...] = ()


class LabelSelector(Struct, frozen=True, kw_only=True):
    """All of ``match_labels`` and ``match_expressions`` must hold; an empty one matches everything."""

    match_labels: dict[str, str] = {}
    match_expressions: tuple[LabelSelectorRequirement, ...] = ()


class Condition(Struct, frozen=True, kw_only=True):
    """A condition in a status; ``status`` is "True", "False" or "Unknown"."""

    type: str
    status: str
    reason: str = ""
    message: str = ""
    last_transition_time: datetime | None = None
    last_update_time: datetime | None = None
    last_heartbeat_time: datetime | None = None


JSON = dict[str, Any]
"""An object as a JSON tree: what is stored, patched and sent."""


def controller_of(meta: ObjectMeta) -> OwnerReference | None:
    """The owner reference that has ``controller: true``, of which an object has one at most."""
    return next((ref for ref in meta.owner_references if ref.controller), None)


def controller_reference(api_version: str, kind: str, name: str, uid: str) -> JSON:
    """The owner reference that makes ``kind/name`` the managing controller of a new object."""
    return {
        "apiVersion": api_version, "kind": kind, "name": name, "uid": uid,
        "controller": True, "blockOwnerDeletion": True,
    }  # fmt: skip


def timestamp(when: datetime) -> str:
    """``when`` (aware) as metav1.Time is written: UTC, whole seconds, ``Z``."""
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

"""CSIDriver, CSINode, CSIStorageCapacity and VolumeAttachment: defaults, validation, columns.

Pure. Rules and texts are those of pkg/apis/storage.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from controlplane.apiserver.kinds import persistentvolume
from controlplane.apiserver.kinds.base import Column, Kind, Subresource
from controlplane.apiserver.kinds.causes import (
    all_invalid,
    duplicate,
    forbidden,
    immutable,
    invalid,
    not_supported,
    required,
    too_long,
)
from controlplane.apiserver.kinds.cells import NONE, age_column, at, field_column, name_column
from controlplane.apiserver.kinds.persistentvolume import UNSET
from controlplane.apiserver.kinds.podspec.scheduling import validate_label_selector
from controlplane.apiserver.kinds.volume_sources import validate_driver_name
from shared.api import kinds, names, quantity
from shared.api.errors import Cause
from shared.api.meta import JSON

_FLAGS = (
    ("attachRequired", True), ("podInfoOnMount", False), ("storageCapacity", False), ("requiresRepublish", False),
    ("seLinuxMount", False), ("fsGroupPolicy", "ReadWriteOnceWithFSType"),
)  # fmt: skip
_FS_GROUP = ("File", "None", "ReadWriteOnceWithFSType")
_LIFECYCLES = ("Persistent", "Ephemeral")
_MAX_NODE_ID, _MAX_METADATA, _MAX_MESSAGE = 256, 256 * 1024, 1024


# --- CSIDriver


def default_driver(obj: JSON) -> None:
    spec = obj.setdefault("spec", {})
    for name, value in _FLAGS:
        if spec.get(name) is None:
            spec[name] = value
    if not spec.get("volumeLifecycleModes"):
        spec["volumeLifecycleModes"] = ["Persistent"]


def validate_driver(obj: JSON, old: JSON | None) -> Iterable[Cause]:
    spec: JSON = obj.get("spec") or {}
    if (policy := spec.get("fsGroupPolicy")) not in (None, *_FS_GROUP):
        yield not_supported("spec.fsGroupPolicy", policy, _FS_GROUP)
    audiences: set[str] = set()
    for index, request in enumerate(spec.get("tokenRequests") or ()):
        path, audience = f"spec.tokenRequests[{index}]", request.get("audience") or ""
        if audience in audiences:
            yield duplicate(f"{path}.audience", audience)
            continue
        audiences.add(audience)
        seconds = request.get("expirationSeconds")
        if seconds is not None and seconds < 600:
            yield invalid(f"{path}.expirationSeconds", seconds, "may not specify a duration less than 10 minutes")
        if seconds is not None and seconds > 1 << 32:
            yield invalid(f"{path}.expirationSeconds", seconds, "may not specify a duration larger than 2^32 seconds")
    for mode in spec.get("volumeLifecycleModes") or ():
        if mode not in _LIFECYCLES:
            yield not_supported("spec.volumeLifecycleModes", mode, _LIFECYCLES)
    period = spec.get("nodeAllocatableUpdatePeriodSeconds")
    if period is not None and period < 10:
        detail = "must be greater than or equal to 10 seconds"
        yield invalid("spec.nodeAllocatableUpdatePeriodSeconds", period, detail)
    if old is not None:
        before: JSON = old.get("spec") or {}
        yield from immutable("spec.attachedRequired", spec.get("attachRequired"), before.get("attachRequired"))
        modes = spec.get("volumeLifecycleModes"), before.get("volumeLifecycleModes")
        yield from immutable("spec.volumeLifecycleModes", *modes)


def _tokens(obj: JSON) -> str:
    requests = at(obj, "spec", "tokenRequests")
    return UNSET if requests is None else ",".join(request.get("audience") or "" for request in requests)


def _modes(obj: JSON) -> str:
    return ",".join(at(obj, "spec", "volumeLifecycleModes", default=())) or NONE


# --- CSINode


def default_node(obj: JSON) -> None:
    spec = obj.setdefault("spec", {})
    if spec.get("drivers") is None:
        spec["drivers"] = []


def validate_node(obj: JSON, old: JSON | None) -> Iterable[Cause]:
    drivers = at(obj, "spec", "drivers", default=[])
    seen: set[str] = set()
    for index, driver in enumerate(drivers):
        path, name = f"spec.drivers[{index}]", driver.get("name") or ""
        yield from validate_driver_name(name, f"{path}.name")
        yield from _node_id(driver.get("nodeID") or "", f"{path}.nodeID")
        count = at(driver, "allocatable", "count")
        if count is not None and count < 0:
            yield invalid(f"{path}.allocatable.count", count, "must be greater than or equal to 0")
        if name in seen:
            yield duplicate(f"{path}.name", name)
        seen.add(name)
        keys = driver.get("topologyKeys") or []
        for position, key in enumerate(keys):
            if not key:
                yield required(path)
            if key in keys[:position]:
                yield duplicate(path, key)
            yield from all_invalid(path, key, names.qualified_name(key))
    before = {driver.get("name"): driver for driver in at(old, "spec", "drivers", default=())}
    for driver in drivers:
        was = before.get(driver.get("name"))
        if was is not None and {**driver, "allocatable": None} != {**was, "allocatable": None}:
            yield invalid("spec.drivers", driver, "field is immutable")


def _node_id(node_id: str, path: str) -> Iterator[Cause]:
    if not node_id:
        yield required(path)
    if len(node_id) > _MAX_NODE_ID:
        yield invalid(path, node_id, f"must be {_MAX_NODE_ID} characters or less")


# --- CSIStorageCapacity


def default_capacity(obj: JSON) -> None:
    for name in ("capacity", "maximumVolumeSize"):
        if obj.get(name) is not None:
            obj[name] = quantity.canonical(obj[name])


def validate_capacity(obj: JSON, old: JSON | None) -> Iterable[Cause]:
    name, topology = obj.get("storageClassName") or "", obj.get("nodeTopology")
    if old is not None:
        yield from immutable("nodeTopology", topology, old.get("nodeTopology"))
        yield from immutable("storageClassName", name, old.get("storageClassName") or "")
        return
    yield from validate_label_selector(topology, "nodeTopology")
    yield from all_invalid("storageClassName", name, names.dns_subdomain(name))
    if (amount := obj.get("capacity")) is not None and quantity.parse(amount) < 0:
        yield invalid("capacity", amount, "must be greater than or equal to 0")


# --- VolumeAttachment


def default_attachment(obj: JSON) -> None:
    status = obj["status"] = obj.get("status") or {}
    if status.get("attached") is None:
        status["attached"] = False
    if (inline := at(obj, "spec", "source", "inlineVolumeSpec")) is not None:
        persistentvolume.default_spec(inline)


def validate_attachment(obj: JSON, old: JSON | None) -> Iterable[Cause]:
    spec: JSON = obj.get("spec") or {}
    source: JSON = spec.get("source") or {}
    inline, name = source.get("inlineVolumeSpec"), source.get("persistentVolumeName")
    one = "must specify exactly one of inlineVolumeSpec and persistentVolumeName"
    if not (attacher := spec.get("attacher") or ""):
        yield required("spec.attacher")
    if inline is None and name is None:
        yield required("spec.source", one)
    elif inline is not None and name is not None:
        yield forbidden("spec.source", one)
    elif name == "":
        yield required("spec.source.persistentVolumeName", "must specify non empty persistentVolumeName")
    elif inline is not None:
        yield from persistentvolume.validate_spec(inline, "spec.source.inlineVolumeSpec", inline=True)
    node = spec.get("nodeName") or ""
    yield from all_invalid("spec.nodeName", node, names.dns_subdomain(node))
    if attacher:
        yield from validate_driver_name(attacher, "spec.attacher")
    if name:
        yield from all_invalid("spec.source.persistentVolumeName", name, names.dns_subdomain(name))
    if old is not None:
        yield from immutable("spec", spec, old.get("spec") or {})


def validate_attachment_status(obj: JSON, old: JSON | None) -> Iterable[Cause]:
    status: JSON = obj.get("status") or {}
    size = sum(len(key) + len(value) for key, value in (status.get("attachmentMetadata") or {}).items())
    if size > _MAX_METADATA:
        yield too_long("status.attachmentMetadata", _MAX_METADATA)
    for name in ("attachError", "detachError"):
        error: JSON = status.get(name) or {}
        if len(error.get("message") or "") > _MAX_MESSAGE:
            yield too_long(f"status.{name}.message", _MAX_MESSAGE)
        if (code := error.get("errorCode")) is not None and code < 0:
            detail = "must be between 0 and 2147483647, inclusive"
            yield invalid(f"status.{name}.errorCode", code, detail)


CSI_DRIVER = Kind(
    resource=kinds.CSI_DRIVERS,
    singular="csidriver",
    columns=(
        name_column(),
        field_column("AttachRequired", "boolean", "Whether volumes are attached before they are mounted.", "spec",
                     "attachRequired", default=False),
        field_column("PodInfoOnMount", "boolean", "Whether the driver is told of the pod.", "spec", "podInfoOnMount",
                     default=False),
        field_column("StorageCapacity", "boolean", "Whether the driver tells how much is free.", "spec",
                     "storageCapacity", default=False),
        Column("TokenRequests", "string", "Audiences of the tokens that the driver gets.", _tokens),
        field_column("RequiresRepublish", "boolean", "Whether mounts are refreshed.", "spec", "requiresRepublish",
                     default=False),
        Column("Modes", "string", "Lifecycles of volumes that the driver serves.", _modes),
        age_column(),
    ),
    default=default_driver,
    validate=validate_driver,
    inert=True,
)  # fmt: skip
CSI_NODE = Kind(
    resource=kinds.CSI_NODES,
    singular="csinode",
    columns=(
        name_column(),
        Column("Drivers", "integer", "Number of drivers on the node.",
               lambda obj: len(at(obj, "spec", "drivers", default=()))),
        age_column(),
    ),
    default=default_node,
    validate=validate_node,
    inert=True,
)  # fmt: skip
CSI_STORAGE_CAPACITY = Kind(
    resource=kinds.CSI_STORAGE_CAPACITIES,
    singular="csistoragecapacity",
    columns=(
        name_column(),
        field_column("StorageClassName", "string", "The class whose capacity it is.", "storageClassName", default=""),
        field_column("Capacity", "string", "How much is free.", "capacity", default=UNSET),
    ),
    default=default_capacity,
    validate=validate_capacity,
    inert=True,
)
VOLUME_ATTACHMENT = Kind(
    resource=kinds.VOLUME_ATTACHMENTS,
    singular="volumeattachment",
    columns=(
        name_column(),
        Column("Attacher", "string", "The CSI driver that attaches.",
               lambda obj: at(obj, "spec", "attacher", default=""), format="name"),
        field_column("PV", "string", "The volume that is attached.", "spec", "source", "persistentVolumeName",
                     default=""),
        field_column("Node", "string", "The node that it is attached to.", "spec", "nodeName", default=""),
        field_column("Attached", "boolean", "Whether it is attached.", "status", "attached", default=False),
        age_column(),
    ),
    subresources=(Subresource("status", ("get", "patch", "update")),),
    default=default_attachment,
    validate=validate_attachment,
    validate_status=validate_attachment_status,
    inert=True,
)  # fmt: skip

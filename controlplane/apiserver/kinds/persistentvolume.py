"""PersistentVolume: defaults, validation, columns.

Pure. Rules and texts are those of pkg/apis/core (ValidatePersistentVolume, SetDefaults_PersistentVolume).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from controlplane.apiserver.kinds.base import Column, Kind, Subresource
from controlplane.apiserver.kinds.causes import all_invalid, forbidden, immutable, invalid, not_supported, required
from controlplane.apiserver.kinds.cells import age_column, at, field_column, name_column
from controlplane.apiserver.kinds.podspec.defaults import canonical_list
from controlplane.apiserver.kinds.podspec.scheduling import validate_node_selector
from controlplane.apiserver.kinds.volume_sources import given, validate_source
from shared.api import kinds, names, quantity
from shared.api.errors import Cause
from shared.api.meta import JSON

ACCESS_MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
VOLUME_MODES = ("Block", "Filesystem")
BETA_CLASS = "volume.beta.kubernetes.io/storage-class"
"""The annotation that named a volume's or a claim's class before there was a field for it."""

UNSET = "<unset>"
_RECLAIM = ("Delete", "Recycle", "Retain")
_SHORT_MODES = (("ReadWriteOnce", "RWO"), ("ReadOnlyMany", "ROX"), ("ReadWriteMany", "RWX"),
                ("ReadWriteOncePod", "RWOP"))  # fmt: skip


def default(obj: JSON) -> None:
    default_spec(obj.setdefault("spec", {}))
    status = obj["status"] = obj.get("status") or {}
    if not status.get("phase"):
        status["phase"] = "Pending"


def default_spec(spec: JSON) -> None:
    """Of a volume, or of one that stands in a VolumeAttachment."""
    if spec.get("capacity"):
        canonical_list(spec["capacity"])
    for name, value in (("persistentVolumeReclaimPolicy", "Retain"), ("volumeMode", "Filesystem")):
        if not spec.get(name):
            spec[name] = value
    if (host := spec.get("hostPath")) is not None and host.get("type") is None:
        host["type"] = ""
    if (iscsi := spec.get("iscsi")) is not None and not iscsi.get("iscsiInterface"):
        iscsi["iscsiInterface"] = "default"


def validate(obj: JSON, old: JSON | None) -> Iterable[Cause]:
    spec: JSON = obj.get("spec") or {}
    yield from validate_spec(spec, "spec", inline=False)
    if old is not None:
        yield from _update(spec, old.get("spec") or {})


def validate_spec(spec: JSON, path: str, *, inline: bool) -> Iterator[Cause]:
    """``inline`` where it stands in a VolumeAttachment instead of being an object."""
    yield from validate_access_modes(spec, path, "")
    if not inline:
        yield from _capacity(spec.get("capacity") or {}, f"{path}.capacity")
    reclaim = spec.get("persistentVolumeReclaimPolicy")
    if reclaim and inline and reclaim != "Retain":
        detail = "may only be Retain in the context of inline volumes"
        yield forbidden(f"{path}.persistentVolumeReclaimPolicy", detail)
    elif reclaim and reclaim not in _RECLAIM:
        yield not_supported(f"{path}.persistentVolumeReclaimPolicy", reclaim, _RECLAIM)
    yield from _affinity(spec, path, inline)
    yield from validate_source(spec, path)
    host = at(spec, "hostPath", "path", default="")
    if reclaim == "Recycle" and host and not host.strip("/"):
        detail = "may not be 'recycle' for a hostPath mount of '/'"
        yield forbidden(f"{path}.persistentVolumeReclaimPolicy", detail)
    yield from _classes(spec, path, inline)


def validate_access_modes(spec: JSON, path: str, none: str) -> Iterator[Cause]:
    """Of a volume or a claim; ``none`` is what is said when there is no mode."""
    modes: Sequence[str] = spec.get("accessModes") or ()
    if not modes:
        yield required(f"{path}.accessModes", none)
    for mode in modes:
        if mode not in ACCESS_MODES:
            yield not_supported(f"{path}.accessModes", mode, ACCESS_MODES)
    if "ReadWriteOncePod" in modes and set(modes) & set(ACCESS_MODES) != {"ReadWriteOncePod"}:
        yield forbidden(f"{path}.accessModes", "may not use ReadWriteOncePod with other access modes")


def validate_class_name(value: str | None, path: str) -> list[Cause]:
    return all_invalid(path, value, names.dns_subdomain(value)) if value else []


def _capacity(capacity: JSON, path: str) -> Iterator[Cause]:
    if not capacity:
        yield required(path)
    if set(capacity) != {"storage"}:
        yield not_supported(path, capacity, ("storage",))
    for name, amount in sorted(capacity.items()):
        if quantity.parse(amount) <= 0:
            yield invalid(f"{path}[{name}]", amount, "must be greater than zero")


def _affinity(spec: JSON, path: str, inline: bool) -> Iterator[Cause]:
    affinity = spec.get("nodeAffinity")
    if affinity is None:
        if spec.get("local") is not None and given(spec)[0] == "local":
            yield required(f"{path}.nodeAffinity", "Local volume requires node affinity")
    elif inline:
        yield forbidden(f"{path}.nodeAffinity", "may not be specified in the context of inline volumes")
    elif affinity.get("required") is None:
        yield required(f"{path}.nodeAffinity.required", "must specify required node constraints")
    else:
        yield from validate_node_selector(affinity["required"], f"{path}.nodeAffinity.required")


def _classes(spec: JSON, path: str, inline: bool) -> Iterator[Cause]:
    if (name := spec.get("storageClassName")) and inline:
        yield forbidden(f"{path}.storageClassName", "may not be specified in the context of inline volumes")
    else:
        yield from validate_class_name(name, f"{path}.storageClassName")
    mode = spec.get("volumeMode")
    if mode is not None and inline and mode != "Filesystem":
        detail = "may not specify volumeMode other than Filesystem in the context of inline volumes"
        yield forbidden(f"{path}.volumeMode", detail)
    elif mode is not None and mode not in VOLUME_MODES:
        yield not_supported(f"{path}.volumeMode", mode, VOLUME_MODES)
    if (attributes := spec.get("volumeAttributesClassName")) is not None:
        if not attributes:
            yield required(f"{path}.volumeAttributesClassName", "an empty string is disallowed")
        yield from validate_class_name(attributes, f"{path}.volumeAttributesClassName")
        if spec.get("csi") is None:
            yield required(f"{path}.csi", "has to be specified when using volumeAttributesClassName")


def _update(spec: JSON, before: JSON) -> Iterator[Cause]:
    new = {name: spec[name] for name in given(spec)}
    old = {name: before[name] for name in given(before)}
    if "csi" in new and "csi" in old and old["csi"].get("controllerExpandSecretRef") is None:
        new["csi"] = {key: value for key, value in new["csi"].items() if key != "controllerExpandSecretRef"}
    if new != old:
        yield forbidden("spec.persistentvolumesource", "spec.persistentvolumesource is immutable after creation")
    yield from immutable("volumeMode", spec.get("volumeMode"), before.get("volumeMode"))
    if before.get("nodeAffinity") is not None:
        yield from immutable("nodeAffinity", spec.get("nodeAffinity"), before["nodeAffinity"])
    if before.get("volumeAttributesClassName") is not None and spec.get("volumeAttributesClassName") is None:
        yield forbidden("spec.volumeAttributesClassName", "update from non-nil value to nil is forbidden")


def short_modes(modes: Iterable[str] | None) -> str:
    """``RWO,RWX`` in Kubernetes' order, each once."""
    return ",".join(short for mode, short in _SHORT_MODES if mode in (modes or ()))


def phase(obj: JSON) -> str:
    """Of a volume or a claim."""
    return "Terminating" if obj["metadata"].get("deletionTimestamp") else at(obj, "status", "phase", default="")


def storage_class(obj: JSON) -> str:
    """The class of a volume or a claim, wherever it is written."""
    annotations = at(obj, "metadata", "annotations", default={})
    return str(annotations.get(BETA_CLASS) or at(obj, "spec", "storageClassName", default=""))


def _claim(obj: JSON) -> str:
    claim = at(obj, "spec", "claimRef", default={})
    return f"{claim.get('namespace') or ''}/{claim.get('name') or ''}" if claim else ""


CLASS_COLUMNS = (
    Column("StorageClass", "string", "Class of the storage.", lambda obj: storage_class(obj)),
    field_column("VolumeAttributesClass", "string", "Class of the volume's attributes.", "spec",
                 "volumeAttributesClassName", default=UNSET),
)  # fmt: skip
MODE_COLUMN = field_column(
    "VolumeMode", "string", "Whether it is a file system or a block device.", "spec", "volumeMode", default=UNSET,
    priority=1,
)  # fmt: skip

PERSISTENT_VOLUME = Kind(
    resource=kinds.PERSISTENT_VOLUMES,
    singular="persistentvolume",
    short_names=("pv",),
    columns=(
        name_column(),
        field_column("Capacity", "string", "How much it holds.", "spec", "capacity", "storage", default="0"),
        Column("Access Modes", "string", "How it can be mounted.",
               lambda obj: short_modes(at(obj, "spec", "accessModes"))),
        field_column("Reclaim Policy", "string", "What becomes of it when its claim is gone.", "spec",
                     "persistentVolumeReclaimPolicy", default=""),
        Column("Status", "string", "Whether it is available, bound or released.", phase),
        Column("Claim", "string", "The claim that it is bound to.", _claim),
        *CLASS_COLUMNS,
        field_column("Reason", "string", "Why it is in this state.", "status", "reason", default=""),
        age_column(),
        MODE_COLUMN,
    ),
    subresources=(Subresource("status", ("get", "patch", "update")),),
    default=default,
    validate=validate,
    inert=True,
)  # fmt: skip

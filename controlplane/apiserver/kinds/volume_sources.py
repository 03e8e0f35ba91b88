"""The sources of a PersistentVolume: which there are, and what each needs.

Pure. Rules and texts are those of ValidatePersistentVolumeSpec in pkg/apis/core/validation; sources that nothing here
mounts are checked for their required fields.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from controlplane.apiserver.kinds.causes import (
    all_invalid,
    forbidden,
    invalid,
    not_supported,
    required,
    too_long,
)
from controlplane.apiserver.kinds.podspec.containers import no_backsteps
from shared.api import names
from shared.api.errors import Cause
from shared.api.meta import JSON

REQUIRED: Mapping[str, tuple[str, ...]] = {
    "hostPath": (),
    "gcePersistentDisk": ("pdName",),
    "awsElasticBlockStore": ("volumeID",),
    "glusterfs": ("endpoints", "path"),
    "flocker": (),
    "nfs": ("server", "path"),
    "rbd": ("monitors", "image"),
    "quobyte": ("registry", "volume"),
    "cephfs": ("monitors",),
    "iscsi": ("targetPortal", "iqn"),
    "cinder": ("volumeID",),
    "fc": (),
    "flexVolume": ("driver",),
    "azureFile": ("secretName", "shareName"),
    "vsphereVolume": ("volumePath",),
    "photonPersistentDisk": ("pdID",),
    "portworxVolume": ("volumeID",),
    "azureDisk": ("diskName", "diskURI"),
    "scaleIO": ("gateway", "system", "volumeName"),
    "local": ("path",),
    "storageos": (),
    "csi": (),
}
"""By source, in the order in which Kubernetes looks at them: fields that may not be empty."""

_HOST_PATH_TYPES = (
    "", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket",
)  # fmt: skip
_SECRETS = (
    "controllerExpandSecretRef", "controllerPublishSecretRef", "nodeExpandSecretRef", "nodePublishSecretRef",
    "nodeStageSecretRef",
)  # fmt: skip


def given(spec: JSON) -> list[str]:
    """The sources that a spec has; one of them is right."""
    return [name for name in REQUIRED if spec.get(name) is not None]


def validate_source(spec: JSON, path: str) -> Iterator[Cause]:
    """That there is one source, and its fields."""
    found = given(spec)
    if not found:
        yield required(path, "must specify a volume type")
        return
    first, *others = found
    yield from _fields(first, spec[first], f"{path}.{first}")
    for name in others:
        yield forbidden(f"{path}.{name}", "may not specify more than 1 volume type")


def _fields(name: str, source: JSON, path: str) -> Iterator[Cause]:
    for field in REQUIRED[name]:
        if not source.get(field):
            yield required(f"{path}.{field}")
    if name == "hostPath":
        yield from _host_path(source, path)
    elif name == "nfs" and (where := source.get("path")) and not where.startswith("/"):
        yield invalid(f"{path}.path", where, "must be an absolute path")
    elif name == "local" and (where := source.get("path")):
        yield from no_backsteps(where, f"{path}.path")
    elif name == "csi":
        yield from _csi(source, path)


def _host_path(source: JSON, path: str) -> Iterator[Cause]:
    if not (where := source.get("path") or ""):
        yield required(f"{path}.path")
        return
    yield from no_backsteps(where, f"{path}.path")
    if (type_ := source.get("type") or "") not in _HOST_PATH_TYPES:
        yield not_supported(f"{path}.type", type_, _HOST_PATH_TYPES)


def validate_driver_name(name: Any, path: str) -> Iterator[Cause]:
    """A CSI driver's name: a DNS subdomain of at most 63 characters, whatever its case."""
    if not name:
        yield required(path)
    elif len(name) > 63:
        yield too_long(path, 63)
    yield from all_invalid(path, name or "", names.dns_subdomain((name or "").lower()))


def _csi(source: JSON, path: str) -> Iterator[Cause]:
    yield from validate_driver_name(source.get("driver"), f"{path}.driver")
    if not source.get("volumeHandle"):
        yield required(f"{path}.volumeHandle")
    for name in _SECRETS:
        if (secret := source.get(name)) is not None:
            for field in ("name", "namespace"):
                if not secret.get(field):
                    yield required(f"{path}.{name}.{field}")

"""What is wrong with a pod's volumes.

Pure. Rules and texts are those of ValidateVolumes in pkg/apis/core/validation. Sources that no agent mounts are
checked for being the only one; their own fields are left to the schema.
"""

from __future__ import annotations

from typing import Any

from controlplane.apiserver.kinds.causes import (
    forbidden,
    invalid,
    not_supported,
    required,
)
from controlplane.apiserver.kinds.podspec.containers import no_backsteps, own_name, relative_path
from controlplane.apiserver.kinds.podspec.environment import validate_volume_item
from shared.api import quantity
from shared.api.errors import Cause
from shared.api.meta import JSON

SOURCES = (
    "emptyDir", "hostPath", "gitRepo", "gcePersistentDisk", "awsElasticBlockStore", "secret", "nfs", "iscsi",
    "glusterfs", "flocker", "persistentVolumeClaim", "rbd", "cinder", "cephfs", "quobyte", "downwardAPI", "fc",
    "flexVolume", "configMap", "azureFile", "vsphereVolume", "photonPersistentDisk", "portworxVolume", "azureDisk",
    "storageos", "projected", "scaleIO", "csi", "ephemeral", "image",
)  # fmt: skip
"""In the order in which Kubernetes looks at them: the second one found is the one refused."""

_HOST_PATH_TYPES = (
    "", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket",
)  # fmt: skip


def validate_volumes(spec: JSON, path: str) -> list[Cause]:
    """Names and sources of all volumes of one spec."""
    found: list[Cause] = []
    taken: set[str] = set()
    for index, volume in enumerate(spec.get("volumes") or ()):
        at = f"{path}.volumes[{index}]"
        found += _source(volume, at)
        found += own_name(volume, at, taken)
    return found


def _source(volume: JSON, at: str) -> list[Cause]:
    given = [name for name in SOURCES if volume.get(name) is not None]
    if not given:
        return [required(at, "must specify a volume type")]
    first, *others = given
    found = _fields(first, volume[first], f"{at}.{first}")
    found += [forbidden(f"{at}.{name}", "may not specify more than 1 volume type") for name in others]
    return found


def _fields(name: str, source: JSON, at: str) -> list[Cause]:
    if name == "emptyDir":
        limit = source.get("sizeLimit")
        if limit is not None and quantity.parse(limit) < 0:
            return [forbidden(f"{at}.sizeLimit", "SizeLimit field must be a valid resource quantity")]
    elif name == "hostPath":
        return _host_path(source, at)
    elif name == "secret":
        return _key_files(source, "secretName", at)
    elif name == "configMap":
        return _key_files(source, "name", at)
    elif name == "downwardAPI":
        return _mode(source, "defaultMode", at) + _downward_items(source.get("items"), at)
    elif name == "projected":
        return _projected(source, at)
    elif name == "persistentVolumeClaim" and not source.get("claimName"):
        return [required(f"{at}.claimName")]
    elif name == "nfs":
        return [required(f"{at}.{field}") for field in ("server", "path") if not source.get(field)]
    elif name == "csi" and not source.get("driver"):
        return [required(f"{at}.driver")]
    return []


def _host_path(source: JSON, at: str) -> list[Cause]:
    if not (path := source.get("path") or ""):
        return [required(f"{at}.path")]
    found = no_backsteps(path, f"{at}.path")
    if (type_ := source.get("type") or "") not in _HOST_PATH_TYPES:
        found.append(not_supported(f"{at}.type", type_, _HOST_PATH_TYPES))
    return found


def _key_files(source: JSON, name_field: str, at: str) -> list[Cause]:
    found: list[Cause] = []
    if not source.get(name_field):
        found.append(required(f"{at}.{name_field}"))
    found += _mode(source, "defaultMode", at)
    for index, item in enumerate(source.get("items") or ()):
        here = f"{at}.items[{index}]"
        if not item.get("key"):
            found.append(required(f"{here}.key"))
        found += _file_path(item, here)
        found += _mode(item, "mode", here)
    return found


def _downward_items(items: Any, at: str) -> list[Cause]:
    found: list[Cause] = []
    for index, item in enumerate(items or ()):
        here = f"{at}.items[{index}]"
        found += _file_path(item, here) + validate_volume_item(item, here) + _mode(item, "mode", here)
    return found


def _file_path(item: JSON, at: str) -> list[Cause]:
    if not (path := item.get("path") or ""):
        return [required(f"{at}.path")]
    found = relative_path(path, f"{at}.path")
    if path.startswith("..") and not found:
        found.append(invalid(f"{at}.path", path, "must not start with '..'"))
    return found


def _mode(tree: JSON, field: str, at: str) -> list[Cause]:
    mode = tree.get(field)
    if mode is None or 0 <= mode <= 0o777:
        return []
    return [invalid(f"{at}.{field}", mode, "must be a number between 0 and 0777 (octal), both inclusive")]


def _projected(source: JSON, at: str) -> list[Cause]:
    found = _mode(source, "defaultMode", at)
    for index, part in enumerate(source.get("sources") or ()):
        here = f"{at}.sources[{index}]"
        given = [
            name for name in ("secret", "configMap", "downwardAPI", "serviceAccountToken", "clusterTrustBundle",
                              "podCertificate")
            if part.get(name) is not None
        ]  # fmt: skip
        for position, name in enumerate(given):
            if position:
                found.append(forbidden(f"{here}.{name}", "may not specify more than 1 volume type per source"))
            elif name in ("secret", "configMap"):
                found += _key_files(part[name], "name", f"{here}.{name}")
            elif name == "downwardAPI":
                found += _downward_items(part[name].get("items"), f"{here}.{name}")
            elif name == "serviceAccountToken":
                found += _token(part[name], f"{here}.{name}")
    return found


def _token(token: JSON, at: str) -> list[Cause]:
    found: list[Cause] = []
    seconds = token.get("expirationSeconds") or 0
    if seconds < 600:
        found.append(invalid(f"{at}.expirationSeconds", seconds, "may not specify a duration less than 10 minutes"))
    if not token.get("path"):
        found.append(required(f"{at}.path"))
    return found

"""ConfigMap and Secret: keys, sizes, types, and what ``immutable`` means.

Pure. Rules and texts are those of pkg/apis/core/validation. A secret's values never get into a text.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping

from controlplane.apiserver.kinds.base import Column, Kind
from controlplane.apiserver.kinds.causes import all_invalid, forbidden, immutable, invalid, required, too_long
from controlplane.apiserver.kinds.cells import age_column, field_column, name_column
from shared import codec
from shared.api import kinds, names
from shared.api.errors import Cause
from shared.api.meta import JSON

MAX_BYTES = 1024 * 1024
"""All values of one object together."""

_REDACTED = "<secret contents redacted>"
_NEEDED_KEYS: Mapping[str, tuple[str, ...]] = {
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
}


def default_secret(secret: JSON) -> None:
    """stringData is written into data and goes; the type is Opaque where none is given."""
    if (texts := secret.pop("stringData", None)) is not None:
        data = secret.get("data") or {}
        for key, text in texts.items():
            data[key] = base64.b64encode((text or "").encode()).decode()
        if data:
            secret["data"] = data
    if not secret.get("type"):
        secret["type"] = "Opaque"


def validate_config_map(obj: JSON, old: JSON | None) -> Iterable[Cause]:
    data, binary = obj.get("data") or {}, obj.get("binaryData") or {}
    found: list[Cause] = []
    for key in sorted(data):
        found += all_invalid(f"data[{key}]", key, names.config_map_key(key))
        if key in binary:
            found.append(invalid(f"data[{key}]", key, "duplicate of key present in binaryData"))
    for key in sorted(binary):
        found += all_invalid(f"binaryData[{key}]", key, names.config_map_key(key))
    if sum(len(text.encode()) for text in data.values()) + _decoded(binary) > MAX_BYTES:
        found.append(too_long("[]", MAX_BYTES))
    return [*found, *_unchanged(obj, old, ("data", "binaryData"))]


def validate_secret(obj: JSON, old: JSON | None) -> Iterable[Cause]:
    data = obj.get("data") or {}
    found: list[Cause] = []
    for key in sorted(data):
        found += all_invalid(f"data[{key}]", key, names.config_map_key(key))
    if _decoded(data) > MAX_BYTES:
        found.append(too_long("data", MAX_BYTES))
    found += _typed(obj, data)
    if old is not None:
        found += immutable("type", obj.get("type"), old.get("type"))
    return [*found, *_unchanged(obj, old, ("data",))]


def _typed(obj: JSON, data: Mapping[str, str]) -> Iterable[Cause]:
    kind = obj.get("type")
    if kind == "kubernetes.io/service-account-token":
        name = "kubernetes.io/service-account.name"
        if not (obj["metadata"].get("annotations") or {}).get(name):
            yield required(f"metadata.annotations[{name}]")
    elif kind == "kubernetes.io/basic-auth" and "username" not in data and "password" not in data:
        yield required("data[username]")
        yield required("data[password]")
    for key in _NEEDED_KEYS.get(kind or "", ()):
        if key not in data:
            yield required(f"data[{key}]")
        elif key.startswith(".docker"):
            try:
                codec.decode(base64.b64decode(data[key]))
            except ValueError as error:
                yield invalid(f"data[{key}]", _REDACTED, str(error))


def _decoded(data: Mapping[str, str]) -> int:
    """Bytes that base64 texts stand for, without decoding them."""
    return sum(len(text) * 3 // 4 - text[-2:].count("=") for text in data.values())


def _unchanged(obj: JSON, old: JSON | None, fields: tuple[str, ...]) -> Iterable[Cause]:
    if old is None or not old.get("immutable"):
        return
    detail = "field is immutable when `immutable` is set"
    if not obj.get("immutable"):
        yield forbidden("immutable", detail)
    for field in fields:
        if (obj.get(field) or {}) != (old.get(field) or {}):
            yield forbidden(field, detail)


def _entries(obj: JSON) -> int:
    return len(obj.get("data") or ()) + len(obj.get("binaryData") or ())


def selectable_secret(secret: JSON) -> Mapping[str, str]:
    return {"type": secret.get("type") or ""}


CONFIG_MAP = Kind(
    resource=kinds.CONFIG_MAPS,
    singular="configmap",
    short_names=("cm",),
    columns=(name_column(), Column("Data", "string", "Number of entries.", _entries), age_column()),
    validate=validate_config_map,
)
SECRET = Kind(
    resource=kinds.SECRETS,
    singular="secret",
    columns=(
        name_column(),
        field_column("Type", "string", "What the secret is for.", "type", default=""),
        Column("Data", "string", "Number of entries.", lambda obj: len(obj.get("data") or ())),
        age_column(),
    ),
    default=default_secret,
    validate=validate_secret,
    selectable_fields=selectable_secret,
)

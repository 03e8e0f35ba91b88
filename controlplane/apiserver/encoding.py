"""An object's bytes: how they are stored, and how the revision is put into them without decoding.

Stored bytes are compact JSON with ``kind``, ``apiVersion`` and ``metadata`` first and without
``metadata.resourceVersion``, which is not known before the commit. Everybody who writes an object to the store
makes its bytes here. Pure; any thread.
"""

from __future__ import annotations

from shared import codec
from shared.api.kinds import Resource
from shared.api.meta import JSON, Object

_API_VERSION = b'"apiVersion":"'
_METADATA = b'"metadata":{'
_VERSION = b'"resourceVersion":"'
_VERSION_AT = len(_METADATA) + len(_VERSION)


def storage_prefix(resource: Resource[Object]) -> str:
    """The keys of a resource begin with this: ``/registry/apps/deployments/``."""
    return f"/registry/{resource.group or 'core'}/{resource.plural}/"


def storage_key(resource: Resource[Object], namespace: str, name: str) -> str:
    """``/registry/<group or core>/<plural>/[<namespace>/]<name>``."""
    prefix = storage_prefix(resource)
    return f"{prefix}{namespace}/{name}" if resource.namespaced else prefix + name


def stored(resource: Resource[Object], tree: JSON) -> bytes:
    """The bytes to store for ``tree``; its own kind, apiVersion and resourceVersion do not count."""
    metadata = {key: value for key, value in tree["metadata"].items() if key != "resourceVersion"}
    ordered: JSON = {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": metadata}
    for key, value in tree.items():
        if key not in ordered:
            ordered[key] = value
    return codec.encode(ordered)


def api_version(data: bytes) -> str:
    """The apiVersion of stored or served bytes, without decoding the rest."""
    start = data.find(_API_VERSION) + len(_API_VERSION)
    return data[start : data.find(b'"', start)].decode()


def with_revision(data: bytes, revision: int) -> bytes:
    """Stored bytes as they are served: ``resourceVersion`` is the first member of ``metadata``."""
    at = data.find(_METADATA) + len(_METADATA)
    return b'%b%b%d",%b' % (data[:at], _VERSION, revision, data[at:])


def without_revision(data: bytes) -> bytes:
    """Served bytes as they are stored."""
    at = data.find(_METADATA) + len(_METADATA)
    return data[:at] + data[data.find(b",", at + len(_VERSION)) + 1 :]


def at_revision(data: bytes, revision: int) -> bytes:
    """Served bytes with another revision in place of theirs."""
    at = data.find(_METADATA) + _VERSION_AT
    return b"%b%d%b" % (data[:at], revision, data[data.find(b'"', at) :])

"""Which credentials of a pod's pull secrets are for an image.

Pure. Formats, matching and order are the kubelet's (pkg/credentialprovider: config.go, keyring.go); see also
https://kubernetes.io/docs/concepts/containers/images/#config-json. Nothing here may be logged.
"""

from __future__ import annotations

import binascii
import json
from base64 import b64decode
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import urlsplit

from agent.runtime.base import RegistryAuth
from shared.api.core import Secret

_FORMS = {"kubernetes.io/dockerconfigjson": ".dockerconfigjson", "kubernetes.io/dockercfg": ".dockercfg"}
_DOCKER_HUB = "index.docker.io"


class BadSecret(Exception):
    """A Secret that holds no credentials; the message says why, and nothing of what is in it."""


def credentials(secret: Secret) -> list[tuple[str, RegistryAuth]]:
    """Registries (host, port, path, perhaps with globs) with their credentials. Raises BadSecret."""
    key = _FORMS.get(secret.type)
    if key is None:
        raise BadSecret(f"its type is {secret.type or 'Opaque'}, not {' or '.join(_FORMS)}")
    if key not in secret.data:
        raise BadSecret(f"it has no key {key}")
    try:
        tree = json.loads(b64decode(secret.data[key]))
    except (ValueError, binascii.Error):
        raise BadSecret(f"{key} holds no JSON") from None
    entries = tree.get("auths") if isinstance(tree, dict) and key == ".dockerconfigjson" else tree
    if not isinstance(entries, Mapping):
        raise BadSecret(f"{key} holds no registries")
    return [(_registry(name), auth) for name, entry in entries.items() if (auth := _auth(entry)) is not None]


def matching(image: str, known: Iterable[tuple[str, RegistryAuth]]) -> tuple[RegistryAuth, ...]:
    """Credentials to try for ``image``, those of the most special registry first."""
    repository = _repository(image)
    found = [(registry, auth) for registry, auth in known if _matches(registry, repository)]
    found.sort(key=lambda each: each[0], reverse=True)
    return tuple(dict.fromkeys(auth for _, auth in found))


def _auth(entry: Any) -> RegistryAuth | None:
    if not isinstance(entry, Mapping):
        return None
    user, password = entry.get("username") or "", entry.get("password") or ""
    if encoded := entry.get("auth"):
        try:
            user, _, password = b64decode(str(encoded)).decode().partition(":")
        except (ValueError, binascii.Error):
            return None
    return RegistryAuth(str(user), str(password)) if user else None


def _registry(name: str) -> str:
    """``https://host/v1/`` as older files write it, or ``host/path``."""
    bare = name.partition("://")[2] if "://" in name else name
    for old in ("/v1/", "/v2/", "/v1", "/v2"):
        bare = bare.removesuffix(old)
    host, slash, path = bare.partition("/")
    return f"{_DOCKER_HUB if host == 'docker.io' else host}{slash}{path}".rstrip("/")


def _repository(image: str) -> str:
    """An image's registry and path, without tag and digest."""
    name = image.partition("@")[0]
    head, _, tail = name.rpartition("/")
    name = f"{head}/{tail.partition(':')[0]}".lstrip("/")
    host, slash, path = name.partition("/")
    if not slash:
        return f"{_DOCKER_HUB}/library/{host}"
    if host == "docker.io":
        return f"{_DOCKER_HUB}/{path}"
    return name if "." in host or ":" in host or host == "localhost" else f"{_DOCKER_HUB}/{name}"


def _matches(registry: str, repository: str) -> bool:
    """As keyring.go's URLsMatch: as many parts of the host, each a glob; the same port; a path that begins alike."""
    wanted, found = urlsplit(f"//{registry}"), urlsplit(f"//{repository}")
    try:
        if wanted.port != found.port:
            return False
    except ValueError:
        return False
    parts, others = _parts(wanted.netloc), _parts(found.netloc)
    return (
        len(parts) == len(others)
        and all(fnmatchcase(other, part) for part, other in zip(parts, others, strict=True))
        and found.path.startswith(wanted.path)
    )


def _parts(netloc: str) -> list[str]:
    return netloc.partition(":")[0].split(".")

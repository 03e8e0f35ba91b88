"""References of images: ``image(…)`` and what it is made of.

Pure. After k8s.io/apiserver/pkg/cel/library/image.go, and the grammar of google/go-containerregistry/pkg/name, whose
weak validation it uses: what names no registry is of Docker Hub, where a name without a slash is of ``library``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the library is loaded by the first expression
    from controlplane.apiserver.cel.functions import Functions

IMAGE = "image"
_DOCKER_HUB, _LATEST = "index.docker.io", "latest"
_REPOSITORY = re.compile(r"[a-z0-9_./-]{2,255}")
_REGISTRY = re.compile(r"(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._~-]+)(?::[0-9]+)?")
_TAG = re.compile(r"[A-Za-z0-9_.-]{1,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def declare(made: Functions) -> None:
    from cel_expr_python import cel

    T = cel.Type
    made.add("image", T.DYN, [T.STRING], lambda text: {IMAGE: parsed(text)}, member=False)
    made.add("isImage", T.BOOL, [T.STRING], _is_image, member=False)
    made.add("containsDigest", T.BOOL, [T.MAP], lambda image: bool(_of(image)["digest"]))
    for part in ("registry", "repository", "tag", "digest"):
        made.add(part, T.STRING, [T.MAP], _part(part))
    made.add("identifier", T.STRING, [T.MAP], lambda image: _of(image)["digest"] or _of(image)["tag"])


def _part(part: str) -> Any:
    return lambda image: _of(image)[part]


def _of(value: dict[str, Any]) -> dict[str, str]:
    if IMAGE not in value:
        raise ValueError("no such overload: image is wanted")
    found: dict[str, str] = value[IMAGE]
    return found


def _is_image(text: str) -> bool:
    try:
        parsed(text)
    except ValueError:
        return False
    return True


def parsed(text: str) -> dict[str, str]:
    """The parts of a reference; one with a digest has no tag. Raises ValueError."""
    rest, at, digest = text.partition("@")
    if at and not _DIGEST.fullmatch(digest):
        raise ValueError(f"could not parse reference: {text}: unsupported digest")
    base, colon, tag = rest.rpartition(":")
    if not colon or "/" in tag:
        base, tag = rest, ""
    elif not _TAG.fullmatch(tag):
        raise ValueError(f"could not parse reference: {text}: tag can only contain letters, digits and _-.")
    registry, slash, repository = base.partition("/")
    if not slash or not ("." in registry or ":" in registry or registry == "localhost"):
        registry, repository = _DOCKER_HUB, base
    if registry == _DOCKER_HUB and "/" not in repository:
        repository = f"library/{repository}"
    if not _REGISTRY.fullmatch(registry):
        raise ValueError(f"could not parse reference: {text}: registries must be valid RFC 3986 URI authorities")
    if not _REPOSITORY.fullmatch(repository) or "" in repository.split("/"):
        raise ValueError(f"could not parse reference: {text}: invalid repository name")
    return {
        "registry": registry, "repository": repository, "tag": "" if at else tag or _LATEST, "digest": digest,
    }  # fmt: skip

"""The agent as one archive that runs on a bare Python: our packages and the libraries that the agent imports.

Made from what is installed here, so neither side needs a package index; the other side needs the same minor
version of Python and the same architecture (``facts.problems`` checks that). The digest names the release.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib.metadata
import io
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from deploy.nodes.errors import NodeError

PACKAGES = ("agent", "shared", "deploy", "controlplane")
"""Ours; the control plane's for the settings that the command line names (a few hundred KB of source)."""

LIBRARIES = (
    "aiohttp", "docker", "pyyaml", "prometheus-client", "orjson", "msgspec", "cryptography", "click",
    "h2",
)  # fmt: skip
"""What the agent imports; each comes with what it requires itself."""

_SKIPPED = re.compile(r"(^|/)(__pycache__|tests?|testing/data)/|\.pyc$")


@dataclass(frozen=True, slots=True)
class Artifact:
    digest: str
    data: bytes


def build() -> Artifact:
    """The archive. The same files give the same bytes. Raises NodeError when a library is not installed here."""
    files: dict[str, Path] = {}
    for package in PACKAGES:
        files.update(_package(package))
    for library in sorted(_closure(LIBRARIES)):
        files.update(_library(library))
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as tar:
        for name in sorted(files):
            data = files[name].read_bytes()
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), 0o644
            tar.addfile(info, io.BytesIO(data))
    digest = hashlib.sha256(plain.getvalue()).hexdigest()[:16]
    return Artifact(digest, gzip.compress(plain.getvalue(), compresslevel=3, mtime=0))


def _package(name: str) -> Iterator[tuple[str, Path]]:
    spec = find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise NodeError(f"the package {name} is not installed here: install longboat again")
    top = Path(next(iter(spec.submodule_search_locations)))
    for path in top.rglob("*"):
        relative = f"{name}/{path.relative_to(top)}"
        if path.is_file() and not _SKIPPED.search(relative):
            yield relative, path


def _closure(names: tuple[str, ...]) -> set[str]:
    """The libraries and all that they require here; what an environment marker leaves out is not installed."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name in found:
            continue
        try:
            requirements = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            if name in names:
                raise NodeError(f"the library {name} is not installed here: install longboat again") from None
            continue
        found.add(name)
        for requirement in requirements:
            if "extra ==" not in requirement:
                matched = re.match(r"[A-Za-z0-9._-]+", requirement)
                if matched:
                    waiting.append(matched.group())
    return found


def _library(name: str) -> Iterator[tuple[str, Path]]:
    for file in importlib.metadata.files(name) or []:
        relative = str(file)
        path = Path(str(file.locate()))
        if not relative.startswith("..") and not _SKIPPED.search(relative) and path.is_file():
            yield relative, path

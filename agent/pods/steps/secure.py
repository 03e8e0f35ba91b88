"""What a container's processes may do, with what has to be asked for it: the image's user, a profile of the node's."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path

from agent.pods.security import ImageUser, SecurityError, image_user, needs_image_user, seccomp_file, security
from agent.pods.steps.base import StepFailed, Work
from agent.runtime.base import RuntimeFailure, Security
from shared.api.pod import Container, Pod

LARGEST_PROFILE = 1 << 20
"""Bytes."""


async def container_security(work: Work, pod: Pod, container: Container) -> Security:
    """Raises StepFailed with CreateContainerConfigError, or CreateContainerError for a profile that cannot be had."""
    user = ImageUser()
    if needs_image_user(pod, container):
        try:
            found = await work.tools.runtime.image_present(container.image)
        except RuntimeFailure as error:
            text = f'Failed to inspect image "{container.image}": {error}'
            raise StepFailed("ImageInspectError", text) from error
        if found is None:
            raise StepFailed("CreateContainerConfigError", f'image "{container.image}" is not on this node any more')
        user = image_user(found.user)
    try:
        made = security(pod, container, user)
    except SecurityError as error:
        raise StepFailed("CreateContainerConfigError", str(error)) from error
    if name := seccomp_file(pod, container):
        profile = await asyncio.to_thread(read_profile, work.tools.seccomp, name)
        return replace(made, seccomp=profile)
    return made


def read_profile(directory: Path, name: str) -> str:
    """A seccomp profile as one line of JSON. Blocking. Raises StepFailed with CreateContainerError."""
    base = directory.resolve()
    path = (base / name).resolve()
    try:
        if base not in path.parents:
            raise ValueError("it is not below the node's directory of profiles")
        with path.open("rb") as file:
            content = file.read(LARGEST_PROFILE + 1)
        if len(content) > LARGEST_PROFILE:
            raise ValueError(f"it is larger than {LARGEST_PROFILE} bytes")
        return json.dumps(json.loads(content), separators=(",", ":"))
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        text = f'cannot load seccomp profile "{path}": open {path}: {why}'
        raise StepFailed("CreateContainerError", text) from error
    except ValueError as error:
        raise StepFailed("CreateContainerError", f'cannot load seccomp profile "{name}": {error}') from error

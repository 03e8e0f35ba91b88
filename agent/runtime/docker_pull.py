"""Images in the Docker daemon: looking, pulling, and importing the sandbox's own. No state."""

from __future__ import annotations

import logging
from typing import Any

from docker import APIClient
from docker.errors import APIError
from requests.exceptions import ConnectionError as NoConnection
from requests.exceptions import Timeout

from agent.runtime import docker_errors, pause
from agent.runtime.base import Image, RegistryAuth, RuntimeFailure
from agent.runtime.docker_engine import DockerEngine, Interrupt
from agent.runtime.images import Reference

logger = logging.getLogger(__name__)


def read_image(found: dict[str, Any]) -> Image:
    """From the answer of an inspect or out of the list."""
    tags = tuple(tag for tag in found.get("RepoTags") or () if tag != "<none>:<none>")
    digests = tuple(digest for digest in found.get("RepoDigests") or () if digest != "<none>@<none>")
    user = (found.get("Config") or {}).get("User") or ""
    return Image(found["Id"], tags, digests, int(found.get("Size") or 0), user)


async def inspect(engine: DockerEngine, image: str) -> Image | None:
    """None when it is not on this host, or the name cannot be one."""
    if not image:
        return None

    def look(client: APIClient) -> dict[str, Any]:
        try:
            found: dict[str, Any] = client.inspect_image(image)
        except APIError as error:
            if docker_errors.status_of(error) in (400, 404):  # 400: no valid reference
                return {}
            raise
        return found

    found = await engine.call("inspect_image", look)
    return read_image(found) if found else None


async def pull(engine: DockerEngine, reference: Reference, auth: RegistryAuth | None) -> None:
    """Raises RuntimeFailure with ErrImagePull: what the registry or the daemon said, or that nothing moves."""
    interrupt = Interrupt()
    limit = engine.options.pull_timeout
    known = {"username": auth.username, "password": auth.password} if auth is not None else None

    def work(client: APIClient) -> None:
        try:
            for progress in client.pull(
                reference.repository, reference.version, stream=True, decode=True, auth_config=known
            ):
                if interrupt.fired:
                    return
                if "error" in progress:
                    raise RuntimeFailure(docker_errors.clean_message(progress["error"]), "ErrImagePull")
        except (Timeout, NoConnection) as error:
            if isinstance(error, Timeout) or "timed out" in str(error).lower():
                raise RuntimeFailure(f"no progress in {limit:g} s", "ErrImagePull") from error
            raise

    await engine.dedicated("pull", work, interrupt=interrupt, read_timeout=limit)


async def remove(engine: DockerEngine, name: str) -> bool:
    """Whether the name is gone; False when a container is made of its image."""

    def work(client: APIClient) -> bool:
        try:
            client.remove_image(name)
        except APIError as error:
            if docker_errors.status_of(error) == 409:
                return False
            if docker_errors.status_of(error) != 404:
                raise
        return True

    return await engine.call("remove_image", work, write=True)


async def ensure_pause_image(engine: DockerEngine) -> str:
    """The name of the sandbox's image, which is imported when the daemon lacks it: no registry is asked.

    Raises RuntimeFailure with CreatePodSandboxError.
    """
    version: dict[str, Any] = await engine.call("version", lambda client: client.version())
    architecture = version["Arch"]
    try:
        name, tag = pause.image_name(architecture), pause.image_tag(architecture)
    except pause.UnknownArchitecture as error:
        raise RuntimeFailure(str(error), "CreatePodSandboxError") from error
    if await inspect(engine, name) is None:
        archive = pause.root_file_system(architecture)
        await engine.call(
            "import_image",
            lambda client: client.import_image_from_data(archive, repository=pause.REPOSITORY, tag=tag),
            write=True,
        )
        logger.info("imported the image of sandboxes", extra={"image": name})
    return name

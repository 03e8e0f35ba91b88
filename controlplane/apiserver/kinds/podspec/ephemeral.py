"""What is wrong with a pod's ephemeral containers, and with a change of them: they are added, and that is all.

Pure. Rules and texts are those of validateEphemeralContainers and ValidatePodEphemeralContainersUpdate in
pkg/apis/core/validation (KEP-277).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from controlplane.apiserver.kinds.causes import forbidden, not_found
from shared.api.errors import Cause
from shared.api.meta import JSON
from shared.api.static_pods import MIRROR

_ALLOWED = frozenset(
    (
        "name", "image", "command", "args", "workingDir", "env", "envFrom", "volumeMounts", "volumeDevices",
        "terminationMessagePath", "terminationMessagePolicy", "imagePullPolicy", "securityContext", "stdin",
        "stdinOnce", "tty", "targetContainerName",
    )
)  # fmt: skip
_CANNOT = "cannot be set for an Ephemeral Container"


def validate_ephemeral_containers(
    spec: JSON, path: str, as_any_container: Callable[[JSON, str], list[Cause]]
) -> list[Cause]:
    """Each by itself; ``as_any_container`` has the rules of every container."""
    found: list[Cause] = []
    targets = {each.get("name") for each in spec.get("containers") or ()}
    for index, container in enumerate(spec.get("ephemeralContainers") or ()):
        at = f"{path}.ephemeralContainers[{index}]"
        found += as_any_container(container, at)
        target = container.get("targetContainerName")
        if target and target not in targets:
            found.append(not_found(f"{at}.targetContainerName", target))
        found += [
            forbidden(f"{at}.{field}", _CANNOT) for field in container if field not in _ALLOWED and container[field]
        ]
        for position, mount in enumerate(container.get("volumeMounts") or ()):
            here = f"{at}.volumeMounts[{position}]"
            found += [forbidden(f"{here}.{field}", _CANNOT) for field in ("subPath", "subPathExpr") if mount.get(field)]
    return found


def validate_ephemeral_update(pod: JSON, old: JSON) -> list[Cause]:
    """Nothing of what there was may change or go."""
    path = "spec.ephemeralContainers"
    if MIRROR in (old["metadata"].get("annotations") or {}):
        return [forbidden("", "static pods do not support ephemeral containers")]
    new: Sequence[JSON] = pod["spec"].get("ephemeralContainers") or ()
    by_name = {container.get("name"): container for container in new}
    found: list[Cause] = []
    for container in old["spec"].get("ephemeralContainers") or ():
        name = container.get("name")
        if name not in by_name:
            found.append(forbidden(path, f'existing ephemeral containers "{name}" may not be removed\n'))
        elif by_name[name] != container:
            found.append(forbidden(path, f'existing ephemeral containers "{name}" may not be changed\n'))
    return found

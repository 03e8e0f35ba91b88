"""What the Docker daemon's refusals mean in Kubernetes' words. Pure.

The texts are those of dockerd 20.10 to 28; what is not recognised keeps the daemon's own message.
"""

from __future__ import annotations

import re

from docker.errors import APIError, DockerException
from requests.exceptions import RequestException
from urllib3.exceptions import ClosedPoolError, HTTPError

from agent.runtime.base import RuntimeFailure, RuntimeUnavailable

BLOCKING_FAILURES: tuple[type[Exception], ...] = (DockerException, RequestException, HTTPError, OSError)
"""All that a blocking call of the SDK raises when the daemon refuses, vanishes or hangs."""

MAYBE_UNSENT: tuple[type[Exception], ...] = (*BLOCKING_FAILURES, ValueError)
"""What ``was_never_sent`` is asked about."""

_WRAPPING = re.compile(
    r"^(?:OCI runtime (?:create|exec|start) failed: |failed to create (?:shim|shim task|task for container): "
    r"|runc create failed: |container_linux\.go:\d+: |process_linux\.go:\d+: |rootfs_linux\.go:\d+: "
    r"|starting container process caused: |unable to start container process: |exec failed: |failed to start task: )+"
)
_TRAILER = re.compile(r"(?:: unknown|: not found)$")
_NOT_STARTABLE = re.compile(
    r"executable file not found|no such file or directory|permission denied|exec format error|is a directory"
    r"|not a directory|exec: \"|invalid argument"
)
_DEAD_CONNECTION = re.compile(r"too (?:old|new)\. (?:Minimum|Maximum) supported API version")


def clean_message(text: str) -> str:
    """The cause out of the chain that shim, runc and daemon wrap around it: ``exec: "foo": executable file not
    found in $PATH``."""
    cleaned = " ".join(text.split())
    cleaned = _WRAPPING.sub("", cleaned)
    cleaned = _TRAILER.sub("", cleaned)
    return cleaned or "the engine gave no reason"


def explanation(error: APIError) -> str:
    """What the daemon itself said."""
    return str(error.explanation or error)


def status_of(error: BaseException) -> int:
    """The HTTP status of the daemon's answer, 0 when there was none."""
    if isinstance(error, APIError) and error.response is not None:
        return int(error.response.status_code)
    return 0


def was_never_sent(error: BaseException) -> bool:
    """Whether the call found its pool or its connection closed by another thread: the daemon heard nothing."""
    if isinstance(error, ValueError) and str(error).startswith("file descriptor cannot be a negative integer"):
        return True  # urllib3 looks at a connection of its pool whose socket is closed
    return any(isinstance(cause, ClosedPoolError) for cause in (error, *error.args))


def is_start_error(text: str) -> bool:
    """Whether a failed start is the fault of the command: absent, not executable, wrong format."""
    return bool(_NOT_STARTABLE.search(text))


def translate(error: Exception, operation: str) -> RuntimeFailure:
    """The failure to raise for what an SDK call raised. Conflicts and absences are the caller's to handle first."""
    status = status_of(error)
    if not isinstance(error, APIError) or status == 0:
        return RuntimeUnavailable(f"the Docker daemon does not answer ({operation}): {_cause(error)}")
    text = explanation(error)
    if _DEAD_CONNECTION.search(text):
        return RuntimeUnavailable(f"the Docker daemon speaks another API version now: {text}")
    message = clean_message(text)
    if operation == "start":
        return RuntimeFailure(message, "StartError" if is_start_error(text) else "RunContainerError")
    if operation == "pull" and "invalid reference format" in text:
        return RuntimeFailure(message, "InvalidImageName")
    return RuntimeFailure(message, _REASONS.get(operation, "RunContainerError"))


def _cause(error: BaseException) -> str:
    """The innermost of a chain that requests, urllib3 and the SDK build, which is the one with information."""
    seen = 0
    while seen < 8:
        inner = error.__cause__ or error.__context__
        if inner is None:
            break
        error, seen = inner, seen + 1
    return str(error) or type(error).__name__


_REASONS = {
    "create": "CreateContainerError",
    "create_sandbox": "CreatePodSandboxError",
    "start_sandbox": "CreatePodSandboxError",
    "claim_sandbox": "CreatePodSandboxError",
    "release_sandbox": "CreatePodSandboxError",
    "stop": "KillContainerError",
    "remove": "KillContainerError",
    "pull": "ErrImagePull",
}

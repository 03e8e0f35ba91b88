"""What goes over a stream of kind ``exec`` or ``attach``: its parameters and its channels. Pure data.

Every message of such a stream is one byte that names the channel, and what it carries, as in Kubernetes'
``v5.channel.k8s.io`` (k8s.io/apimachinery/pkg/util/remotecommand, KEP-4006). Server to agent: stdin, sizes of the
terminal, and that a channel is over; agent to server: stdout, stderr and, as the last, the Status of how it ended.
"""

from __future__ import annotations

import msgspec

from shared.api.meta import JSON

EXEC = "exec"
"""The stream kind of a command run in a container; its parameters are ``RemoteCommand``."""

ATTACH = "attach"
"""The stream kind of a container's own process; its parameters are ``RemoteCommand`` without a command."""

STDIN, STDOUT, STDERR, ERROR, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255
"""Channels. ``ERROR`` carries a Status as JSON, ``RESIZE`` a ``TerminalSize``, ``CLOSE`` the channel that is over."""


class RemoteCommand(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """PodExecOptions and PodAttachOptions, and which pod's container is meant."""

    namespace: str
    name: str
    uid: str
    container: str
    command: tuple[str, ...] = ()
    stdin: bool = False
    stdout: bool = False
    stderr: bool = False
    tty: bool = False


class TerminalSize(msgspec.Struct, frozen=True, rename="pascal"):
    """Columns and lines (k8s.io/client-go/tools/remotecommand.TerminalSize)."""

    width: int
    height: int


SUCCESS: JSON = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
"""How a command without a complaint ends."""


def exit_status(code: int) -> JSON:
    """The Status of a command that ended with ``code``: clients read the number out of its cause."""
    if code == 0:
        return SUCCESS
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": f"command terminated with non-zero exit code: command terminated with exit code {code}",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }

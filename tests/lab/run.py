"""Running the system's own tools from argument lists, with errors that show what they said."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence


class LabError(Exception):
    """The lab could not do what was asked; the message is for a person."""


def tool(*command: str, check: bool = True, text: str | None = None, timeout: float = 60.0) -> str:
    """Run a command and give its stdout. Raises LabError with its stderr, unless ``check`` is False."""
    stdin = {"input": text} if text is not None else {"stdin": subprocess.DEVNULL}
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, **stdin)  # type: ignore[call-overload]
    if check and done.returncode:
        raise LabError(f"{' '.join(command)}: {done.stderr.strip() or done.returncode}")
    return str(done.stdout)


def ip(*arguments: str, netns: str = "", check: bool = True) -> str:
    """``ip`` in a network namespace."""
    return tool("ip", *(["-n", netns] if netns else []), *arguments, check=check)


def inside(netns: str, *command: str, check: bool = True, text: str | None = None) -> str:
    """A command in a network namespace, with the mounts left as they are (``ip netns exec`` remounts /sys)."""
    return tool("nsenter", f"--net=/run/netns/{netns}", *command, check=check, text=text)


def lines(sequence: Sequence[str]) -> str:
    return "".join(line + "\n" for line in sequence)

"""The part of a container's body that says what its processes may do. Pure; keys are the Engine API's."""

from __future__ import annotations

from typing import Any

from agent.runtime.base import Namespaces, Security


def security_config(security: Security) -> dict[str, Any]:
    """For ``HostConfig``. Only what differs from the engine's defaults is in it."""
    found: dict[str, Any] = {}
    if security.privileged:
        found["Privileged"] = True
    if security.read_only_root:
        found["ReadonlyRootfs"] = True
    if security.add:
        found["CapAdd"] = [_capability(name) for name in security.add]
    if security.drop:
        found["CapDrop"] = [_capability(name) for name in security.drop]
    if security.groups:
        found["GroupAdd"] = [str(group) for group in security.groups]
    if options := _options(security):
        found["SecurityOpt"] = options
    if security.unmasked:
        found |= {"MaskedPaths": [], "ReadonlyPaths": []}
    return found


def namespace_config(namespaces: Namespaces, sandbox_id: str, processes_of: str) -> dict[str, Any]:
    """For ``HostConfig``: network and IPC of the sandbox, unless they are the host's, and whose processes it sees."""
    sandbox = f"container:{sandbox_id}"
    found: dict[str, Any] = {"NetworkMode": sandbox, "IpcMode": "host" if namespaces.host_ipc else sandbox}
    if processes_of:
        found["PidMode"] = f"container:{processes_of}"
    elif namespaces.host_pid:
        found["PidMode"] = "host"
    elif namespaces.shared_pid:
        found["PidMode"] = sandbox
    return found


def _options(security: Security) -> list[str]:
    options = []
    if security.no_new_privileges:
        options.append("no-new-privileges")
    if security.seccomp:
        options.append(f"seccomp={security.seccomp}")
    if security.app_armor:
        options.append(f"apparmor={security.app_armor}")
    return options


def _capability(name: str) -> str:
    """Engines of today take ``ALL`` and names with or without ``CAP_``, in capitals."""
    return name.upper()

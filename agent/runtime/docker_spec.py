"""Bodies of the Engine API's ``POST /containers/create``, out of our specs. Pure.

The keys are the Engine API's own (docs.docker.com/reference/api/engine, ContainerCreate), as of 1.41.
"""

from __future__ import annotations

from typing import Any

from agent.runtime import docker_names as names
from agent.runtime.base import ContainerSpec, Mount, Resources, SandboxSpec
from agent.runtime.docker_options import DockerOptions
from agent.runtime.docker_security import namespace_config, security_config

PERIOD = 100_000
SANDBOX_OOM_SCORE = -998
"""The kubelet's for a sandbox: killing it would take the network of all the pod's containers."""


def sandbox_body(
    spec: SandboxSpec, *, node: str, image: str, command: str, options: DockerOptions, negative_scores: bool
) -> dict[str, Any]:
    """A container that only sleeps: no network but ``lo``, no rights, no log, never restarted by Docker.

    Its network is disabled rather than ``none``: runc then makes the namespace and brings ``lo`` up, and the daemon
    does not start two copies of itself in it, which cost more than all the rest of a start (``libnetwork-setkey`` and
    ``set-ipv6``). What else a default container gets (a seccomp filter, a dozen mounts over /proc) is left out: it
    guards against a process that does more than call pause().
    """
    host_config: dict[str, Any] = {
        "NetworkMode": "host" if spec.host_network else "none",
        "IpcMode": "shareable",
        "LogConfig": {"Type": "none"},
        "Memory": options.sandbox_memory,
        "CpuShares": 2,
        "RestartPolicy": {"Name": "no"},
        "Init": False,
        "CapDrop": ["ALL"],
        "ReadonlyRootfs": True,
        "SecurityOpt": ["no-new-privileges", "seccomp=unconfined"],
        "MaskedPaths": [],
        "ReadonlyPaths": [],
    }
    if negative_scores:
        host_config["OomScoreAdj"] = SANDBOX_OOM_SCORE
    if spec.sysctls:
        host_config["Sysctls"] = dict(spec.sysctls)
    body: dict[str, Any] = {
        "Image": image,
        "Entrypoint": [command],
        "Labels": names.sandbox_labels(node),
        "NetworkDisabled": not spec.host_network,
        "HostConfig": host_config,
    }
    if spec.hostname and not spec.host_network:
        body["Hostname"] = spec.hostname
    return body


def container_body(spec: ContainerSpec, *, node: str, options: DockerOptions, negative_scores: bool) -> dict[str, Any]:
    """A container that joins the network and IPC namespaces of its sandbox, and with them its host name.

    ``command`` replaces the image's entrypoint and its arguments, ``args`` only the arguments (Kubernetes:
    "Define a Command and Arguments for a Container"); Docker does so by itself when Entrypoint is set.
    """
    host_config: dict[str, Any] = {
        **namespace_config(spec.namespaces, spec.sandbox_id, spec.processes_of),
        **security_config(spec.security),
        "LogConfig": {
            "Type": "json-file",
            "Config": {"max-size": options.log_max_size, "max-file": str(options.log_max_file)},
        },
        "RestartPolicy": {"Name": "no"},
        **resource_config(spec.resources),
        "Mounts": [_mount(mount) for mount in spec.mounts],
    }
    if options.pids > 0:
        host_config["PidsLimit"] = options.pids
    if spec.oom_score_adj is not None and (spec.oom_score_adj >= 0 or negative_scores):
        host_config["OomScoreAdj"] = spec.oom_score_adj
    body: dict[str, Any] = {
        "Image": spec.image,
        "Env": [f"{key}={value}" for key, value in spec.env],
        "Labels": names.container_labels(node, spec),
        "Tty": spec.tty,
        "OpenStdin": spec.stdin,
        "StdinOnce": spec.stdin and spec.stdin_once,
        "HostConfig": host_config,
    }
    if spec.command:
        body["Entrypoint"] = list(spec.command)
    if spec.args:
        body["Cmd"] = list(spec.args)
    if spec.security.user:
        body["User"] = spec.security.user
    if spec.working_dir:
        body["WorkingDir"] = spec.working_dir
    return body


def resource_config(resources: Resources) -> dict[str, Any]:
    """Of a new container, and of ``POST /containers/ID/update``. Memory and the swap beyond it are one figure, so that
    either may be raised and lowered in one request."""
    found: dict[str, Any] = {"CpuShares": max(2, resources.cpu_shares)}
    if resources.cpu_quota > 0:
        found |= {"CpuQuota": resources.cpu_quota, "CpuPeriod": PERIOD}
    if resources.memory_bytes > 0:
        found |= {"Memory": resources.memory_bytes, "MemorySwap": resources.memory_bytes}
    return found


def probe_body(*, node: str, image: str, command: str) -> dict[str, Any]:
    """A container that shows whether this host allows a negative oom_score_adj."""
    return {
        "Image": image,
        "Entrypoint": [command],
        "Labels": {names.NODE: node},
        "HostConfig": {"NetworkMode": "none", "LogConfig": {"Type": "none"}, "OomScoreAdj": -1},
    }


def _mount(mount: Mount) -> dict[str, Any]:
    if mount.memory or not mount.source:
        tmpfs: dict[str, Any] = {"Type": "tmpfs", "Target": mount.target, "ReadOnly": mount.read_only}
        if mount.size_bytes > 0:
            tmpfs["TmpfsOptions"] = {"SizeBytes": mount.size_bytes, "Mode": 0o1777}
        return tmpfs
    bind: dict[str, Any] = {"Type": "bind", "Source": mount.source, "Target": mount.target, "ReadOnly": mount.read_only}
    options: dict[str, Any] = {}
    if mount.propagation:
        options["Propagation"] = mount.propagation
    if mount.recursive:
        options["ReadOnlyForceRecursive"] = True
    return bind | {"BindOptions": options} if options else bind

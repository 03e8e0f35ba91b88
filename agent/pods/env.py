"""The environment of a container, from its pod, its node, and the ConfigMaps and Secrets it names. Pure.

What cannot be resolved is a ConfigError with the kubelet's message, which becomes CreateContainerConfigError. The
rules are those of pkg/kubelet/kubelet_pods.go (makeEnvironmentVariables) and pkg/fieldpath. Values may be secret:
nothing here logs.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import ROUND_UP, Decimal

from agent.pods.expansion import expand
from agent.pods.status import NodeFacts
from shared.api import quantity
from shared.api.core import ConfigMap, Secret
from shared.api.pod import Container, EnvVarSource, Pod, ResourceFieldSelector

CONFIG_MAP, SECRET = "ConfigMap", "Secret"

Reference = tuple[str, str]
"""(kind, name) of a ConfigMap or Secret in the pod's namespace."""

_SUBSCRIPT = re.compile(r"metadata\.(labels|annotations)\['(.+)'\]")
_NAME = re.compile(r"[ -<>-~]+")
"""What Kubernetes takes as a variable's name: printable ASCII but ``=`` (KEP-4369)."""


class ConfigError(Exception):
    """The container's configuration cannot be resolved; the message is the kubelet's."""


@dataclass(frozen=True, slots=True)
class Objects:
    """The ConfigMaps and Secrets at hand; None stands for one that does not exist."""

    config_maps: Mapping[str, ConfigMap | None]
    secrets: Mapping[str, Secret | None]

    def values(self, kind: str, name: str) -> Mapping[str, str] | None:
        """The keys of an object as text, or None when it does not exist."""
        if kind == CONFIG_MAP:
            config_map = self.config_maps.get(name)
            return None if config_map is None else config_map.data
        secret = self.secrets.get(name)
        if secret is None:
            return None
        return {key: b64decode(value).decode(errors="surrogateescape") for key, value in secret.data.items()}


NO_OBJECTS = Objects({}, {})


def references(container: Container) -> set[Reference]:
    """The objects that the container's environment names."""
    found: set[Reference] = set()
    for source in container.env_from:
        if source.config_map_ref is not None:
            found.add((CONFIG_MAP, source.config_map_ref.name))
        if source.secret_ref is not None:
            found.add((SECRET, source.secret_ref.name))
    for variable in container.env:
        if variable.value_from is not None:
            if variable.value_from.config_map_key_ref is not None:
                found.add((CONFIG_MAP, variable.value_from.config_map_key_ref.name))
            if variable.value_from.secret_key_ref is not None:
                found.add((SECRET, variable.value_from.secret_key_ref.name))
    return found


def volume_references(pod: Pod) -> set[Reference]:
    """The objects that the pod's volumes show."""
    maps = {(CONFIG_MAP, volume.config_map.name) for volume in pod.spec.volumes if volume.config_map is not None}
    secrets = {(SECRET, volume.secret.secret_name) for volume in pod.spec.volumes if volume.secret is not None}
    parts = [part for volume in pod.spec.volumes if volume.projected is not None for part in volume.projected.sources]
    maps |= {(CONFIG_MAP, part.config_map.name) for part in parts if part.config_map is not None}
    secrets |= {(SECRET, part.secret.name) for part in parts if part.secret is not None}
    return maps | secrets


def pod_references(pod: Pod) -> set[Reference]:
    """Every object that the pod needs."""
    found = volume_references(pod) | {(SECRET, reference.name) for reference in pod.spec.image_pull_secrets}
    for container in (*pod.spec.init_containers, *pod.spec.containers, *pod.spec.ephemeral_containers):
        found |= references(container)
    return found


def environment(
    pod: Pod, container: Container, objects: Objects, node: NodeFacts, address: str, hostname: str
) -> dict[str, str]:
    """The container's variables in order. Raises ConfigError.

    ``envFrom`` first, ``env`` over it; a value may refer to variables before it.
    """
    result: dict[str, str] = {"HOSTNAME": hostname}
    for key, value in _from_objects(pod, container, objects):
        result[key] = value
    for variable in container.env:
        if variable.value_from is None:
            result[variable.name] = expand(variable.value, result)
        elif (resolved := _resolve(pod, container, variable.value_from, objects, node, address)) is not None:
            result[variable.name] = resolved
    return result


def command_line(
    container: Container, variables: Mapping[str, str]
) -> tuple[tuple[str, ...] | None, tuple[str, ...] | None]:
    """Command and args, expanded; None where the image's own stand."""
    command = tuple(expand(part, variables) for part in container.command) or None
    args = tuple(expand(part, variables) for part in container.args) or None
    return command, args


def _from_objects(pod: Pod, container: Container, objects: Objects) -> Iterator[tuple[str, str]]:
    for source in container.env_from:
        for kind, reference in ((CONFIG_MAP, source.config_map_ref), (SECRET, source.secret_ref)):
            if reference is None:
                continue
            values = objects.values(kind, reference.name)
            if values is None:
                if not reference.optional:
                    raise ConfigError(f'{kind.lower()} "{reference.name}" not found')
                continue
            for key, value in values.items():
                if _NAME.fullmatch(source.prefix + key):
                    yield source.prefix + key, value


def _resolve(
    pod: Pod, container: Container, source: EnvVarSource, objects: Objects, node: NodeFacts, address: str
) -> str | None:
    if source.field_ref is not None:
        return field_value(pod, source.field_ref.field_path, node, address)
    if source.resource_field_ref is not None:
        return resource_value(pod, container, source.resource_field_ref, node)
    for kind, selector in ((CONFIG_MAP, source.config_map_key_ref), (SECRET, source.secret_key_ref)):
        if selector is None:
            continue
        values = objects.values(kind, selector.name)
        if values is None:
            if selector.optional:
                return None
            raise ConfigError(f'{kind.lower()} "{selector.name}" not found')
        if selector.key not in values:
            if selector.optional:
                return None
            raise ConfigError(f"couldn't find key {selector.key} in {kind} {pod.metadata.namespace}/{selector.name}")
        return values[selector.key]
    return ""


def field_value(pod: Pod, path: str, node: NodeFacts, address: str) -> str:
    """A field of the pod as the downward API gives it. Raises ConfigError for a path that it does not know."""
    meta = pod.metadata
    plain = {
        "metadata.name": meta.name,
        "metadata.namespace": meta.namespace,
        "metadata.uid": meta.uid,
        "spec.nodeName": node.name,
        "spec.serviceAccountName": pod.spec.service_account_name,
        "status.hostIP": node.host_ip,
        "status.hostIPs": node.host_ip,
        "status.podIP": address,
        "status.podIPs": address,
    }
    if path in plain:
        return plain[path]
    if match := _SUBSCRIPT.fullmatch(path):
        return (meta.labels if match[1] == "labels" else meta.annotations).get(match[2], "")
    raise ConfigError(f"unsupported fieldPath: {path}")


def resource_value(pod: Pod, container: Container, source: ResourceFieldSelector, node: NodeFacts) -> str:
    """A request or limit divided by its divisor and rounded up; a limit that is not set is the node's allocatable.

    Raises ConfigError for a container or resource that there is none of.
    """
    name = source.container_name or container.name
    every = (*pod.spec.containers, *pod.spec.init_containers)
    owner = next((candidate for candidate in every if candidate.name == name), None)
    if owner is None:
        raise ConfigError(f"container {name} not found")
    side, _, resource = source.resource.partition(".")
    if side not in ("limits", "requests") or not resource:
        raise ConfigError(f"unsupported container resource : {source.resource}")
    amounts = owner.resources.limits if side == "limits" else owner.resources.requests
    if resource in amounts:
        amount = quantity.parse(amounts[resource])
    elif side == "limits" and resource == "cpu":
        amount = Decimal(node.cpu_milli) / 1000
    elif side == "limits" and resource == "memory":
        amount = Decimal(node.memory_bytes)
    else:
        amount = Decimal(0)
    divisor = quantity.parse(source.divisor) or Decimal(1)
    return str((amount / divisor).to_integral_value(rounding=ROUND_UP))

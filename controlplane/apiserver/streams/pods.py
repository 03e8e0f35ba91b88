"""Which pod and which container a stream is about. Pure, on the caches' objects.

The rules and words are those of pkg/registry/core/pod/strategy.go (LogLocation, streamLocation, validateContainer).
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from shared.api.errors import BadRequest, NotFound
from shared.api.meta import JSON
from shared.api.pod import Pod


class PodLookup(Protocol):
    """Pods as the watch cache has them, as a struct or a tree."""

    def pod(self, namespace: str, name: str) -> Pod | JSON | None: ...


def find_pod(pods: PodLookup, namespace: str, name: str) -> Pod:
    """Raises NotFound."""
    found = pods.pod(namespace, name)
    if found is None:
        raise NotFound(f'pods "{name}" not found', kind="pods", name=name)
    return found if isinstance(found, Pod) else msgspec.convert(found, Pod)


def choose_container(pod: Pod, container: str) -> str:
    """The container that is meant: the one named, else the only one. Raises BadRequest."""
    name = pod.metadata.name
    spec = pod.spec
    everyone = [each.name for each in (*spec.init_containers, *spec.containers, *spec.ephemeral_containers)]
    if container:
        if container not in everyone:
            raise BadRequest(f"container {container} is not valid for pod {name}")
        return container
    if len(spec.containers) == 1:
        return spec.containers[0].name
    choices = f", choose one of: [{' '.join(everyone)}]" if everyone else ""
    raise BadRequest(f"a container name must be specified for pod {name}{choices}")


def node_of(pod: Pod) -> str:
    """Where the pod runs. Raises BadRequest while it is nowhere."""
    if not pod.spec.node_name:
        raise BadRequest(f"pod {pod.metadata.name} does not have a host assigned")
    return pod.spec.node_name

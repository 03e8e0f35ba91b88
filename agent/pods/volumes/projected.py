"""What files a projected volume has: several sources in one directory. Pure.

The rules are pkg/volume/projected and, for fields of the pod, pkg/volume/downwardapi and pkg/fieldpath.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from agent.pods.env import ConfigError, Objects, field_value, resource_value
from agent.pods.status import NodeFacts
from agent.pods.volumes.atomic import File, Payload
from agent.pods.volumes.base import VolumeFailure
from agent.pods.volumes.payload import config_map_content, for_group, secret_content, select
from shared.api.pod import (
    DownwardAPIProjection,
    DownwardAPIVolumeFile,
    DownwardAPIVolumeSource,
    ObjectProjection,
    Pod,
    ProjectedVolumeSource,
    ServiceAccountTokenProjection,
)

TOKEN_MODE = 0o600
"""Of a token in a pod that says whose files are: nobody else reads it."""

Tokens = Mapping[ServiceAccountTokenProjection, str]


def projected_payload(
    source: ProjectedVolumeSource, pod: Pod, objects: Objects, tokens: Tokens, node: NodeFacts
) -> Payload:
    """The files, whose group is the pod's fsGroup. Raises VolumeFailure."""
    files: dict[str, File] = {}
    mode, group = source.default_mode, pod.spec.security_context.fs_group
    for part in source.sources:
        if part.config_map is not None:
            files |= _config_map(part.config_map, objects, mode)
        elif part.secret is not None:
            files |= _secret(part.secret, objects, mode)
        elif part.downward_api is not None:
            files |= _fields(part.downward_api, pod, node, mode)
        elif part.service_account_token is not None:
            token = part.service_account_token
            files[token.path] = File(tokens[token].encode(), mode if group is None else TOKEN_MODE)
        else:
            raise VolumeFailure("a source of the volume is of a type that this agent does not know")
    return for_group(files, group)


def downward_api_payload(source: DownwardAPIVolumeSource, pod: Pod, node: NodeFacts) -> Payload:
    """The files of a downwardAPI volume. Raises VolumeFailure."""
    fields = DownwardAPIProjection(items=source.items)
    return for_group(_fields(fields, pod, node, source.default_mode), pod.spec.security_context.fs_group)


def _config_map(source: ObjectProjection, objects: Objects, mode: int) -> Payload:
    found = objects.config_maps.get(source.name)
    if found is None:
        if source.optional:
            return {}
        raise VolumeFailure(f'configmap "{source.name}" not found')
    missing = "configmap references non-existent config key"
    return select(config_map_content(found), source.items, mode, source.optional, missing)


def _secret(source: ObjectProjection, objects: Objects, mode: int) -> Payload:
    found = objects.secrets.get(source.name)
    if found is None:
        if source.optional:
            return {}
        raise VolumeFailure(f'secret "{source.name}" not found')
    return select(secret_content(found), source.items, mode, source.optional, "references non-existent secret key")


def _fields(source: DownwardAPIProjection, pod: Pod, node: NodeFacts, mode: int) -> Payload:
    return {
        item.path: File(_value(item, pod, node).encode(), mode if item.mode is None else item.mode)
        for item in source.items
    }


def _value(item: DownwardAPIVolumeFile, pod: Pod, node: NodeFacts) -> str:
    try:
        if item.resource_field_ref is not None:
            return resource_value(pod, pod.spec.containers[0], item.resource_field_ref, node)
        path = "" if item.field_ref is None else item.field_ref.field_path
        if path in ("metadata.labels", "metadata.annotations"):
            return _lines(pod.metadata.labels if path == "metadata.labels" else pod.metadata.annotations)
        return field_value(pod, path, node, "")
    except ConfigError as error:
        raise VolumeFailure(str(error)) from error


def _lines(values: Mapping[str, str]) -> str:
    """``key="value"``, one a line (FormatMap)."""
    return "\n".join(f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in sorted(values.items()))

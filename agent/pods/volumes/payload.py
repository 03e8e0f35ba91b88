"""What files a ConfigMap or a Secret makes. Pure. The rules are pkg/volume/configmap and pkg/volume/secret; what
several sources make together is ``projected``."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping

from agent.pods.volumes.atomic import File, Payload
from agent.pods.volumes.base import VolumeFailure
from shared.api.core import ConfigMap, Secret
from shared.api.pod import ConfigMapVolumeSource, KeyToPath, SecretVolumeSource

_GROUP_READS = 0o440


def config_map_payload(source: ConfigMapVolumeSource, config_map: ConfigMap | None) -> Payload:
    """Files of a configMap volume; ``config_map`` is None when there is none. Raises VolumeFailure."""
    if config_map is None:
        if source.optional:
            return {}
        raise VolumeFailure(f'configmap "{source.name}" not found')
    return select(
        config_map_content(config_map),
        source.items,
        source.default_mode,
        source.optional,
        "configmap references non-existent config key",
    )


def secret_payload(source: SecretVolumeSource, secret: Secret | None) -> Payload:
    """Files of a secret volume; ``secret`` is None when there is none. Raises VolumeFailure."""
    if secret is None:
        if source.optional:
            return {}
        raise VolumeFailure(f'secret "{source.secret_name}" not found')
    return select(
        secret_content(secret), source.items, source.default_mode, source.optional,
        "references non-existent secret key",
    )  # fmt: skip


def config_map_content(config_map: ConfigMap) -> dict[str, bytes]:
    content = {key: text.encode() for key, text in config_map.data.items()}
    return content | {key: b64decode(text) for key, text in config_map.binary_data.items()}


def secret_content(secret: Secret) -> dict[str, bytes]:
    return {key: b64decode(text) for key, text in secret.data.items()}


def for_group(payload: Payload, group: int | None) -> Payload:
    """The files as a pod with an fsGroup has them: they are the group's, and it may read them."""
    if group is None:
        return payload
    return {path: File(file.content, file.mode | _GROUP_READS, group) for path, file in payload.items()}


def select(
    content: Mapping[str, bytes], items: tuple[KeyToPath, ...], mode: int, optional: bool, missing: str
) -> Payload:
    """The files of ``items``, all keys when there are none. Raises VolumeFailure."""
    if not items:
        return {key: File(data, mode) for key, data in content.items()}
    files: dict[str, File] = {}
    for item in items:
        if item.key in content:
            files[item.path] = File(content[item.key], mode if item.mode is None else item.mode)
        elif not optional:
            raise VolumeFailure(f"{missing}: {item.key}")
    return files

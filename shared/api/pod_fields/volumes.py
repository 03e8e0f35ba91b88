"""The rows of volumes. Pure data."""

from __future__ import annotations

from collections.abc import Mapping

from shared.api.pod_fields.base import Fields, acted, warned

_WAITS = "volumes of this type cannot be mounted: the pod's containers do not start"
_YET = "volumes of this type cannot be mounted yet: the pod's containers do not start"

VOLUMES: Mapping[str, Fields] = {
    "Volume": {
        **acted(
            "name",
            emptyDir="EmptyDirVolumeSource", hostPath="HostPathVolumeSource", configMap="ConfigMapVolumeSource",
            downwardAPI="DownwardAPIVolumeSource", projected="ProjectedVolumeSource", nfs="NFSVolumeSource",
            secret="SecretVolumeSource",  # noqa: S106 - a field's name
        ),
        **warned(_YET, "persistentVolumeClaim", "ephemeral", "csi", "image"),
        **warned(
            _WAITS, "awsElasticBlockStore", "azureDisk", "azureFile", "cephfs", "cinder", "fc", "flexVolume", "flocker",
            "gcePersistentDisk", "gitRepo", "glusterfs", "iscsi", "photonPersistentDisk", "portworxVolume", "quobyte",
            "rbd", "scaleIO", "storageos", "vsphereVolume",
        ),
    },
    "EmptyDirVolumeSource": acted("medium", "sizeLimit"),
    "HostPathVolumeSource": acted("path", "type"),
    "ConfigMapVolumeSource": acted("name", "defaultMode", "optional", items="KeyToPath"),
    "SecretVolumeSource": acted("secretName", "defaultMode", "optional", items="KeyToPath"),
    "KeyToPath": acted("key", "path", "mode"),
    "DownwardAPIVolumeSource": acted("defaultMode", items="DownwardAPIVolumeFile"),
    "DownwardAPIVolumeFile": acted(
        "path", "mode", fieldRef="ObjectFieldSelector", resourceFieldRef="ResourceFieldSelector"
    ),
    "NFSVolumeSource": acted("server", "path", "readOnly"),
    "ProjectedVolumeSource": acted("defaultMode", sources="VolumeProjection"),
    "VolumeProjection": {
        **acted(
            configMap="ObjectProjection", downwardAPI="DownwardAPIProjection",
            secret="ObjectProjection",  # noqa: S106 - a field's name
            serviceAccountToken="ServiceAccountTokenProjection",
        ),
        **warned("no file is made of it", "clusterTrustBundle", "podCertificate"),
    },
    "ObjectProjection": acted("name", "optional", items="KeyToPath"),
    "DownwardAPIProjection": acted(items="DownwardAPIVolumeFile"),
    "ServiceAccountTokenProjection": acted("audience", "expirationSeconds", "path"),
}  # fmt: skip

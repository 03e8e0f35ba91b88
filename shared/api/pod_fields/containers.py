"""The rows of containers: what they run, their environment, ports, probes, hooks and resources. Pure data."""

from __future__ import annotations

from collections.abc import Mapping

from shared.api.pod_fields.base import Fields, acted, refused, warned

_SHARED = (
    acted(
        "name", "image", "imagePullPolicy", "command", "args", "workingDir", "stdin", "stdinOnce", "tty",
        env="EnvVar", envFrom="EnvFromSource", resources="ResourceRequirements", securityContext="SecurityContext",
        volumeMounts="VolumeMount",
    )
    | warned("block devices cannot be given to containers yet", "volumeDevices")
    | warned("what a container says at its end is not read", "terminationMessagePath",
             quiet=("/dev/termination-log",))
    | warned("what a container says at its end is not read", "terminationMessagePolicy", quiet=("File",))
)  # fmt: skip
_NOT_EPHEMERAL = "Kubernetes allows it of no ephemeral container"

CONTAINERS: Mapping[str, Fields] = {
    "Container": {
        **_SHARED,
        **acted(livenessProbe="Probe", readinessProbe="Probe", startupProbe="Probe", ports="ContainerPort",
                resizePolicy="ContainerResizePolicy", lifecycle="Lifecycle"),
        **acted("restartPolicy", note="Always, of an init container (a sidecar)"),
        **warned("containers restart by the pod's restartPolicy", "restartPolicyRules"),
    },
    "EphemeralContainer": {
        **_SHARED,
        **acted("targetContainerName"),
        **refused(
            _NOT_EPHEMERAL, "lifecycle", "livenessProbe", "readinessProbe", "startupProbe", "ports", "resizePolicy",
            "restartPolicy", "restartPolicyRules",
        ),
    },
    "ContainerResizePolicy": acted("resourceName", "restartPolicy"),
    "EnvVar": acted("name", "value", valueFrom="EnvVarSource"),
    "EnvVarSource": {
        **acted(
            configMapKeyRef="KeySelector", secretKeyRef="KeySelector", fieldRef="ObjectFieldSelector",
            resourceFieldRef="ResourceFieldSelector",
        ),
        **warned("variables are not read from files of volumes: this one is empty", "fileKeyRef"),
    },
    "KeySelector": acted("name", "key", "optional"),
    "ObjectFieldSelector": acted("apiVersion", "fieldPath"),
    "ResourceFieldSelector": acted("containerName", "resource", "divisor"),
    "EnvFromSource": acted("prefix", configMapRef="EnvSource", secretRef="EnvSource"),
    "EnvSource": acted("name", "optional"),
    "ContainerPort": acted("name", "containerPort", "protocol", "hostPort", "hostIP"),
    "Probe": acted(
        "initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold",
        "terminationGracePeriodSeconds",
        exec="ExecAction", httpGet="HTTPGetAction", tcpSocket="TCPSocketAction", grpc="GRPCAction",
    ),
    "GRPCAction": acted("port", "service"),
    "Lifecycle": {
        **acted(postStart="LifecycleHandler", preStop="LifecycleHandler"),
        **warned("containers are stopped with the signal that their image names", "stopSignal"),
    },
    "LifecycleHandler": {
        **acted(exec="ExecAction", httpGet="HTTPGetAction", sleep="SleepAction"),
        **warned("such a hook fails, in Kubernetes too", "tcpSocket"),
    },
    "SleepAction": acted("seconds"),
    "ExecAction": acted("command"),
    "HTTPGetAction": acted("host", "path", "port", "scheme", httpHeaders="HTTPHeader"),
    "HTTPHeader": acted("name", "value"),
    "TCPSocketAction": acted("host", "port"),
    "ResourceRequirements": {
        **acted("requests", "limits"),
        **warned("devices are not allocated by claims", "claims"),
    },
    "VolumeMount": acted(
        "name", "mountPath", "readOnly", "recursiveReadOnly", "subPath", "subPathExpr", "mountPropagation",
    ),
    "SecurityContext": {
        **acted(
            "runAsUser", "runAsGroup", "runAsNonRoot", "privileged", "readOnlyRootFilesystem",
            "allowPrivilegeEscalation", "procMount",
            capabilities="Capabilities", seccompProfile="Profile", appArmorProfile="Profile",
        ),
        **warned("containers have the label that the host's engine gives them", "seLinuxOptions"),
        **warned("nodes run Linux", "windowsOptions"),
    },
    "Capabilities": acted("add", "drop"),
    "Profile": acted("type", "localhostProfile"),
}  # fmt: skip

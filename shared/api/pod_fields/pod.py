"""The rows of a pod as a whole: scheduling, names, accounts, its security context. Pure data."""

from __future__ import annotations

from collections.abc import Mapping

from shared.api.pod_fields.base import Fields, acted, refused, warned

POD: Mapping[str, Fields] = {
    "PodSpec": {
        **acted(
            "activeDeadlineSeconds", "hostIPC", "hostNetwork", "hostPID", "hostname", "nodeName", "nodeSelector",
            "restartPolicy", "schedulerName", "serviceAccount", "serviceAccountName", "setHostnameAsFQDN",
            "shareProcessNamespace", "subdomain", "terminationGracePeriodSeconds",
            affinity="Affinity", containers="Container", dnsConfig="PodDNSConfig",
            ephemeralContainers="EphemeralContainer", hostAliases="HostAlias", imagePullSecrets="LocalObjectReference",
            initContainers="Container", readinessGates="PodReadinessGate", resources="PodResources",
            schedulingGates="PodSchedulingGate", securityContext="PodSecurityContext", tolerations="Toleration",
            volumes="Volume", os="PodOS",
        ),
        **acted("priority", "priorityClassName", note="pods of higher priority are placed first, and evicted last"),
        **acted("overhead", note="counted by the scheduler and by quotas"),
        **warned("no pod is preempted", "preemptionPolicy", quiet=("PreemptLowerPriority", "Never")),
        **warned("tokens are in pods that ask for them with a projected volume", "automountServiceAccountToken"),
        **warned(
            "the cluster has no DNS of its own yet: the pod has its host's", "dnsPolicy",
            quiet=("ClusterFirst", "Default", "None"),
        ),
        **warned("variables of Services are not set", "enableServiceLinks", quiet=(True, False)),
        **warned("the pod is called by its hostname or its name", "hostnameOverride"),
        **refused("users of a pod are those of its host", "hostUsers", quiet=(True,)),
        **warned("devices are not allocated by claims", "resourceClaims"),
        **warned(
            "what its RuntimeClass says of overhead, nodes and tolerations holds, but containers run with the engine's "
            "default runtime", "runtimeClassName",
        ),
        **warned("pods are scheduled one by one", "schedulingGroup"),
        **warned("pods of one owner are spread over the nodes, and no more", "topologySpreadConstraints"),
    },
    "PodOS": refused("nodes run Linux", "name", quiet=("linux",)),
    "Affinity": {
        **acted(nodeAffinity="NodeAffinity"),
        **warned("pods are placed without regard to other pods", "podAffinity", "podAntiAffinity"),
    },
    "NodeAffinity": acted(
        preferredDuringSchedulingIgnoredDuringExecution="PreferredSchedulingTerm",
        requiredDuringSchedulingIgnoredDuringExecution="NodeSelector",
    ),
    "PreferredSchedulingTerm": acted("weight", preference="NodeSelectorTerm"),
    "NodeSelector": acted(nodeSelectorTerms="NodeSelectorTerm"),
    "NodeSelectorTerm": acted(matchExpressions="NodeSelectorRequirement", matchFields="NodeSelectorRequirement"),
    "NodeSelectorRequirement": acted("key", "operator", "values"),
    "Toleration": acted("key", "operator", "value", "effect", "tolerationSeconds"),
    "PodReadinessGate": acted("conditionType"),
    "PodSchedulingGate": acted("name"),
    "PodResources": {
        **acted("requests", note="counted by the scheduler and by quotas"),
        **warned("containers have limits, pods as a whole have none", "limits"),
        **warned("devices are not allocated by claims", "claims"),
    },
    "PodSecurityContext": {
        **acted(
            "runAsUser", "runAsGroup", "runAsNonRoot", "supplementalGroups", "supplementalGroupsPolicy", "fsGroup",
            "fsGroupChangePolicy",
            appArmorProfile="Profile", seccompProfile="Profile", sysctls="Sysctl",
        ),
        **warned("volumes keep the label that they have", "seLinuxChangePolicy"),
        **warned("containers have the label that the host's engine gives them", "seLinuxOptions"),
        **warned("nodes run Linux", "windowsOptions"),
    },
    "Sysctl": acted("name", "value"),
    "PodDNSConfig": acted("nameservers", "searches", options="PodDNSConfigOption"),
    "PodDNSConfigOption": acted("name", "value"),
    "HostAlias": acted("ip", "hostnames"),
    "LocalObjectReference": acted("name"),
}  # fmt: skip

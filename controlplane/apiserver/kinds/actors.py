"""What acts on each kind and subresource that is served: what ``docs/api-support.md`` tells.

Immutable. A kind that nothing acts on is not in here: its row says so (``Kind.inert``).
"""

from __future__ import annotations

from collections.abc import Mapping

ACTORS: Mapping[tuple[str, str], str] = {
    ("", "ConfigMap"): "agents give it to pods",
    ("", "Endpoints"): "the endpoint controller keeps it for each Service",
    ("", "Event"): "controllers and agents write it; it ends after an hour",
    ("", "LimitRange"): "admission gives defaults and limits to pods and claims",
    ("", "Namespace"): "the namespace controller empties it; admission refuses what comes into one that ends",
    ("", "Node"): "its agent keeps status, the node controllers taint, evict and hand out addresses",
    ("", "Pod"): "the scheduler binds it, its node's agent runs it",
    ("", "PodTemplate"): "kept for its readers, as in Kubernetes",
    ("", "ResourceQuota"): "admission charges creations, the quota controller counts",
    ("", "Secret"): "agents give it to pods and pull with it; bootstrap tokens are of this kind",
    ("", "Service"): "gets an address and node ports, the endpoint controllers find its pods; nothing balances yet",
    ("", "ServiceAccount"): "the service account controller makes `default`; tokens are issued for it",
    ("admissionregistration.k8s.io", "MutatingAdmissionPolicy"): "admission changes what is written where it is bound",
    ("admissionregistration.k8s.io", "MutatingAdmissionPolicyBinding"): "binds a policy",
    ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"): "admission asks the webhooks",
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy"): "admission evaluates it where it is bound",
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding"): "binds a policy",
    ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"): "admission asks the webhooks",
    ("apiextensions.k8s.io", "CustomResourceDefinition"): "its kind is served",
    ("apiregistration.k8s.io", "APIService"): "its group version is asked of its Service; ours have one each",
    ("apps", "ControllerRevision"): "history that other controllers keep",
    ("apps", "Deployment"): "the deployment controller rolls out, back and on",
    ("apps", "ReplicaSet"): "the replicaset controller makes and removes pods",
    ("authentication.k8s.io", "SelfSubjectReview"): "answers who asks",
    ("authentication.k8s.io", "TokenReview"): "answers whose a token is",
    ("authorization.k8s.io", "LocalSubjectAccessReview"): "answers what somebody may do",
    ("authorization.k8s.io", "SelfSubjectAccessReview"): "answers what the user may do",
    ("authorization.k8s.io", "SelfSubjectRulesReview"): "lists what the user may do",
    ("authorization.k8s.io", "SubjectAccessReview"): "answers what somebody may do",
    ("certificates.k8s.io", "CertificateSigningRequest"): "agents' certificates are approved and signed",
    ("coordination.k8s.io", "Lease"): "a node's lives by its agent's heartbeats; others are their holders'",
    ("discovery.k8s.io", "EndpointSlice"): "the endpoint slice controller keeps them for each Service",
    ("events.k8s.io", "Event"): "the same objects as core Events",
    ("networking.k8s.io", "IPAddress"): "one for each address that a Service has",
    ("networking.k8s.io", "ServiceCIDR"): "Services get addresses from it; it stays while it has some",
    ("node.k8s.io", "RuntimeClass"): "admission adds its overhead and scheduling; agents know one runtime",
    ("policy", "PodDisruptionBudget"): "evictions ask it, the disruption controller counts",
    ("rbac.authorization.k8s.io", "ClusterRole"): "authorization; aggregated roles are put together",
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"): "authorization",
    ("rbac.authorization.k8s.io", "Role"): "authorization",
    ("rbac.authorization.k8s.io", "RoleBinding"): "authorization",
    ("scheduling.k8s.io", "PriorityClass"): "admission gives pods their priority",
}
"""By (group, kind)."""

SUBRESOURCES: Mapping[str, str] = {
    "attach": "a container's own process, through its agent",
    "approval": "conditions of a signing request",
    "binding": "gives a pod its node",
    "exec": "a command in a container, through its agent",
    "ephemeralcontainers": "containers added to a running pod (`kubectl debug`)",
    "eviction": "deletes a pod if its disruption budget lets it go",
    "finalize": "finalizers of a namespace's spec",
    "portforward": "connections to ports of a pod, through its agent",
    "log": "a container's log, from its agent",
    "proxy": "HTTP to a pod's port, through its agent; of a node its health, metrics and pods",
    "resize": "CPU and memory of a running pod (`kubectl edit --subresource resize`)",
    "scale": "autoscaling/v1 Scale",
    "status": "status, apart from the rest",
    "token": "a token for the account, by TokenRequest",
}

MISSING: Mapping[str, str] = {
    "ComponentStatus": "deprecated; `/readyz?verbose` tells",
}
"""Of what Kubernetes 1.36 has as stable, what is not served, and what it is."""

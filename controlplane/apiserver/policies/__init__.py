"""ValidatingAdmissionPolicies: rules in CEL that the cluster's users set for writes.

``compiling`` and ``expressions`` compile and evaluate what a policy or a webhook's match conditions say, ``admission``
finds the policies and bindings of a request and acts on what they find. After
k8s.io/apiserver/pkg/admission/plugin/policy and KEP-3488.
"""

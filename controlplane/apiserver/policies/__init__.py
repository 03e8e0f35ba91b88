"""Admission policies: rules and mutations in CEL that the cluster's users set for writes.

``compiling`` and ``expressions`` compile and evaluate what a policy or a webhook's match conditions say, ``hooks``
finds the policies, bindings and parameters of a request, ``validating`` and ``mutating`` act on what they find,
``patches`` is what a mutation does. After k8s.io/apiserver/pkg/admission/plugin/policy, KEP-3488 and KEP-3962.
"""

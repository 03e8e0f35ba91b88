"""Admission by webhooks: HTTPS servers that users name in Mutating- and ValidatingWebhookConfigurations.

``matching`` tells whom to ask, ``reviews`` writes the question and reads the answer (both pure), ``caller`` asks over
HTTPS, ``admission`` joins them. After k8s.io/apiserver/pkg/admission/plugin/webhook.
"""

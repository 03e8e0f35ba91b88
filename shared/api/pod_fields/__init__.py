"""What becomes of each field of a pod's spec: acted on, warned about, or refused.

One table for all: admission warns and refuses by it, docs/pod-fields.md is generated from it, and a test holds it
against Kubernetes' own schema. ``table`` joins the parts; ``base`` says what a row is. Pure data and pure functions.
"""

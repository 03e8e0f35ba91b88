"""A pod's spec, wherever it stands: in a Pod, or in the template of a workload.

Pure. Paths are given by the caller (``spec``, ``spec.template.spec``) so that a cause names the field that the user
wrote. Defaults fill trees in place; validation only reads.
"""

"""Patches on JSON trees: JSON patch, merge patch, strategic merge patch.

Pure: what goes in is never changed, and what comes out shares nothing with it.
"""

from controlplane.apiserver.patching.apply import APPLY_PATCH, CONTENT_TYPES, apply_patch

__all__ = ["APPLY_PATCH", "CONTENT_TYPES", "apply_patch"]

"""Admission: what the server itself writes into, or refuses of, an object that is about to be stored.

Pure: each step changes the tree it is given, which nobody else holds, or raises a StatusError. ``chain`` has the
order; NamespaceLifecycle needs the cache and is the verbs' own.
"""

from controlplane.apiserver.admission.chain import admit_create, admit_update, check, check_resize
from controlplane.apiserver.admission.context import Context

__all__ = ["Context", "admit_create", "admit_update", "check", "check_resize"]

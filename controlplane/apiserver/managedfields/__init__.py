"""Who owns which field: ``metadata.managedFields``, and server-side apply on top of it.

After sigs.k8s.io/structured-merge-diff and k8s.io/apimachinery/pkg/util/managedfields. ``fieldset`` is the algebra of
sets of field paths, ``typed`` walks objects by their shape (which lists have keys, which values are atomic),
``managers`` keeps the entries, ``apply`` is the merge with conflicts and removal. Pure; nothing here changes its
arguments.

One thing is simpler than upstream: a manager's set that was written at another version of the kind is taken as it
stands, not converted; the versions of the kinds served here name the same fields alike.
"""

"""Admission of volumes and claims: StorageObjectInUseProtection, DefaultStorageClass, PersistentVolumeClaimResize.

Pure. After plugin/pkg/admission/storage: what is in use is not deleted under its user; a claim that names no class
gets the default one; only what its class lets grow grows. And, the same for another kind, DefaultIngressClass.
"""

from __future__ import annotations

from collections.abc import Sequence

from controlplane.apiserver.admission.context import Context, named
from controlplane.apiserver.admission.refusals import forbidden
from controlplane.apiserver.kinds.ingress import CLASS_ANNOTATION
from controlplane.apiserver.kinds.persistentvolume import BETA_CLASS, storage_class
from controlplane.apiserver.kinds.storageclass import IS_DEFAULT
from shared.api import quantity
from shared.api.kinds import INGRESS_CLASSES, PERSISTENT_VOLUME_CLAIMS, STORAGE_CLASSES
from shared.api.meta import JSON

CLAIM_PROTECTION, VOLUME_PROTECTION = "kubernetes.io/pvc-protection", "kubernetes.io/pv-protection"


def protect_claim(context: Context, claim: JSON) -> None:
    """A claim stays until no pod uses it."""
    _protect(claim, CLAIM_PROTECTION)


def protect_volume(context: Context, volume: JSON) -> None:
    """A volume stays until it is bound to no claim."""
    _protect(volume, VOLUME_PROTECTION)


def _protect(obj: JSON, finalizer: str) -> None:
    held = obj["metadata"].get("finalizers") or []
    if finalizer not in held:
        obj["metadata"]["finalizers"] = [*held, finalizer]


def default_class(context: Context, claim: JSON) -> None:
    """The newest of the classes that are marked, for a claim that names none, not even the empty one."""
    spec = claim["spec"]
    annotated = BETA_CLASS in (claim["metadata"].get("annotations") or {})
    if spec.get("storageClassName") is not None or annotated:
        return
    if (found := _newest(context.objects.list(STORAGE_CLASSES), IS_DEFAULT)) is not None:
        spec["storageClassName"] = found["metadata"]["name"]


def default_ingress_class(context: Context, ingress: JSON) -> None:
    """The same for ingresses."""
    spec = ingress.setdefault("spec", {})
    if spec.get("ingressClassName") is not None or CLASS_ANNOTATION in (ingress["metadata"].get("annotations") or {}):
        return
    if (found := _newest(context.objects.list(INGRESS_CLASSES), _DEFAULT_INGRESS)) is not None:
        spec["ingressClassName"] = found["metadata"]["name"]


_DEFAULT_INGRESS = ("ingressclass.kubernetes.io/is-default-class",)


def _newest(classes: Sequence[JSON], keys: Sequence[str]) -> JSON | None:
    """Of those that one of the annotations marks, by name where they are of the same age."""
    marked = [
        each for each in classes if any((each["metadata"].get("annotations") or {}).get(key) == "true" for key in keys)
    ]
    marked.sort(key=lambda each: str(each["metadata"]["name"]))
    return max(marked, key=lambda each: str(each["metadata"].get("creationTimestamp") or ""), default=None)


def check_growth(context: Context, claim: JSON, old: JSON | None) -> None:
    """That a claim that asks for more is bound, and of a class that allows it. Raises Forbidden."""
    if old is None:
        return
    new_size, size = _size(claim), _size(old)
    if new_size is None or size is None or quantity.parse(new_size) <= quantity.parse(size):
        return
    if (old.get("status") or {}).get("phase") != "Bound":
        raise forbidden(PERSISTENT_VOLUME_CLAIMS, claim, "Only bound persistent volume claims can be expanded")
    of = named(context.objects.list(STORAGE_CLASSES), storage_class(claim))
    if of is None or not of.get("allowVolumeExpansion"):
        why = (
            "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must "
            "support resize"
        )
        raise forbidden(PERSISTENT_VOLUME_CLAIMS, claim, why)


def _size(claim: JSON) -> str | None:
    size: str | None = (((claim.get("spec") or {}).get("resources") or {}).get("requests") or {}).get("storage")
    return size

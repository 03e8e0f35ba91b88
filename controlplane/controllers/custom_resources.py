"""CustomResourceDefinitions: names are accepted, kinds established, and objects deleted before their definition goes.

Two controllers. ``CustomResourceNames`` writes status.acceptedNames and the conditions NamesAccepted, Established and
KubernetesAPIApprovalPolicyConformant; a key is ("", group), so that one at a time gives away the names of a group.
``CustomResourceFinalizer`` deletes the objects of a definition that is being deleted and then takes the finalizer off;
a key is ("", name). After k8s.io/apiextensions-apiserver/pkg/controller (status, establish, apiapproval, finalizer).
The API server serves a kind with the very write that says that it is established.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from controlplane.controllers import conditions
from controlplane.controllers.base import Context, Key, Watch
from shared.api.errors import MethodNotAllowed, NotFound
from shared.api.extensions import CustomResourceDefinition, Names
from shared.api.kinds import CUSTOM_RESOURCE_DEFINITIONS, Resource
from shared.api.meta import JSON, Condition, Object

FINALIZER = "customresourcecleanup.apiextensions.k8s.io"
APPROVAL = "api-approved.kubernetes.io"
RECHECK = 1.0
"""Seconds after which objects that something holds are looked at again."""


def resource_of(crd: CustomResourceDefinition) -> Resource[Object] | None:
    """How the objects of a definition are asked for; None when none of its versions is served. Of one that is being
    deleted the stored version is then."""
    served = [version for version in crd.spec.versions if version.served]
    if not served and crd.metadata.deletion_timestamp is not None:
        served = [version for version in crd.spec.versions if version.storage]
    if not served:
        return None
    version = next((version for version in served if version.storage), served[0])
    names = crd.status.accepted_names
    return Resource(
        crd.spec.group, version.name, crd.spec.names.plural, names.kind or crd.spec.names.kind,
        crd.spec.scope == "Namespaced", Object,
    )  # fmt: skip


# --- names


def accept(crd: CustomResourceDefinition, others: Sequence[CustomResourceDefinition]) -> tuple[Names, Condition]:
    """The names that a definition may have beside ``others`` of its group, and whether those are all it wants."""
    taken = [other.status.accepted_names for other in others]
    resources = {name for names in taken for name in (names.plural, names.singular, *names.short_names)} - {""}
    kinds = {name for names in taken for name in (names.kind, names.list_kind)} - {""}
    wanted, has = crd.spec.names, crd.status.accepted_names
    fields = {name: getattr(has, name) for name in has.__struct_fields__}
    wrong: list[tuple[str, str]] = []
    for field, title, used in (
        ("plural", "Plural", resources), ("singular", "Singular", resources),
        ("kind", "Kind", kinds), ("list_kind", "ListKind", kinds),
    ):  # fmt: skip
        name = getattr(wanted, field)
        if name != getattr(has, field) and name in used:
            wrong.append((f"{title}Conflict", f'"{name}" is already in use'))
        else:
            fields[field] = name
    clashing = [name for name in wanted.short_names if name in resources and name not in has.short_names]
    if clashing:
        texts = [f'"{name}" is already in use' for name in clashing]
        wrong.insert(0, ("ShortNamesConflict", texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"))
    else:
        fields["short_names"] = wanted.short_names
    fields["categories"] = wanted.categories
    if wrong:
        reason, message = wrong[-1]
        return Names(**fields), Condition(type="NamesAccepted", status="False", reason=reason, message=message)
    good = Condition(type="NamesAccepted", status="True", reason="NoConflicts", message="no conflicts found")
    return Names(**fields), good


def established(crd: CustomResourceDefinition, names: Condition) -> Condition:
    """Once established, for ever; else as soon as the names are accepted."""
    old = conditions.find(crd.status.conditions or (), "Established")
    if old is not None and old.status == "True":
        return old
    if names.status == "True":
        return Condition(
            type="Established", status="True", reason="InitialNamesAccepted",
            message="the initial names have been accepted",
        )  # fmt: skip
    return Condition(type="Established", status="False", reason="NotAccepted", message="not all names are accepted")


def approval(crd: CustomResourceDefinition) -> Condition | None:
    """Of a group that is Kubernetes' own: whether the definition says who approved it."""
    group = crd.spec.group
    if not (group in ("k8s.io", "kubernetes.io") or group.endswith((".k8s.io", ".kubernetes.io"))):
        return None
    text = crd.metadata.annotations.get(APPROVAL, "")
    kind = "KubernetesAPIApprovalPolicyConformant"
    if text.startswith("unapproved"):
        return Condition(type=kind, status="False", reason="UnapprovedAnnotation", message=f"not approved: {text!r}")
    if text.startswith(("http://", "https://")):
        return Condition(type=kind, status="True", reason="ApprovedAnnotation", message=f"approved in {text}")
    return Condition(
        type=kind, status="False", reason="MissingAnnotation",
        message=f'protected groups must have approval annotation "{APPROVAL}", see '
        "https://github.com/kubernetes/enhancements/pull/1111",
    )  # fmt: skip


def _names_tree(names: Names) -> JSON:
    """For a merge patch: what is not there goes."""
    return {
        "plural": names.plural, "singular": names.singular or None, "kind": names.kind,
        "listKind": names.list_kind or None, "shortNames": list(names.short_names) or None,
        "categories": list(names.categories) or None,
    }  # fmt: skip


class CustomResourceNames:
    """See the module."""

    name = "crd-naming"

    def __init__(self, context: Context) -> None:
        self._client, self._clock = context.client, context.clock
        self._definitions = context.informers.cache(CUSTOM_RESOURCE_DEFINITIONS)

    def watches(self) -> Sequence[Watch]:
        return (Watch(CUSTOM_RESOURCE_DEFINITIONS, self._keys),)

    def _keys(self, old: CustomResourceDefinition | None, new: CustomResourceDefinition | None) -> Iterable[Key]:
        crd = new or old
        return () if crd is None else (("", crd.spec.group),)

    async def sync(self, key: Key) -> float | None:
        """See ``Controller.sync``; the key is ("", group)."""
        group = [crd for crd in self._definitions if crd.spec.group == key[1]]
        group.sort(key=lambda crd: (not crd.has("Established"), _age(crd), crd.metadata.name))
        for index, crd in enumerate(group):
            names, accepted = accept(crd, [*group[:index], *group[index + 1 :]])
            if await self._write(crd, names, accepted):
                return 0.0  # what comes next is worked out from what the cache will tell of this
        return None

    async def _write(self, crd: CustomResourceDefinition, names: Names, accepted: Condition) -> bool:
        """Whether anything had to be written."""
        old = tuple(crd.status.conditions or ())
        new = old
        for condition in (accepted, established(crd, accepted), approval(crd)):
            if condition is not None:
                stamped = conditions.replaced(condition, last_transition_time=self._clock.now())
                new = conditions.with_condition(new, stamped)
        if new == old and names == crd.status.accepted_names:
            return False
        patch: JSON = {
            "metadata": {"resourceVersion": crd.metadata.resource_version},
            "status": {
                "acceptedNames": _names_tree(names),
                "conditions": [conditions.condition_tree(condition) for condition in new],
            },
        }
        await self._client.patch(CUSTOM_RESOURCE_DEFINITIONS, crd.metadata.name, patch, subresource="status")
        return True


def _age(crd: CustomResourceDefinition) -> float:
    created = crd.metadata.creation_timestamp
    return 0.0 if created is None else created.timestamp()


# --- deletion


class CustomResourceFinalizer:
    """See the module."""

    name = "crd-finalizer"

    def __init__(self, context: Context) -> None:
        self._client, self._clock = context.client, context.clock
        self._definitions = context.informers.cache(CUSTOM_RESOURCE_DEFINITIONS)

    def watches(self) -> Sequence[Watch]:
        return (Watch(CUSTOM_RESOURCE_DEFINITIONS, self._keys),)

    def _keys(self, old: CustomResourceDefinition | None, new: CustomResourceDefinition | None) -> Iterable[Key]:
        return (("", new.metadata.name),) if new is not None and _is_ending(new) else ()

    async def sync(self, key: Key) -> float | None:
        """See ``Controller.sync``; the key is ("", name)."""
        crd = self._definitions.get(key[1])
        if crd is None or not _is_ending(crd):
            return None
        resource = resource_of(crd)
        if not crd.has("Established"):
            await self._finish(crd, "NeverEstablished", "resource was never established")
            return None
        left = 0 if resource is None else await self._delete(resource)
        if left:
            await self._report(crd, "True", "InstanceDeletionInProgress", "CustomResource deletion is in progress")
            return RECHECK
        await self._finish(crd, "InstanceDeletionCompleted", "removed all instances")
        return None

    async def _delete(self, resource: Resource[Any]) -> int:
        """Delete every object; how many are still there."""
        try:
            found = await self._client.list(resource)
        except MethodNotAllowed:
            return 0  # never served, as its group version is a built-in one
        for obj in found.items:
            meta = obj.metadata
            if meta.deletion_timestamp is None:
                try:
                    await self._client.delete(
                        resource, meta.name, meta.namespace, uid=meta.uid, propagation_policy="Background"
                    )
                except NotFound:
                    continue
        return len((await self._client.list(resource)).items)

    async def _report(self, crd: CustomResourceDefinition, status: str, reason: str, message: str) -> None:
        new = self._conditions(crd, status, reason, message)
        if new != tuple(crd.status.conditions or ()):
            await self._patch(crd, {}, new)

    async def _finish(self, crd: CustomResourceDefinition, reason: str, message: str) -> None:
        left = [finalizer for finalizer in crd.metadata.finalizers if finalizer != FINALIZER]
        await self._patch(crd, {"finalizers": left or None}, self._conditions(crd, "False", reason, message))

    def _conditions(
        self, crd: CustomResourceDefinition, status: str, reason: str, message: str
    ) -> tuple[Condition, ...]:
        condition = Condition(
            type="Terminating", status=status, reason=reason, message=message, last_transition_time=self._clock.now()
        )
        return conditions.with_condition(crd.status.conditions or (), condition)

    async def _patch(self, crd: CustomResourceDefinition, meta: JSON, new: Sequence[Condition]) -> None:
        patch: JSON = {
            "metadata": {"resourceVersion": crd.metadata.resource_version, **meta},
            "status": {"conditions": [conditions.condition_tree(condition) for condition in new]},
        }
        await self._client.patch(CUSTOM_RESOURCE_DEFINITIONS, crd.metadata.name, patch, subresource="status")


def _is_ending(crd: CustomResourceDefinition) -> bool:
    return crd.metadata.deletion_timestamp is not None and FINALIZER in crd.metadata.finalizers

"""apiextensions.k8s.io/v1: kinds that people define."""

from __future__ import annotations

from shared.api.meta import Condition, Object, Struct


class Names(Struct, frozen=True, kw_only=True):
    """What a kind is called."""

    plural: str = ""
    singular: str = ""
    kind: str = ""
    list_kind: str = ""
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()


class Version(Struct, frozen=True, kw_only=True):
    name: str = ""
    served: bool = False
    storage: bool = False


class CustomResourceDefinitionSpec(Struct, frozen=True, kw_only=True):
    group: str = ""
    names: Names = Names()
    scope: str = ""
    versions: tuple[Version, ...] = ()


class CustomResourceDefinitionStatus(Struct, frozen=True, kw_only=True):
    conditions: tuple[Condition, ...] | None = ()
    accepted_names: Names = Names()
    stored_versions: tuple[str, ...] | None = ()


class CustomResourceDefinition(Object, frozen=True, kw_only=True):
    spec: CustomResourceDefinitionSpec = CustomResourceDefinitionSpec()
    status: CustomResourceDefinitionStatus = CustomResourceDefinitionStatus()

    def has(self, condition: str) -> bool:
        """Whether a condition is true."""
        return any(c.type == condition and c.status == "True" for c in self.status.conditions or ())

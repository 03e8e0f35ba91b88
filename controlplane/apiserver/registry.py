"""The kinds that are served now: the table's rows, which stay, and those of custom resources, which come and go.

Owns who serves which path. A group version of the table is never shared with custom kinds, as a local APIService
stands before the CustomResourceDefinitions in kube-apiserver. One event loop; readers see one state between awaits.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence

from controlplane.apiserver.kinds.base import Kind

Key = tuple[str, str, str]


class Registry:
    """Iterates over all rows, the table's first. ``version`` counts changes, for whoever keeps something made of
    the rows."""

    def __init__(self, builtin: Iterable[Kind]) -> None:
        self._builtin = tuple(builtin)
        self._groups = {(kind.resource.group, kind.resource.version) for kind in self._builtin}
        self._custom: dict[str, tuple[Kind, ...]] = {}
        self._rows: tuple[Kind, ...] = ()
        self._by_path: dict[Key, Kind] = {}
        self._served: frozenset[tuple[str, str]] = frozenset()
        self.version = 0
        self._renew()

    def __iter__(self) -> Iterator[Kind]:
        return iter(self._rows)

    def find(self, group: str, version: str, plural: str) -> Kind | None:
        """The row that a path names."""
        return self._by_path.get((group, version, plural))

    @property
    def builtin(self) -> tuple[Kind, ...]:
        """The table's rows."""
        return self._builtin

    @property
    def custom(self) -> Iterator[Kind]:
        """The rows of custom resources."""
        return (kind for kinds in self._custom.values() for kind in kinds)

    def put(self, owner: str, kinds: Sequence[Kind]) -> None:
        """Serve ``kinds`` in the name of ``owner`` (a CustomResourceDefinition) in place of what it had; none takes
        them away. Rows of a group version that the table serves are left out."""
        fitting = tuple(kind for kind in kinds if (kind.resource.group, kind.resource.version) not in self._groups)
        if fitting:
            self._custom[owner] = fitting
        elif self._custom.pop(owner, None) is None:
            return
        self._renew()

    @property
    def subresources(self) -> Collection[tuple[str, str]]:
        """Pairs of resource and subresource that are served, ``""`` for the resource itself; of this moment."""
        return self._served

    def _renew(self) -> None:
        self._rows = (*self._builtin, *self.custom)
        self._by_path = {(k.resource.group, k.resource.version, k.resource.plural): k for k in self._rows}
        self._served = frozenset(
            (kind.resource.plural, subresource)
            for kind in self._rows
            for subresource in ("", *(sub.name for sub in kind.subresources))
        )
        self.version += 1

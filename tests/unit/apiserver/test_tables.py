"""Rows of tables and bare metadata, out of the bytes that are served."""

from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from controlplane.apiserver import tables
from controlplane.apiserver.kinds.base import Column
from controlplane.apiserver.resource_cache import Entry
from shared import codec
from tests.kinds import ROWS

NOW = datetime(2026, 1, 1, tzinfo=UTC)
POD = {
    "kind": "Pod",
    "apiVersion": "v1",
    "metadata": {"resourceVersion": "7", "name": "web", "creationTimestamp": "2025-12-31T23:59:00Z"},
    "spec": {"containers": [{"name": "c"}], "nodeName": "n1"},
    "status": {"phase": "Pending"},
}
MANAGED = [{"manager": "m", "fieldsV1": {"f:metadata": {"f:labels": {}}}}]


def entry(obj: Any) -> Entry:
    return Entry(cast("Any", None), "default", "web", 7, codec.encode(obj))


def shown(found: Entry, now: datetime = NOW, include: str = "Metadata") -> Any:
    columns = ROWS["Pod"].columns
    return codec.decode(codec.encode(tables.row(tables.kept(found, columns), found.data, now, include)))


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"managedFields": MANAGED},
        {"managedFields": MANAGED, "labels": {"a": "b"}},
        {"annotations": {"note": ',"managedFields":' + codec.encode(MANAGED).decode()}, "managedFields": MANAGED},
    ],
    ids=["none", "last", "in the middle", "told of in an annotation"],
)
def test_managed_fields_change_no_row(metadata: Any) -> None:
    whole = POD | {"metadata": POD["metadata"] | metadata}  # type: ignore[operator]
    row = shown(entry(whole))
    assert row["cells"] == ["web", "0/1", "Pending", "0", "60s", "<none>", "n1", "<none>", "<none>"]
    assert row["object"] == {
        "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": whole["metadata"],
    }  # fmt: skip


def test_a_kept_row_ages() -> None:
    found = entry(POD)
    assert [shown(found, NOW + timedelta(seconds=after))["cells"][4] for after in (0, 30, 540)] == ["60s", "90s", "10m"]


@pytest.mark.parametrize(("include", "expected"), [("None", None), ("Object", POD)])
def test_objects_of_rows(include: str, expected: Any) -> None:
    assert shown(entry(POD), include=include)["object"] == expected


def test_other_columns_are_read_anew() -> None:
    found = entry(POD)
    first = (Column("Node", "string", "", lambda obj: obj["spec"]["nodeName"]),)
    second = (Column("Phase", "string", "", lambda obj: obj["status"]["phase"]),)
    assert [tables.kept(found, columns).cells for columns in (first, second, first)] == [("n1",), ("Pending",), ("n1",)]


def test_odd_objects_hide_no_others() -> None:
    def broken(obj: Any) -> Any:
        raise KeyError("x")

    columns = (Column("Bad", "string", "", broken), Column("Aged", "string", "", lambda obj: lambda now: broken(obj)))
    printed = tables.printed(codec.encode(POD), columns)
    assert tables.row(printed, b"", NOW, "None")["cells"] == ["<error>", "<error>"]


def test_a_review_has_no_metadata() -> None:
    data = codec.encode({"kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1", "spec": {"metadata": 1}})
    assert codec.decode(codec.encode(tables.partial_object(data)))["metadata"] == {}

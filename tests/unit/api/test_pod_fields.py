"""The table of pod fields names every field of Kubernetes 1.36, and tells what of a spec is not acted on."""

from collections.abc import Iterator
from typing import Any

import pytest

from controlplane.apiserver import definitions
from shared.api.pod_fields.base import Verdict
from shared.api.pod_fields.table import ROOT, TABLE, findings

POD_SPEC = "io.k8s.api.core.v1.PodSpec"
NUMBERS_AND_TIMES = ("Quantity", "IntOrString", "Time")


def differences(table: str, schema: str, path: str, known: Any, visited: set[tuple[str, str]]) -> Iterator[str]:
    """What table and schema say differently of the fields below ``path``."""
    if (table, schema) in visited:
        return
    visited.add((table, schema))
    fields = known[schema].get("properties") or {}
    for name in fields.keys() - TABLE[table].keys():
        yield f"{path}.{name} is in no table"
    for name in TABLE[table].keys() - fields.keys():
        yield f"{table}.{name} is no field of {path}"
    for name in fields.keys() & TABLE[table].keys():
        row, below = TABLE[table][name], _type_of(fields[name], known)
        if row.verdict is not Verdict.ACTED_ON:
            if row.of or not row.note:
                yield f"{path}.{name} is not acted on: it needs a reason, and no table"
        elif below and not row.of:
            yield f"{path}.{name} has fields of its own, which no table names"
        elif row.of and not below:
            yield f"{path}.{name} has no fields of its own"
        elif row.of:
            yield from differences(row.of, below, f"{path}.{name}", known, visited)


def _type_of(schema: Any, known: Any) -> str:
    for candidate in (schema, schema.get("items"), schema.get("additionalProperties")):
        if isinstance(candidate, dict) and "$ref" in candidate:
            name = candidate["$ref"].rpartition("/")[2]
            return "" if name.rpartition(".")[2] in NUMBERS_AND_TIMES else str(name)
    return ""


@pytest.fixture(scope="module")
def known() -> Any:
    return definitions.load()


def test_every_field_of_the_schema_is_in_the_table_and_no_other(known: Any) -> None:
    visited: set[tuple[str, str]] = set()
    assert list(differences(ROOT, POD_SPEC, "spec", known, visited)) == []
    assert {table for table, _ in visited} == set(TABLE), "a table that no field leads to"


def test_a_field_that_kubernetes_adds_is_missed(known: Any) -> None:
    newer = {**known, POD_SPEC: {"properties": {**known[POD_SPEC]["properties"], "warpDrive": {"type": "boolean"}}}}
    assert "spec.warpDrive is in no table" in list(differences(ROOT, POD_SPEC, "spec", newer, set()))


def said(spec: Any) -> dict[str, Verdict]:
    return {finding.path: finding.field.verdict for finding in findings(spec, "spec")}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"containers": [{"name": "c", "image": "i", "env": [{"name": "A", "value": "b"}]}]}, {}),
        ({"dnsPolicy": "ClusterFirst", "enableServiceLinks": True, "preemptionPolicy": "PreemptLowerPriority"}, {}),
        ({"dnsPolicy": "ClusterFirstWithHostNet"}, {"spec.dnsPolicy": Verdict.WARNED}),
        ({"hostUsers": True}, {}),
        ({"hostUsers": False}, {"spec.hostUsers": Verdict.REFUSED}),
        ({"os": {"name": "linux"}}, {}),
        ({"os": {"name": "windows"}}, {"spec.os.name": Verdict.REFUSED}),
        ({"volumes": [{"name": "e", "emptyDir": {}}, {"name": "v", "persistentVolumeClaim": {"claimName": "x"}}]},
         {"spec.volumes[1].persistentVolumeClaim": Verdict.WARNED}),
        ({"volumes": [{"name": "p", "projected": {"sources": [{"podCertificate": {"keyType": "ED25519"}}]}}]},
         {"spec.volumes[0].projected.sources[0].podCertificate": Verdict.WARNED}),
        ({"resources": {"requests": {"cpu": "1"}, "limits": {"cpu": "2"}}}, {"spec.resources.limits": Verdict.WARNED}),
        ({"containers": [{"name": "c", "resources": {"limits": {"cpu": "2"}}}]}, {}),
        ({"securityContext": {"seLinuxOptions": {}}}, {}),
        ({"initContainers": [{"name": "i"}, {"name": "c", "volumeDevices": [{"name": "d"}]}]},
         {"spec.initContainers[1].volumeDevices": Verdict.WARNED}),
        ({"affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}}},
         {"spec.affinity.podAntiAffinity": Verdict.WARNED}),
        ({"warpDrive": True}, {}),
    ],
    ids=[
        "all acted on", "defaults", "one of several values", "own users off", "own users", "linux", "windows",
        "a volume", "a source of a volume", "limits of a pod", "limits of a container", "empty", "an init container",
        "affinity to pods", "unknown",
    ],
)  # fmt: skip
def test_what_is_not_acted_on_is_found_by_its_path(spec: Any, expected: Any) -> None:
    assert said(spec) == expected

"""The served kinds against what a real API server (1.20) answered, 1.36 where the two differ.

The steps are those of a create: schema, nulls, defaults, admission, validation.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from controlplane.apiserver.admission import Context, nodes, pods, priority, storage, workloads
from controlplane.apiserver.identity import User
from controlplane.apiserver.kinds.base import Kind
from controlplane.apiserver.kinds.causes import refusal
from controlplane.apiserver.kinds.metadata import validate_metadata
from controlplane.apiserver.kinds.table import BY_RESOURCE, KINDS
from controlplane.apiserver.schema import check, prune_nulls
from shared import codec
from shared.api.errors import BadRequest, StatusError

GOLDEN = Path(__file__).parents[2] / "golden"
CONTEXT = Context(User("admin"), toleration_seconds=300)

VERBS_OWN = {
    "not json", "empty body", "wrong kind", "wrong apiVersion", "namespace mismatch", "no such namespace",
    "no such resource", "namespace as pod list", "generateName",
}  # fmt: skip
"""Cases that are decided before or beside an object's own rules."""

ALLOWED_SINCE = {"service loadbalancer": "mixed protocols are stable since 1.26 (KEP-1435)"}


def golden(name: str) -> Any:
    return json.loads((GOLDEN / name).read_text())


def kind_of(path: str) -> Kind | None:
    parts = [part for part in path.split("/") if part]
    group, version = ("", parts[1]) if parts[0] == "api" else (parts[1], parts[2])
    return BY_RESOURCE.get((group, version, parts[-1]))


def cases(name: str) -> list[Any]:
    return [
        pytest.param(case, id=case["case"])
        for case in golden(name)
        if kind_of(case["path"]) and case["case"] not in VERBS_OWN
    ]


def create(kind: Kind, request: Any) -> Any:
    """What a create makes of a body; the service account's step is left out, as that server had it off."""
    obj = codec.copy(request)
    result = check(kind, obj)
    if result.type_errors:
        raise BadRequest(result.type_errors[0])
    assert result.unknown_fields == []
    prune_nulls(obj, kind)
    if kind.resource.namespaced:
        obj["metadata"]["namespace"] = "g"
    kind.default(obj)
    if kind.resource.kind == "Pod":
        priority.resolve(CONTEXT, obj)
        pods.default_toleration_seconds(CONTEXT, obj)
    elif kind.resource.kind == "Node":
        nodes.taint_until_ready(CONTEXT, obj)
    elif kind.resource.kind == "DaemonSet":
        workloads.start_template_generation(CONTEXT, obj)
    elif kind.resource.kind == "Job":
        obj["metadata"]["uid"] = "c0ffee"
        workloads.generate_selector(CONTEXT, obj)
    elif kind.resource.kind == "PersistentVolumeClaim":
        storage.protect_claim(CONTEXT, obj)
    elif kind.resource.kind == "PersistentVolume":
        storage.protect_volume(CONTEXT, obj)
    wrong = [*validate_metadata(kind, obj, None), *kind.validate(obj, None)]
    if wrong:
        raise refusal(kind.resource.group, kind.resource.kind, obj["metadata"].get("name", ""), wrong)
    return obj


RETAIN = {"whenDeleted": "Retain", "whenScaled": "Retain"}
NEWER: dict[str, dict[str, Any]] = {
    "Service": {
        "spec.internalTrafficPolicy": "Cluster", "spec.ipFamilies": ["IPv4"], "spec.ipFamilyPolicy": "SingleStack",
    },
    "DaemonSet": {"spec.updateStrategy.rollingUpdate.maxSurge": 0},
    "StatefulSet": {"spec.persistentVolumeClaimRetentionPolicy": RETAIN, "status.availableReplicas": 0},
    "Job": {
        "spec.completionMode": "NonIndexed", "spec.suspend": False, "spec.podReplacementPolicy": "TerminatingOrFailed",
        "spec.manualSelector": False,
    },
}  # fmt: skip
"""What 1.36 has that 1.20 had not, by path."""


def as_recorded(obj: Any, want: Any) -> Any:
    """``obj`` as 1.20 would have written it."""
    out = codec.copy(obj)
    for path, value in NEWER.get(out["kind"], {}).items():
        *parents, last = path.split(".")
        holder = out
        for parent in parents:
            holder = holder[parent]
        if out["spec"].get("type") != "ExternalName":
            assert holder.pop(last) == value
    if out["kind"] == "Job":  # which is told by labels of other names since 1.27
        out["spec"]["selector"] = want["spec"]["selector"]
        out["spec"]["template"]["metadata"]["labels"] = want["spec"]["template"]["metadata"]["labels"]
        out["metadata"]["labels"] = want["metadata"]["labels"]
    if out["kind"] == "Namespace":
        assert out["metadata"].pop("labels") == {"kubernetes.io/metadata.name": "p"}
    template = want.get("spec", {}).get("template", {})
    if "creationTimestamp" in template.get("metadata", {}):
        out["spec"]["template"]["metadata"]["creationTimestamp"] = None
    for field in ("uid", "creationTimestamp", "generation"):
        if field in want["metadata"]:
            out["metadata"][field] = want["metadata"][field]
    return out


@pytest.mark.parametrize("case", cases("defaulting.json"))
def test_defaults(case: Any) -> None:
    kind = kind_of(case["path"])
    assert kind is not None
    if case["code"] == 201 or case["case"] in ALLOWED_SINCE:
        obj = create(kind, case["request"])
        if case["code"] == 201:
            assert as_recorded(obj, case["response"]) == case["response"]
        return
    with pytest.raises(StatusError) as caught:
        create(kind, case["request"])
    compare(caught.value, case)


@pytest.mark.parametrize("case", cases("refusals.json"))
def test_refusals(case: Any) -> None:
    kind = kind_of(case["path"])
    assert kind is not None
    request = case["request"]
    if case["case"] == "oversize":
        request = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "p"}, "data": {"a": "x" * 1_100_000}}
    if case["code"] == 201:
        create(kind, request)
        return
    with pytest.raises(StatusError) as caught:
        create(kind, request)
    compare(caught.value, case)


ADDED_CAUSES = {
    "hpa max below min": [{"reason": "FieldValueInvalid", "field": "spec.scaleTargetRef.apiVersion"}],
}
"""What is refused too since then: an autoscaler's target without an API group (1.35)."""


def compare(error: StatusError, case: Any) -> None:
    want = codec.copy(case["response"])
    if added := ADDED_CAUSES.get(case["case"]):
        want["details"]["causes"] += added
    status = json.loads(json.dumps(error.to_status()))
    if want.get("details", {}).get("group") == "extensions":
        want = {**want, "details": {**want["details"], "group": "networking.k8s.io"}}  # where it is since 1.22
    assert status.pop("message")
    for cause in status.get("details", {}).get("causes", ()):
        assert cause.pop("message")
    assert status == want


def test_defaults_are_a_fixed_point() -> None:
    for case in golden("defaulting.json"):
        kind = kind_of(case["path"])
        if kind is None or case["code"] != 201 or case["case"] in VERBS_OWN:
            continue
        once = create(kind, case["request"])
        twice = codec.copy(once)
        kind.default(twice)
        assert twice == once, case["case"]


COLUMNS_OF_1_36 = {
    "/api/v1/pods": {"Restarts": "string"},
}
ADDED_COLUMNS = {
    "/apis/batch/v1/jobs": ["Status"],
    "/apis/batch/v1beta1/cronjobs": ["Timezone"],
    "/apis/certificates.k8s.io/v1/certificatesigningrequests": ["RequestedDuration"],
    "/api/v1/persistentvolumes": ["VolumeAttributesClass"],
    "/api/v1/persistentvolumeclaims": ["VolumeAttributesClass"],
    "/apis/scheduling.k8s.io/v1/priorityclasses": ["PreemptionPolicy"],
    "/apis/storage.k8s.io/v1/csidrivers": ["StorageCapacity", "TokenRequests", "RequiresRepublish"],
}
LAST_COLUMN = {"/api/v1/resourcequotas": "Age"}
"""Columns that moved to the end."""

NEWER_KINDS: dict[str, list[tuple[str, str, str, int]]] = {
    "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies": [
        ("Name", "string", "name", 0), ("Validations", "integer", "", 0), ("ParamKind", "string", "", 0),
        ("Age", "string", "", 0),
    ],
    "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings": [
        ("Name", "string", "name", 0), ("PolicyName", "string", "", 0), ("ParamRef", "string", "", 0),
        ("Age", "string", "", 0),
    ],
    "/apis/admissionregistration.k8s.io/v1/mutatingadmissionpolicies": [
        ("Name", "string", "name", 0), ("Mutations", "integer", "", 0), ("ParamKind", "string", "", 0),
        ("Age", "string", "", 0),
    ],
    "/apis/admissionregistration.k8s.io/v1/mutatingadmissionpolicybindings": [
        ("Name", "string", "name", 0), ("PolicyName", "string", "", 0), ("ParamRef", "string", "", 0),
        ("Age", "string", "", 0),
    ],
    "/apis/storage.k8s.io/v1/csistoragecapacities": [
        ("Name", "string", "name", 0), ("StorageClassName", "string", "", 0), ("Capacity", "string", "", 0),
    ],
    "/apis/storage.k8s.io/v1/volumeattributesclasses": [
        ("Name", "string", "name", 0), ("DriverName", "string", "", 0), ("Age", "string", "", 0),
    ],
    "/apis/networking.k8s.io/v1/servicecidrs": [
        ("Name", "string", "name", 0), ("CIDRs", "string", "", 0), ("Age", "string", "", 0),
    ],
    "/apis/networking.k8s.io/v1/ipaddresses": [("Name", "string", "name", 0), ("ParentRef", "string", "", 0)],
}  # fmt: skip
"""Columns of kinds that 1.20 had not."""

RECORDED_VERSIONS = {
    "EndpointSlice": "v1beta1", "CronJob": "v1beta1", "PodDisruptionBudget": "v1beta1",
    "HorizontalPodAutoscaler": "v2beta2",
}  # fmt: skip
"""Of kinds whose version 1.20 had not yet."""


def list_path(kind: Kind) -> str:
    resource = kind.resource
    version = RECORDED_VERSIONS.get(resource.kind, resource.version)
    return f"/apis/{resource.group}/{version}/{resource.plural}" if resource.group else f"/api/v1/{resource.plural}"


@pytest.mark.parametrize("kind", [k for k in KINDS if "list" in k.verbs], ids=lambda kind: kind.resource.kind)
def test_columns(kind: Kind) -> None:
    path = list_path(kind)
    recorded = golden("table-columns.json").get(path, ())
    want = [(c["name"], c["type"], c["format"], c["priority"]) for c in recorded] or NEWER_KINDS[path]
    want.sort(key=lambda column: column[0] == LAST_COLUMN.get(path))
    types = COLUMNS_OF_1_36.get(path, {})
    want = [(name, types.get(name, type_), form, priority) for name, type_, form, priority in want]
    have = [(c.name, c.type, c.format, c.priority) for c in kind.columns]
    added = ADDED_COLUMNS.get(path, [])
    assert [column for column in have if column[0] not in added] == want
    assert all(c.description for c in kind.columns)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.resource.kind)
def test_field_selectors(kind: Kind) -> None:
    recorded = golden("field-selectors.json").get(list_path(kind), [])
    want = {field for field in recorded if not field.startswith("metadata.")}
    have = set(kind.selectable_fields({})) if kind.selectable_fields else set()
    assert want <= have
    if kind.selectable_fields:
        assert set(kind.selectable_fields({}).values()) == {""}

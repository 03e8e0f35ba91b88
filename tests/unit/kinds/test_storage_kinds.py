"""Volumes, claims, storage classes and CSI's kinds: what is filled in, what is refused, what a table shows."""

from typing import Any

import pytest

from tests.kinds import ROWS, cells, check, defaulted, short


def volume(**spec: Any) -> Any:
    merged = {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/x"}, **spec}
    return {"spec": {key: value for key, value in merged.items() if value is not None}}


NODE_A = {"nodeSelectorTerms": [{"matchExpressions": [{"key": "k", "operator": "In", "values": ["a"]}]}]}
CSI = {"driver": "csi.example.com", "volumeHandle": "h"}


@pytest.mark.parametrize(
    ("obj", "expected"),
    [
        (volume(), []),
        (volume(capacity=None), [("Required", "spec.capacity"), ("NotSupported", "spec.capacity")]),
        (volume(capacity={"storage": "0"}), [("Invalid", "spec.capacity[storage]")]),
        (volume(capacity={"storage": "1", "cpu": "1"}), [("NotSupported", "spec.capacity")]),
        (volume(accessModes=None), [("Required", "spec.accessModes")]),
        (volume(accessModes=["Odd"]), [("NotSupported", "spec.accessModes")]),
        (volume(accessModes=["ReadWriteOncePod", "ReadOnlyMany"]), [("Forbidden", "spec.accessModes")]),
        (volume(hostPath=None), [("Required", "spec")]),
        (volume(nfs={"server": "s", "path": "/p"}), [("Forbidden", "spec.nfs")]),
        (volume(hostPath={"path": "/a/../b"}), [("Invalid", "spec.hostPath.path")]),
        (volume(hostPath={"path": ""}), [("Required", "spec.hostPath.path")]),
        (volume(hostPath=None, nfs={"path": "p"}), [("Required", "spec.nfs.server"), ("Invalid", "spec.nfs.path")]),
        (volume(hostPath=None, csi={"driver": "x y"}),
         [("Invalid", "spec.csi.driver"), ("Required", "spec.csi.volumeHandle")]),
        (volume(hostPath=None, csi={**CSI, "nodeStageSecretRef": {"name": "s"}}),
         [("Required", "spec.csi.nodeStageSecretRef.namespace")]),
        (volume(hostPath=None, local={"path": "/d"}), [("Required", "spec.nodeAffinity")]),
        (volume(hostPath=None, local={"path": "/d"}, nodeAffinity={"required": NODE_A}), []),
        (volume(nodeAffinity={}), [("Required", "spec.nodeAffinity.required")]),
        (volume(nodeAffinity={"required": {"nodeSelectorTerms": []}}),
         [("Required", "spec.nodeAffinity.required.nodeSelectorTerms")]),
        (volume(persistentVolumeReclaimPolicy="Odd"), [("NotSupported", "spec.persistentVolumeReclaimPolicy")]),
        (volume(persistentVolumeReclaimPolicy="Recycle", hostPath={"path": "//"}),
         [("Forbidden", "spec.persistentVolumeReclaimPolicy")]),
        (volume(storageClassName="A b"), [("Invalid", "spec.storageClassName")]),
        (volume(volumeMode="Odd"), [("NotSupported", "spec.volumeMode")]),
        (volume(volumeAttributesClassName="gold"), [("Required", "spec.csi")]),
    ],
    ids=str,
)  # fmt: skip
def test_volumes(obj: Any, expected: Any) -> None:
    assert check("PersistentVolume", obj) == expected


@pytest.mark.parametrize(
    ("new", "old", "expected"),
    [
        (volume(storageClassName="a", capacity={"storage": "2Gi"}), volume(), []),
        (volume(hostPath={"path": "/y"}), volume(), [("Forbidden", "spec.persistentvolumesource")]),
        (volume(volumeMode="Block"), volume(), [("Invalid", "volumeMode")]),
        (volume(nodeAffinity={"required": NODE_A}), volume(), []),
        (volume(), volume(nodeAffinity={"required": NODE_A}), [("Invalid", "nodeAffinity")]),
        (volume(hostPath=None, csi={**CSI, "controllerExpandSecretRef": {"name": "s", "namespace": "n"}}),
         volume(hostPath=None, csi=CSI), []),
    ],
    ids=str,
)  # fmt: skip
def test_changes_of_volumes(new: Any, old: Any, expected: Any) -> None:
    assert check("PersistentVolume", new, old) == expected


def claim(storage: str | None = "1Gi", status: Any = None, **spec: Any) -> Any:
    requests = {} if storage is None else {"requests": {"storage": storage}}
    merged = {"accessModes": ["ReadWriteOnce"], "resources": requests, **spec}
    made: Any = {"spec": {key: value for key, value in merged.items() if value is not None}}
    return made if status is None else {**made, "status": status}


BOUND = {"phase": "Bound", "capacity": {"storage": "1Gi"}}
SNAPSHOT = {"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": "s"}


@pytest.mark.parametrize(
    ("obj", "expected"),
    [
        (claim(), []),
        (claim(accessModes=None), [("Required", "spec.accessModes")]),
        (claim(storage=None), [("Required", "spec.resources[storage]")]),
        (claim(storage="0"), [("Invalid", "spec.resources[storage]")]),
        (claim(selector={"matchExpressions": [{"key": "a", "operator": "In"}]}),
         [("Required", "spec.selector.matchExpressions[0].values")]),
        (claim(storageClassName=""), []),
        (claim(storageClassName="A b"), [("Invalid", "spec.storageClassName")]),
        (claim(volumeMode="Odd"), [("NotSupported", "spec.volumeMode")]),
        (claim(dataSource=SNAPSHOT), []),
        (claim(dataSource={"kind": "Pod", "name": "p"}),
         [("Invalid", "spec.dataSource"), ("Invalid", "spec.dataSourceRef")]),
        (claim(dataSource=SNAPSHOT, dataSourceRef={**SNAPSHOT, "name": "t"}), [("Invalid", "spec")]),
        (claim(dataSourceRef={**SNAPSHOT, "namespace": "No"}), [("Invalid", "spec.dataSourceRef.namespace")]),
    ],
    ids=str,
)  # fmt: skip
def test_claims(obj: Any, expected: Any) -> None:
    assert check("PersistentVolumeClaim", obj) == expected


@pytest.mark.parametrize(
    ("new", "old", "expected"),
    [
        (claim(volumeName="v"), claim(), []),
        (claim(volumeName="w"), claim(volumeName="v"), [("Forbidden", "spec")]),
        (claim(storage="2Gi"), claim(), [("Forbidden", "spec")]),
        (claim("2Gi", BOUND), claim("1Gi", BOUND), []),
        (claim("1Gi", BOUND), claim("2Gi", BOUND), [("Forbidden", "spec.resources.requests.storage")]),
        (claim("3Gi", BOUND), claim("4Gi", BOUND), []),
        (claim(storageClassName="a"), claim(), []),
        (claim(storageClassName="b"), claim(storageClassName="a"), [("Forbidden", "spec")]),
        (claim(volumeMode="Block"), claim(), [("Forbidden", "spec"), ("Invalid", "volumeMode")]),
        (claim(volumeAttributesClassName="b"), claim(volumeAttributesClassName="a"), []),
        (claim(), claim(volumeAttributesClassName="a"), [("Forbidden", "spec.volumeAttributesClassName")]),
    ],
    ids=str,
)  # fmt: skip
def test_changes_of_claims(new: Any, old: Any, expected: Any) -> None:
    assert check("PersistentVolumeClaim", new, old) == expected


def test_a_claims_sources_say_the_same() -> None:
    assert defaulted("PersistentVolumeClaim", claim(dataSource=SNAPSHOT))["spec"]["dataSourceRef"] == SNAPSHOT
    assert defaulted("PersistentVolumeClaim", claim(dataSourceRef=SNAPSHOT))["spec"]["dataSource"] == SNAPSHOT
    elsewhere = defaulted("PersistentVolumeClaim", claim(dataSourceRef={**SNAPSHOT, "namespace": "o"}))
    assert "dataSource" not in elsewhere["spec"]


def test_a_claims_status() -> None:
    bad = {"status": {"capacity": {"storage": "-1"}, "allocatedResourceStatuses": {"storage": "Odd"}}}
    assert short(ROWS["PersistentVolumeClaim"].validate_status(bad, None)) == [
        ("Invalid", "status.capacity[storage]"),
        ("NotSupported", "status.allocatedResourceStatus"),
    ]


def test_tables_of_volumes_and_claims() -> None:
    bound = claim("1Gi", {**BOUND, "accessModes": ["ReadWriteMany", "ReadWriteOnce"]}, volumeName="v")
    bound["spec"]["volumeMode"] = "Block"
    assert cells("PersistentVolumeClaim", bound) == [
        "x", "Bound", "v", "1Gi", "RWO,RWX", "", "<unset>", "<unknown>", "Block",
    ]  # fmt: skip
    assert cells("PersistentVolumeClaim", claim(status=BOUND))[2:5] == ["", "", ""]
    going = {"metadata": {"name": "x", "deletionTimestamp": "2026-01-01T00:00:00Z"}}
    assert cells("PersistentVolumeClaim", going)[1] == "Terminating"
    taken = volume(claimRef={"namespace": "n", "name": "c"}, storageClassName="gold")
    assert cells("PersistentVolume", taken)[:8] == ["x", "1Gi", "RWO", "", "", "n/c", "gold", "<unset>"]


def storage_class(**fields: Any) -> Any:
    return {"provisioner": "example.com/p", **fields}


def topology(*values: str) -> Any:
    return {"matchLabelExpressions": [{"key": "zone", "values": list(values)}]}


@pytest.mark.parametrize(
    ("obj", "old", "expected"),
    [
        (storage_class(), None, []),
        ({}, None, [("Required", "provisioner")]),
        (storage_class(provisioner="a/b/c"), None, [("Invalid", "provisioner")]),
        (storage_class(parameters={"": "x"}), None, [("Invalid", "parameters")]),
        (storage_class(parameters={str(n): "" for n in range(513)}), None, [("TooLong", "parameters")]),
        (storage_class(parameters={"a": "x" * 262_145}), None, [("TooLong", "parameters")]),
        (storage_class(reclaimPolicy="Recycle"), None, [("NotSupported", "reclaimPolicy")]),
        (storage_class(volumeBindingMode="Odd"), None, [("NotSupported", "volumeBindingMode")]),
        (storage_class(allowedTopologies=[topology("a"), topology("a")]), None,
         [("Duplicate", "allowedTopologies[1].matchLabelExpressions")]),
        (storage_class(allowedTopologies=[topology()]), None,
         [("Required", "allowedTopologies[0].matchLabelExpressions[0].values")]),
        (storage_class(allowVolumeExpansion=True), storage_class(), []),
        (storage_class(parameters={"a": "b"}, reclaimPolicy="Retain", volumeBindingMode="WaitForFirstConsumer"),
         storage_class(),
         [("Forbidden", "parameters"), ("Forbidden", "reclaimPolicy"), ("Invalid", "volumeBindingMode")]),
    ],
    ids=lambda value: str(value)[:60],
)  # fmt: skip
def test_storage_classes(obj: Any, old: Any, expected: Any) -> None:
    assert check("StorageClass", obj, old) == expected


def test_the_default_class_is_marked_in_the_table() -> None:
    annotations = {"storageclass.kubernetes.io/is-default-class": "true"}
    assert cells("StorageClass", {"metadata": {"name": "x", "annotations": annotations}})[0] == "x (default)"


ATTRIBUTES = {"driverName": "d", "parameters": {"a": "b"}}


@pytest.mark.parametrize(
    ("obj", "old", "expected"),
    [
        (ATTRIBUTES, None, []),
        ({"driverName": "d"}, None, [("Required", "parameters")]),
        ({**ATTRIBUTES, "driverName": "e"}, ATTRIBUTES, [("Forbidden", "driverName")]),
    ],
    ids=str,
)
def test_volume_attributes_classes(obj: Any, old: Any, expected: Any) -> None:
    assert check("VolumeAttributesClass", obj, old) == expected


def driver(**spec: Any) -> Any:
    return {"spec": spec}


@pytest.mark.parametrize(
    ("obj", "old", "expected"),
    [
        (driver(), None, []),
        (driver(fsGroupPolicy="Odd"), None, [("NotSupported", "spec.fsGroupPolicy")]),
        (driver(tokenRequests=[{"audience": "a"}, {"audience": "a"}]), None,
         [("Duplicate", "spec.tokenRequests[1].audience")]),
        (driver(tokenRequests=[{"audience": "a", "expirationSeconds": 1}]), None,
         [("Invalid", "spec.tokenRequests[0].expirationSeconds")]),
        (driver(volumeLifecycleModes=["Odd"]), None, [("NotSupported", "spec.volumeLifecycleModes")]),
        (driver(nodeAllocatableUpdatePeriodSeconds=5), None, [("Invalid", "spec.nodeAllocatableUpdatePeriodSeconds")]),
        (driver(attachRequired=False, podInfoOnMount=True), driver(), [("Invalid", "spec.attachedRequired")]),
    ],
    ids=str,
)  # fmt: skip
def test_csi_drivers(obj: Any, old: Any, expected: Any) -> None:
    assert check("CSIDriver", obj, old) == expected


def test_a_csi_drivers_defaults_and_table() -> None:
    made = defaulted("CSIDriver", driver())
    assert made["spec"] == {
        "attachRequired": True, "podInfoOnMount": False, "storageCapacity": False, "requiresRepublish": False,
        "seLinuxMount": False, "fsGroupPolicy": "ReadWriteOnceWithFSType", "volumeLifecycleModes": ["Persistent"],
    }  # fmt: skip
    assert cells("CSIDriver", made)[1:7] == [True, False, False, "<unset>", False, "Persistent"]


def on_node(**fields: Any) -> Any:
    return {"spec": {"drivers": [{"name": "d.example", "nodeID": "n", **fields}]}}


@pytest.mark.parametrize(
    ("obj", "old", "expected"),
    [
        (on_node(topologyKeys=["zone"]), None, []),
        (on_node(nodeID=""), None, [("Required", "spec.drivers[0].nodeID")]),
        (on_node(name="x" * 64), None, [("TooLong", "spec.drivers[0].name"), ("Invalid", "spec.drivers[0].name")][:1]),
        (on_node(allocatable={"count": -1}), None, [("Invalid", "spec.drivers[0].allocatable.count")]),
        (on_node(topologyKeys=["a", "a"]), None, [("Duplicate", "spec.drivers[0]")]),
        (on_node(allocatable={"count": 3}), on_node(), []),
        (on_node(nodeID="m"), on_node(), [("Invalid", "spec.drivers")]),
    ],
    ids=lambda value: str(value)[:60],
)
def test_csi_nodes(obj: Any, old: Any, expected: Any) -> None:
    assert check("CSINode", obj, old) == expected


@pytest.mark.parametrize(
    ("obj", "old", "expected"),
    [
        ({"storageClassName": "a", "capacity": "1024Mi"}, None, []),
        ({"storageClassName": "a", "capacity": "-1"}, None, [("Invalid", "capacity")]),
        ({"storageClassName": ""}, None, [("Invalid", "storageClassName")]),
        ({"storageClassName": "b"}, {"storageClassName": "a"}, [("Invalid", "storageClassName")]),
    ],
    ids=str,
)
def test_csi_storage_capacities(obj: Any, old: Any, expected: Any) -> None:
    assert check("CSIStorageCapacity", obj, old) == expected


def attachment(**source: Any) -> Any:
    return {"spec": {"attacher": "d.example", "nodeName": "n", "source": source}}


@pytest.mark.parametrize(
    ("obj", "old", "expected"),
    [
        (attachment(persistentVolumeName="v"), None, []),
        (attachment(), None, [("Required", "spec.source")]),
        (attachment(persistentVolumeName=""), None, [("Required", "spec.source.persistentVolumeName")]),
        (attachment(persistentVolumeName="v", inlineVolumeSpec={}), None, [("Forbidden", "spec.source")]),
        (attachment(inlineVolumeSpec={"accessModes": ["ReadWriteOnce"], "csi": CSI, "storageClassName": "a"}), None,
         [("Forbidden", "spec.source.inlineVolumeSpec.storageClassName")]),
        (attachment(persistentVolumeName="w"), attachment(persistentVolumeName="v"), [("Invalid", "spec")]),
    ],
    ids=str,
)  # fmt: skip
def test_volume_attachments(obj: Any, old: Any, expected: Any) -> None:
    assert check("VolumeAttachment", obj, old) == expected

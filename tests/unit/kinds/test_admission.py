"""What admission writes into objects, and what it refuses."""

from typing import Any

import pytest

from controlplane.apiserver.admission import Context, admit_create, admit_update
from controlplane.apiserver.identity import User
from controlplane.apiserver.kinds.table import BY_GVK
from shared.api.errors import Forbidden

USER = User("system:bootstrap:abc", ("system:bootstrappers",), "7")
POD, NODE, SERVICE = (BY_GVK["", "v1", name] for name in ("Pod", "Node", "Service"))
CSR = BY_GVK["certificates.k8s.io", "v1", "CertificateSigningRequest"]
LOST = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")


def pod(**spec: Any) -> Any:
    return {"metadata": {"name": "p"}, "spec": {"containers": [], **spec}}


def admitted(context: Any, **spec: Any) -> Any:
    obj = pod(**spec)
    admit_create(context, POD, obj)
    return obj["spec"]


def test_a_plain_pod() -> None:
    assert admitted(USER) == {
        "containers": [],
        "serviceAccountName": "default",
        "serviceAccount": "default",
        "priority": 0,
        "preemptionPolicy": "PreemptLowerPriority",
        "tolerations": [
            {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 0} for key in LOST
        ],
    }


def test_the_seconds_are_a_setting() -> None:
    spec = admitted(Context(USER, toleration_seconds=300))
    assert [t["tolerationSeconds"] for t in spec["tolerations"]] == [300, 300]


@pytest.mark.parametrize(
    ("own", "added"),
    [
        ([{"operator": "Exists"}], 0),
        ([{"key": LOST[0], "operator": "Exists", "effect": "NoExecute"}], 1),
        ([{"key": LOST[0], "operator": "Exists", "effect": "NoSchedule"}], 2),
        ([{"key": "other", "operator": "Exists"}], 2),
    ],
)
def test_a_pods_own_tolerations_are_honoured(own: list[Any], added: int) -> None:
    tolerations = admitted(USER, tolerations=own)["tolerations"]
    assert tolerations[: len(own)] == own
    assert len(tolerations) == len(own) + added


def test_priority_classes() -> None:
    assert admitted(USER, priorityClassName="system-node-critical")["priority"] == 2_000_001_000
    with pytest.raises(Forbidden, match="no PriorityClass with name gold was found"):
        admitted(USER, priorityClassName="gold")
    with pytest.raises(Forbidden, match="must not be provided in pod spec"):
        admitted(USER, priority=5)


def test_a_replaced_pod_keeps_what_admission_gave_it() -> None:
    old, new = pod(), pod()
    admit_create(USER, POD, old)
    admit_update(USER, POD, new, old)
    assert new == old


def test_new_nodes_wait_for_their_first_report() -> None:
    node = {"metadata": {"name": "n"}}
    admit_create(USER, NODE, node)
    admit_create(USER, NODE, node)
    assert node["spec"] == {"taints": [{"key": LOST[0], "effect": "NoSchedule"}]}


def test_who_asks_for_a_certificate_is_not_the_bodys_to_say() -> None:
    csr = {"spec": {"request": "eA==", "username": "admin", "groups": ["system:masters"], "extra": {"a": ["b"]}}}
    admit_create(USER, CSR, csr)
    assert csr["spec"] == {"request": "eA==", "username": USER.name, "uid": "7", "groups": ["system:bootstrappers"]}
    changed = {"spec": {"request": "eQ==", "username": "admin"}}
    admit_update(USER, CSR, changed, csr)
    assert changed == csr


def test_a_replaced_service_keeps_its_addresses_and_ports() -> None:
    def service(**spec: Any) -> Any:
        return {"metadata": {"name": "s"}, "spec": {"type": "NodePort", **spec}}

    port = {"port": 80, "protocol": "TCP"}
    old = service(clusterIP="10.0.0.1", clusterIPs=["10.0.0.1"], ports=[{**port, "nodePort": 30000}])
    new = service(ports=[dict(port), {"port": 81, "protocol": "TCP"}])
    admit_update(USER, SERVICE, new, old)
    assert new["spec"]["clusterIPs"] == ["10.0.0.1"]
    assert [p.get("nodePort") for p in new["spec"]["ports"]] == [30000, None]

"""What kubectl shows: ages, and the cells of each kind's table."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.apiserver.kinds.cells import format_selector, human_duration, since
from controlplane.apiserver.kinds.pod_cells import summarize
from controlplane.apiserver.kinds.table import BY_GVK, KINDS
from shared import codec

NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
BORN = "2026-11-23T11:00:00Z"


@pytest.mark.parametrize(
    ("elapsed", "text"),
    [
        (timedelta(seconds=-5), "<invalid>"), (timedelta(seconds=-1), "0s"), (timedelta(0), "0s"),
        (timedelta(seconds=119), "119s"), (timedelta(seconds=120), "2m"), (timedelta(seconds=125), "2m5s"),
        (timedelta(minutes=10, seconds=5), "10m"), (timedelta(minutes=179), "179m"), (timedelta(hours=3), "3h"),
        (timedelta(hours=3, minutes=20), "3h20m"), (timedelta(hours=8, minutes=20), "8h"), (timedelta(hours=47), "47h"),
        (timedelta(days=2), "2d"), (timedelta(days=2, hours=3), "2d3h"), (timedelta(days=8, hours=3), "8d"),
        (timedelta(days=729), "729d"), (timedelta(days=730), "2y"), (timedelta(days=740), "2y10d"),
        (timedelta(days=365 * 8 + 3), "8y"),
    ],
    ids=str,
)  # fmt: skip
def test_human_duration(elapsed: timedelta, text: str) -> None:
    assert human_duration(elapsed) == text


@given(st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=10_000)))
def test_a_duration_is_short(elapsed: timedelta) -> None:
    assert 2 <= len(human_duration(elapsed)) <= 6


@pytest.mark.parametrize("text", [None, "", "nonsense"])
def test_an_unknown_time(text: str | None) -> None:
    assert since(text) == "<unknown>"


def test_selectors_as_text() -> None:
    assert format_selector(None) == "<none>"
    assert format_selector({}) == "<none>"
    assert (
        format_selector({"matchLabels": {"b": "c"}, "matchExpressions": [{"key": "a", "operator": "Exists"}]})
        == "a,b=c"
    )
    assert format_selector({"matchExpressions": [{"key": "a", "operator": "?"}]}) == "<error>"


def waiting(reason: str, restarts: int = 0, **more: Any) -> Any:
    return {"name": "c", "state": {"waiting": {"reason": reason}}, "restartCount": restarts, **more}


def running(ready: bool = True, restarts: int = 0, **more: Any) -> Any:
    return {"name": "c", "state": {"running": {}}, "ready": ready, "restartCount": restarts, **more}


def ended(code: int = 0, reason: str = "", restarts: int = 0, **more: Any) -> Any:
    state = {"exitCode": code, **({"reason": reason} if reason else {}), **more}
    return {"name": "c", "state": {"terminated": state}, "restartCount": restarts}


def pod(phase: str, statuses: Any = (), init: Any = (), deleted: bool = False, **status: Any) -> Any:
    meta = {"name": "p", "creationTimestamp": BORN, **({"deletionTimestamp": BORN} if deleted else {})}
    spec = {"containers": [{"name": "c"}], "initContainers": [{"name": f"i{n}"} for n, _ in enumerate(init)]}
    own = {"phase": phase, "containerStatuses": list(statuses), "initContainerStatuses": list(init), **status}
    return {"metadata": meta, "spec": spec, "status": own}


READY = [{"type": "Ready", "status": "True"}]


@pytest.mark.parametrize(
    ("tree", "reason", "ready"),
    [
        pytest.param(pod("Pending"), "Pending", 0, id="pending"),
        pytest.param(pod("Pending", [waiting("ContainerCreating")]), "ContainerCreating", 0, id="creating"),
        pytest.param(pod("Running", [running()]), "Running", 1, id="running"),
        pytest.param(pod("Running", [running(False)]), "Running", 0, id="not ready"),
        pytest.param(pod("Running", [waiting("CrashLoopBackOff", 3)]), "CrashLoopBackOff", 0, id="crash loop"),
        pytest.param(pod("Pending", [waiting("ImagePullBackOff")]), "ImagePullBackOff", 0, id="image"),
        pytest.param(pod("Succeeded", [ended(0, "Completed")]), "Completed", 0, id="completed"),
        pytest.param(pod("Failed", [ended(1, "Error")]), "Error", 0, id="error"),
        pytest.param(pod("Failed", [ended(3)]), "ExitCode:3", 0, id="exit code"),
        pytest.param(pod("Failed", [ended(0, signal=9)]), "Signal:9", 0, id="signal"),
        pytest.param(pod("Failed", reason="Evicted"), "Evicted", 0, id="evicted"),
        pytest.param(pod("Running", [running()], deleted=True), "Terminating", 1, id="terminating"),
        pytest.param(pod("Failed", [ended(1, "Error")], deleted=True), "Error", 0, id="failed and going"),
        pytest.param(pod("Running", [running()], deleted=True, reason="NodeLost"), "Unknown", 1, id="node lost"),
        pytest.param(
            pod("Pending", [waiting("PodInitializing")], [running(), waiting("PodInitializing")]),
            "Init:0/2",
            0,
            id="init 0",
        ),
        pytest.param(pod("Pending", init=[ended(0), running()]), "Init:1/2", 0, id="init 1"),
        pytest.param(pod("Pending", init=[ended(1)]), "Init:ExitCode:1", 0, id="init exit code"),
        pytest.param(pod("Pending", init=[ended(1, "Error")]), "Init:Error", 0, id="init error"),
        pytest.param(pod("Pending", init=[waiting("CrashLoopBackOff")]), "Init:CrashLoopBackOff", 0, id="init crash"),
        pytest.param(pod("Pending", [waiting("PodInitializing")], [ended(0)]), "PodInitializing", 0, id="init done"),
        pytest.param(
            pod("Running", [ended(0, "Completed"), running()], conditions=READY), "Running", 1, id="one is done"
        ),
        pytest.param(pod("Running", [ended(0, "Completed"), running()]), "NotReady", 1, id="one is done, not ready"),
        pytest.param(
            pod("Pending", conditions=[{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}]),
            "SchedulingGated",
            0,
            id="gated",
        ),
    ],
)
def test_pod_status(tree: Any, reason: str, ready: int) -> None:
    summary = summarize(tree)
    assert (summary.reason, summary.ready) == (reason, ready)


def test_a_sidecar_counts_as_a_container() -> None:
    tree = pod("Running", [running()])
    tree["spec"]["initContainers"] = [{"name": "s", "restartPolicy": "Always"}]
    tree["status"]["initContainerStatuses"] = [running(name="s", started=True)]
    summary = summarize(tree)
    assert (summary.ready, summary.total, summary.reason) == (2, 2, "Running")


def row(group: str, kind: str, obj: Any, version: str = "v1") -> dict[str, Any]:
    return {column.name: column.value(obj, NOW) for column in BY_GVK[group, version, kind].columns}


def test_restarts_say_when() -> None:
    last = {"lastState": {"terminated": {"finishedAt": "2026-11-23T11:57:00Z"}}}
    assert row("", "Pod", pod("Running", [running(restarts=2, **last)]))["Restarts"] == "2 (3m ago)"
    assert row("", "Pod", pod("Running", [running()]))["Restarts"] == "0"


def test_a_pods_row() -> None:
    tree = pod("Running", [running()], podIPs=[{"ip": "10.0.0.5"}])
    tree["spec"]["nodeName"] = "n1"
    assert row("", "Pod", tree) == {
        "Name": "p", "Ready": "1/1", "Status": "Running", "Restarts": "0", "Age": "60m", "IP": "10.0.0.5",
        "Node": "n1", "Nominated Node": "<none>", "Readiness Gates": "<none>",
    }  # fmt: skip


def meta(**more: Any) -> Any:
    return {"name": "x", "creationTimestamp": BORN, **more}


def test_a_nodes_row() -> None:
    node = {
        "metadata": meta(labels={"node-role.kubernetes.io/worker": "", "kubernetes.io/role": "db"}),
        "spec": {"unschedulable": True},
        "status": {
            "conditions": [{"type": "Ready", "status": "True"}],
            "addresses": [{"type": "InternalIP", "address": "192.0.2.1"}],
            "nodeInfo": {"kubeletVersion": "v1", "osImage": "Debian"},
        },
    }
    assert row("", "Node", node) == {
        "Name": "x", "Status": "Ready,SchedulingDisabled", "Roles": "db,worker", "Age": "60m", "Version": "v1",
        "Internal-IP": "192.0.2.1", "External-IP": "<none>", "OS-Image": "Debian", "Kernel-Version": "<unknown>",
        "Container-Runtime": "<unknown>",
    }  # fmt: skip
    node["status"]["conditions"][0]["status"] = "Unknown"
    assert row("", "Node", node)["Status"] == "NotReady,SchedulingDisabled"
    assert row("", "Node", {"metadata": meta()})["Status"] == "Unknown"


def test_a_deployments_and_a_replica_sets_row() -> None:
    spec = {
        "replicas": 3,
        "selector": {"matchLabels": {"a": "b"}},
        "template": {"spec": {"containers": [{"name": "c", "image": "i:1"}, {"name": "d", "image": "j"}]}},
    }
    tree = {"metadata": meta(), "spec": spec, "status": {"readyReplicas": 1, "updatedReplicas": 2, "replicas": 3}}
    wide = {"Containers": "c,d", "Images": "i:1,j", "Selector": "a=b"}
    assert row("apps", "Deployment", tree) == {
        "Name": "x", "Ready": "1/3", "Up-to-date": 2, "Available": 0, "Age": "60m", **wide,
    }  # fmt: skip
    assert row("apps", "ReplicaSet", tree) == {
        "Name": "x",
        "Desired": 3,
        "Current": 3,
        "Ready": 1,
        "Age": "60m",
        **wide,
    }


@pytest.mark.parametrize(
    ("spec", "external", "ports"),
    [
        (
            {"type": "ClusterIP", "clusterIPs": ["10.0.0.1"], "ports": [{"port": 80, "protocol": "TCP"}]},
            "<none>",
            "80/TCP",
        ),
        ({"type": "NodePort", "ports": [{"port": 80, "nodePort": 30000, "protocol": "TCP"}]}, "<none>", "80:30000/TCP"),
        ({"type": "LoadBalancer"}, "<pending>", "<none>"),
        ({"type": "ExternalName", "externalName": "e.example"}, "e.example", "<none>"),
        ({"type": "ClusterIP", "externalIPs": ["192.0.2.7"]}, "192.0.2.7", "<none>"),
    ],
    ids=["cluster", "node port", "load balancer", "external name", "external ips"],
)
def test_a_services_row(spec: Any, external: str, ports: str) -> None:
    cells = row("", "Service", {"metadata": meta(), "spec": spec})
    assert (cells["External-IP"], cells["Port(s)"]) == (external, ports)


def test_endpoints_and_slices_show_three_and_count_the_rest() -> None:
    ips = [f"10.0.0.{n}" for n in range(5)]
    endpoints = {"metadata": meta(), "subsets": [{"addresses": [{"ip": ip} for ip in ips], "ports": [{"port": 80}]}]}
    shown = "10.0.0.0:80,10.0.0.1:80,10.0.0.2:80 + 2 more..."
    assert row("", "Endpoints", endpoints)["Endpoints"] == shown
    assert row("", "Endpoints", {"metadata": meta()})["Endpoints"] == "<none>"
    slice_ = {
        "metadata": meta(), "addressType": "IPv4", "ports": [{"port": 80}, {"name": "any"}],
        "endpoints": [{"addresses": [ip]} for ip in ips],
    }  # fmt: skip
    cells = row("discovery.k8s.io", "EndpointSlice", slice_)
    assert (cells["Ports"], cells["Endpoints"]) == ("80,any", "10.0.0.0,10.0.0.1,10.0.0.2 + 2 more...")
    empty = row("discovery.k8s.io", "EndpointSlice", {"metadata": meta(), "addressType": "IPv4"})
    assert (empty["Ports"], empty["Endpoints"]) == ("<unset>", "<unset>")


def test_an_events_row() -> None:
    event = {
        "metadata": meta(), "type": "Warning", "reason": "Failed", "message": " it broke\n", "count": 3,
        "involvedObject": {"kind": "Pod", "name": "p", "fieldPath": "spec.containers{c}"},
        "source": {"component": "agent", "host": "n1"},
        "firstTimestamp": "2026-11-23T11:50:00Z", "lastTimestamp": "2026-11-23T11:59:00Z",
    }  # fmt: skip
    assert row("", "Event", event) == {
        "Last Seen": "60s", "Type": "Warning", "Reason": "Failed", "Object": "pod/p", "Subobject": "spec.containers{c}",
        "Source": "agent, n1", "Message": "it broke", "First Seen": "10m", "Count": 3, "Name": "x",
    }  # fmt: skip
    new = {"metadata": meta(), "involvedObject": {"kind": "Node"}, "eventTime": "2026-11-23T11:59:30.000000Z"}
    assert row("", "Event", new)["Last Seen"] == "30s"
    assert row("", "Event", new)["Count"] == 1


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({}, "Pending"), ({"conditions": [{"type": "Approved"}]}, "Approved"),
        ({"conditions": [{"type": "Denied"}]}, "Denied"),
        ({"conditions": [{"type": "Approved"}], "certificate": "eA=="}, "Approved,Issued"),
        ({"conditions": [{"type": "Approved"}, {"type": "Failed"}]}, "Approved,Failed"),
    ],
    ids=str,
)  # fmt: skip
def test_a_signing_requests_row(status: Any, expected: str) -> None:
    csr = {
        "metadata": meta(),
        "spec": {"username": "u", "signerName": "a.b/c", "expirationSeconds": 86400},
        "status": status,
    }
    cells = row("certificates.k8s.io", "CertificateSigningRequest", csr)
    assert (cells["Condition"], cells["RequestedDuration"], cells["Requestor"]) == (expected, "24h", "u")


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.resource.kind)
def test_cells_of_a_bare_object_are_json(kind: Any) -> None:
    cells = [column.value({"metadata": {"name": "x"}}, NOW) for column in kind.columns]
    assert codec.encode(cells)
    assert None not in cells

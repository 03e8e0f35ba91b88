"""Looking at a cluster with kubectl: get, describe, events, wait, watch, nodes, explain, with running (hollow) pods."""

import json
import re
import subprocess

import pytest

from tests.cluster import deployment, eventually, service


@pytest.fixture(scope="module")
def cluster(hollow):
    hollow.apply(deployment("web", 5), service("web"))
    hollow.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    return hollow


def lines(cluster, *arguments):
    return cluster.kubectl(*arguments).stdout.splitlines()


def refused(cluster, *arguments):
    done = cluster.kubectl(*arguments, check=False)
    assert done.returncode == 1, done.stdout
    return done.stderr


# --- get


def test_pages_are_put_together(cluster):
    whole = cluster.kubectl("get", "pods", "-o", "name").stdout
    assert len(whole.split()) == 5
    assert cluster.kubectl("get", "pods", "-o", "name", "--chunk-size=2").stdout == whole
    assert len(lines(cluster, "get", "pods", "--chunk-size=2")) == 6


@pytest.mark.parametrize(
    ("selector", "count"),
    [
        ("status.phase=Running", 5), ("status.phase!=Running", 0), ("spec.restartPolicy=Always", 5),
        ("spec.schedulerName=default-scheduler,status.phase=Running", 5), ("metadata.namespace=default", 5),
        ("spec.nodeName=", 0), ("status.nominatedNodeName=", 5), ("spec.serviceAccountName=other", 0),
    ],
)  # fmt: skip
def test_field_selectors(cluster, selector, count):
    assert len(cluster.get("pods", f"--field-selector={selector}")["items"]) == count


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("get pods --field-selector=foo=x", 'field selector "foo=x": field label not supported: foo'),
        ("get deployments --field-selector=spec.replicas=5", '"spec.replicas" is not a known field selector: only'),
        ("get pods --raw /api/v1/pods?continue=x", "continue key is not valid"),
        ("get nope", 'the server doesn\'t have a resource type "nope"'),
        ("get pods -o nope", "unable to match a printer suitable for the output format"),
        ("describe pod nope", 'pods "nope" not found'),
        ("explain pod.spec.nope", 'field "nope" does not exist'),
    ],
    ids=["field", "field of a kind without", "continue", "kind", "output", "name", "path"],
)  # fmt: skip
def test_wrong_questions(cluster, arguments, said):
    words = arguments.split()
    if "--raw" in words:
        words = ["get", *words[2:]]
    text = refused(cluster, *words)
    assert said in text
    assert text.count("Unable to find") <= 1


def test_a_selector_that_cannot_be_read(cluster):
    assert "unable to parse requirement" in refused(cluster, "get", "pods", "-l", "app in web")


def test_columns(cluster):
    wide = lines(cluster, "get", "pods", "-o", "wide")[0].split("  ")
    assert [column.strip() for column in wide if column.strip()] == [
        "NAME", "READY", "STATUS", "RESTARTS", "AGE", "IP", "NODE", "NOMINATED NODE", "READINESS GATES",
    ]  # fmt: skip
    assert lines(cluster, "get", "all", "--no-headers", "-o", "name")[0].startswith("pod/")
    custom = lines(cluster, "get", "pods", "-o", "custom-columns=N:.metadata.name,P:.status.phase")
    assert custom[0].split() == ["N", "P"]
    assert all(line.split()[1] == "Running" for line in custom[1:])
    assert "Warning: v1 Endpoints is deprecated" in cluster.kubectl("get", "endpoints").stderr


def test_a_watch_shows_every_change(cluster):
    command = ["kubectl", f"--kubeconfig={cluster.kubeconfig}", "get", "pods", "-l", "run=seen", "-w",
               "--output-watch-events", "--request-timeout=60s"]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as watch:
        try:
            cluster.kubectl("run", "seen", "--image=i")
            cluster.kubectl("wait", "--for=condition=Ready", "pod/seen", "--timeout=30s")
            cluster.kubectl("delete", "pod", "seen")
            seen = []
            for line in watch.stdout:
                seen.append(line.split())
                if line.startswith("DELETED"):
                    break
        finally:
            watch.kill()
    events = [words[0] for words in seen if words[0] != "EVENT"]
    assert (events[0], events[-1]) == ("ADDED", "DELETED")
    assert "Running" in [words[3] for words in seen]
    assert "Terminating" in [words[3] for words in seen]


# --- wait


def test_wait_in_every_form(cluster):
    cluster.kubectl("wait", "--for=condition=Available", "deployment/web", "--timeout=20s")
    cluster.kubectl("wait", "--for=jsonpath={.status.readyReplicas}=5", "deployment/web", "--timeout=20s")
    cluster.kubectl("wait", "--for=condition=Ready", "pods", "-l", "app=web", "--timeout=20s")
    timed_out = refused(cluster, "wait", "--for=condition=Available=false", "deployment/web", "--timeout=1s")
    assert "timed out waiting for the condition" in timed_out
    command = ["kubectl", f"--kubeconfig={cluster.kubeconfig}", "wait", "--timeout=30s"]
    with subprocess.Popen([*command, "--for=create", "pod/late"], stdout=subprocess.PIPE, text=True) as created:
        cluster.kubectl("run", "late", "--image=i")
        assert created.wait(30) == 0
    with subprocess.Popen([*command, "--for=delete", "pod/late"], stdout=subprocess.PIPE, text=True) as deleted:
        cluster.kubectl("delete", "pod", "late", "--wait=false")
        assert deleted.wait(30) == 0


# --- describe and events


def section(text, title):
    """The indented lines below a title of ``kubectl describe``."""
    found = re.search(rf"^{title}:[^\n]*\n((?:[ ][^\n]*\n)*)", text, re.MULTILINE)
    return found[1] if found else ""


def test_describe_node(cluster):
    text = cluster.kubectl("describe", "node", "hollow-0").stdout
    assert "Unschedulable:      false" in text
    assert all(f"{type} " in section(text, "Conditions") for type in ("MemoryPressure", "DiskPressure", "Ready"))
    assert "InternalIP:" in section(text, "Addresses")
    assert "pods:" in section(text, "Capacity")
    assert "cpu:" in section(text, "Allocatable")
    assert "Kubelet Version:" in section(text, "System Info")
    assert re.search(r"PodCIDR: +10\.42\.", text)
    assert re.search(r"Non-terminated Pods: +\(\d in total\)", text)
    assert "cpu " in section(text, "Allocated resources")
    assert "HolderIdentity:  hollow-0" in section(text, "Lease")
    eventually(
        lambda: {"RegisteredNode", "NodeReady"} <= set(cluster.kubectl("describe", "node", "hollow-0").stdout.split()),
        "the node's story",
    )


def test_describe_pod(cluster):
    name = cluster.get("pods", "-l", "app=web")["items"][0]["metadata"]["name"]
    text = cluster.kubectl("describe", "pod", name).stdout
    for line in (r"Node: +hollow-\d/", r"Status: +Running", r"QoS Class: +BestEffort", r"Service Account: +default",
                 r"Controlled By: +ReplicaSet/web-", r"Tolerations: +node.kubernetes.io/not-ready"):  # fmt: skip
        assert re.search(line, text), line
    assert "State:          Running" in section(text, "Containers")
    assert "PodScheduled " in section(text, "Conditions")
    eventually(
        lambda: {"Scheduled", "Created", "Started"} <= set(cluster.kubectl("describe", "pod", name).stdout.split()),
        "the pod's story",
    )


def test_describe_deployment(cluster):
    text = cluster.kubectl("describe", "deployment", "web").stdout
    for line in (r"Replicas: +5 desired \| 5 updated \| 5 total \| 5 available \| 0 unavailable",
                 r"StrategyType: +RollingUpdate", r"RollingUpdateStrategy: +25% max unavailable, 25% max surge",
                 r"NewReplicaSet: +web-\w+ \(5/5 replicas created\)", r"OldReplicaSets: +<none>"):  # fmt: skip
        assert re.search(line, text), line
    assert "NewReplicaSetAvailable" in section(text, "Conditions")
    assert "Scaled up replica set" in text


def test_events(cluster):
    listed = lines(cluster, "get", "events", "--sort-by=.lastTimestamp", "--no-headers")
    assert any("ScalingReplicaSet" in line for line in listed)
    of_web = lines(cluster, "events", "--for=deployment/web", "--no-headers")
    assert of_web
    assert all("Deployment/web" in line for line in of_web)
    assert "No events" in cluster.kubectl("events", "--for=deployment/nope").stderr
    picked = cluster.get("events", "--field-selector=involvedObject.kind=Deployment,reason=ScalingReplicaSet")
    assert {event["involvedObject"]["kind"] for event in picked["items"]} == {"Deployment"}


# --- nodes


def test_taints_come_and_go(cluster):
    taint = ("taint", "node", "hollow-1")
    cluster.kubectl(*taint, "k=v:NoSchedule")
    assert "--overwrite is false" in refused(cluster, *taint, "k=w:NoSchedule")
    cluster.kubectl(*taint, "k=w:NoSchedule", "--overwrite")
    assert "unsupported taint effect" in refused(cluster, *taint, "k=w:Frob")
    cluster.kubectl(*taint, "k:NoSchedule-")
    assert 'taint "k" not found' in refused(cluster, *taint, "k-")
    assert "taints" not in cluster.get("node", "hollow-1")["spec"]


def test_cordon_drain_uncordon(cluster):
    cluster.kubectl("run", "bare", "--image=i", "--overrides", '{"spec":{"nodeName":"hollow-0"}}')
    cluster.kubectl("wait", "--for=condition=Ready", "pod/bare", "--timeout=30s")
    assert "cannot delete Pods that declare no controller" in refused(cluster, "drain", "hollow-0", "--timeout=30s")
    cluster.kubectl("drain", "hollow-0", "--force", "--timeout=30s")
    assert "Ready,SchedulingDisabled" in cluster.kubectl("get", "node", "hollow-0").stdout
    assert cluster.get("pods", "--field-selector=spec.nodeName=hollow-0")["items"] == []
    assert "already cordoned" in cluster.kubectl("cordon", "hollow-0").stdout
    cluster.kubectl("uncordon", "hollow-0")
    cluster.kubectl("rollout", "status", "deployment/web", "--timeout=60s")


# --- the API itself


def test_api_resources_are_filtered(cluster):
    listed = lines(cluster, "api-resources", "--namespaced=false", "-o", "name")
    assert {"nodes", "namespaces", "certificatesigningrequests.certificates.k8s.io"} <= set(listed)
    assert "pods" not in listed
    assert set(lines(cluster, "api-resources", "--api-group=apps", "-o", "name")) >= {"deployments.apps"}
    assert "pods" in lines(cluster, "api-resources", "--verbs=list,watch", "-o", "name")
    assert "configmaps" not in lines(cluster, "api-resources", "--categories=all", "-o", "name")


def test_explain(cluster):
    assert (
        "Name or number of the port" in cluster.kubectl("explain", "pod.spec.containers.livenessProbe.httpGet").stdout
    )
    assert "maxUnavailable" in cluster.kubectl("explain", "deployment", "--recursive").stdout


def test_health_and_version(cluster):
    assert "[+]store ok" in cluster.kubectl("get", "--raw", "/readyz?verbose").stdout
    paths = json.loads(cluster.kubectl("get", "--raw", "/").stdout)["paths"]
    assert {"/api/v1", "/apis/apps/v1", "/metrics"} <= set(paths)
    assert "DATA+OMITTED" in cluster.kubectl("config", "view").stdout


METRICS = [
    "apiserver_request_total", "apiserver_request_duration_seconds_bucket", "apiserver_longrunning_requests",
    "longboat_store_commits_total", "longboat_store_commit_seconds_bucket", "workqueue_depth",
    "workqueue_queue_duration_seconds_bucket", "scheduler_schedule_attempts_total",
    "scheduler_pod_scheduling_sli_duration_seconds_bucket", "longboat_heartbeats_total",
    "process_resident_memory_bytes",
]  # fmt: skip


def test_metrics_of_every_part(cluster):
    text = cluster.kubectl("get", "--raw", "/metrics").stdout
    counted = {line.partition("{")[0].partition(" ")[0] for line in text.splitlines() if not line.startswith("#")}
    assert set(METRICS) <= counted
    assert re.search(r'workqueue_depth{name="deployment[^"]*"}', text)
    assert 'resource="nodes",subresource="heartbeat"' in text

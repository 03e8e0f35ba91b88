"""Tokens of pods' accounts: an agent's certificate gets those of its own pods, writes them, and they let one in."""

import json
import random

import msgspec
import pytest

from agent.pods.objects import ObjectCache
from agent.pods.status import NodeFacts
from agent.pods.volumes.base import VolumeFailure
from agent.pods.volumes.pod_volumes import PodVolumes
from agent.pods.volumes.tokens import PodTokens
from shared import pki, tls
from shared.api.errors import Forbidden
from shared.api.kinds import PERSISTENT_VOLUMES, SERVICE_ACCOUNTS
from shared.api.pod import Pod
from shared.client.http import HttpClient
from shared.cluster_pki import load_cluster_ca
from shared.work.clock import SystemClock
from tests.cluster import Cluster, eventually


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    cluster = Cluster(tmp_path_factory.mktemp("pod-tokens"))
    cluster.start()
    try:
        cluster.kubectl("create", "serviceaccount", "robot")
        eventually(lambda: cluster.get("configmap", "kube-root-ca.crt"), "the CA's ConfigMap")
        cluster.apply(pod("mine", "n1"), pod("theirs", "n2"), *volume("mine"), *volume("theirs"))
        yield cluster
    finally:
        cluster.stop()


def pod(name, node):
    sources = [
        {"serviceAccountToken": {"path": "token", "expirationSeconds": 600}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}]}},
    ]
    mount = {"name": "api", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount", "readOnly": True}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "nodeName": node,
            "serviceAccountName": "robot",
            "containers": [{"name": "c", "image": "busybox", "volumeMounts": [mount]}],
            "volumes": [
                {"name": "api", "projected": {"sources": sources}},
                {"name": "data", "persistentVolumeClaim": {"claimName": name}},
            ],
        },
    }


def volume(name):
    size = {"storage": "1Gi"}
    modes = ["ReadWriteOnce"]
    yield {
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name, "namespace": "default"},
        "spec": {"accessModes": modes, "storageClassName": "", "resources": {"requests": size}},
    }  # fmt: skip
    yield {
        "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": f"pv-{name}"},
        "spec": {"accessModes": modes, "capacity": size, "hostPath": {"path": "/srv"},
                 "claimRef": {"kind": "PersistentVolumeClaim", "namespace": "default", "name": name}},
    }  # fmt: skip


@pytest.fixture
async def agent(cluster):
    """What the agent of n1 asks with."""
    ca = load_cluster_ca(cluster.directory / "data")
    pair = pki.client_certificate(ca, "system:node:n1", ["system:nodes"])
    client = HttpClient(f"https://{cluster.address}", tls.client_context(ca.pem, pair))
    yield client
    await client.close()


def volumes_of(agent, directory):
    clock = SystemClock()
    objects = ObjectCache(agent, clock, ttl=1.0, copies=directory / "copies")
    tokens = PodTokens(agent, clock, random.Random(1))
    node = NodeFacts("n1", "10.0.0.1", cpu_milli=1000, memory_bytes=1 << 30)
    return PodVolumes(directory, objects, tokens, node, memory=False)


def read(cluster, name):
    return msgspec.convert(cluster.get("pod", name), Pod)


async def test_a_pod_finds_what_in_cluster_clients_look_for(cluster, agent, tmp_path):
    volumes, mine = volumes_of(agent, tmp_path), read(cluster, "mine")
    await volumes.setup()
    wanted = msgspec.structs.replace(
        mine, spec=msgspec.structs.replace(mine.spec, volumes=mine.spec.volumes[:1])
    )  # claims are not mounted yet
    await volumes.prepare(wanted)
    directory = volumes.paths(mine.metadata.uid).secret("api")
    assert (directory / "namespace").read_text() == "default"
    ca = load_cluster_ca(cluster.directory / "data")
    assert (directory / "ca.crt").read_bytes() == ca.pem
    (mount,) = [m for m in await volumes.mounts(wanted, wanted.spec.containers[0], {}) if "serviceaccount" in m.target]
    assert (mount.source, mount.read_only) == (str(directory), True)
    token = (directory / "token").read_text()
    inside = HttpClient(f"https://{cluster.address}", tls.client_context((directory / "ca.crt").read_bytes()), token)
    try:
        with pytest.raises(Forbidden, match='User "system:serviceaccount:default:robot" cannot list'):
            await inside.list(SERVICE_ACCOUNTS, "default")
    finally:
        await inside.close()
    told = json.loads(cluster.kubectl("create", "-f", "-", "-o", "json", text=json.dumps({
        "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token},
    })).stdout)  # fmt: skip
    assert told["status"]["authenticated"] is True
    assert not await volumes.refresh(wanted, 0.0)  # the token holds for a while
    await volumes.cleanup(mine.metadata.uid)
    assert not directory.exists()


async def test_other_nodes_pods_are_none_of_its_business(cluster, agent, tmp_path):
    volumes, theirs = volumes_of(agent, tmp_path), read(cluster, "theirs")
    await volumes.setup()
    with pytest.raises(VolumeFailure, match="scheduled on a different node"):
        await volumes.prepare(theirs)


@pytest.mark.parametrize(
    ("account", "bound", "said"),
    [
        ("robot", None, "node requested token not bound to a pod"),
        ("default", None, "no relationship found between node 'n1' and this object"),
    ],
)
async def test_tokens_that_are_bound_to_no_pod_of_its_are_refused(cluster, agent, account, bound, said):
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"boundObjectRef": bound}}
    with pytest.raises(Forbidden, match=said):
        await agent.create(SERVICE_ACCOUNTS, body, "default", name=account, subresource="token")


async def test_a_volume_is_seen_through_the_claim_of_a_pod(cluster, agent):
    assert (await agent.get(PERSISTENT_VOLUMES, "pv-mine")).metadata.name == "pv-mine"
    for name in ("pv-theirs", "none"):
        with pytest.raises(Forbidden, match="no relationship"):
            await agent.get(PERSISTENT_VOLUMES, name)
    with pytest.raises(Forbidden):
        await agent.list(PERSISTENT_VOLUMES)

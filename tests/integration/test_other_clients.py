"""kr8s and lightkube: two clients that read the wire in their own way."""

import kr8s
import lightkube
import pytest
from kr8s.asyncio.objects import ConfigMap as KrConfigMap
from kr8s.asyncio.objects import Deployment as KrDeployment
from lightkube.core.exceptions import ApiError
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.apps_v1 import Deployment
from lightkube.resources.core_v1 import ConfigMap, Namespace, Node, Pod
from lightkube.types import PatchType

from tests.cluster import deployment


@pytest.fixture(scope="module")
def cluster(hollow):
    hollow.apply(deployment("web", 2))
    hollow.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    return hollow


@pytest.mark.filterwarnings("ignore:Kubernetes version:UserWarning")  # kr8s knows of none newer than 1.35
class TestKr8s:
    @pytest.fixture
    async def api(self, cluster):
        return await kr8s.asyncio.api(kubeconfig=str(cluster.kubeconfig))

    async def test_reads(self, api):
        assert (await api.version())["gitVersion"].startswith("v1.")
        pods = [pod async for pod in api.get("pods", label_selector={"app": "web"})]
        assert {pod.status.phase for pod in pods} == {"Running"}
        assert len(pods) == 2
        nodes = [node async for node in api.get("nodes")]
        assert sorted(node.name for node in nodes) == ["hollow-0", "hollow-1"]

    async def test_discovers_kinds(self, api):
        kinds = {resource["kind"] for resource in await api.api_resources()}
        assert {"Pod", "Deployment", "Role"} <= kinds
        assert [found.name async for found in api.get("deploy", "web", namespace="default")] == ["web"]

    async def test_object_from_creation_to_deletion(self, api):
        made = await KrConfigMap({"metadata": {"name": "kr", "namespace": "default"}, "data": {"a": "1"}}, api=api)
        await made.create()
        await made.patch({"data": {"b": "2"}})
        await made.label({"team": "x"})
        await made.refresh()
        assert made.raw["data"] == {"a": "1", "b": "2"}
        assert made.labels == {"team": "x"}
        await made.delete()
        assert not await made.exists()

    async def test_scale_and_wait(self, cluster, api):
        cluster.apply(deployment("scaled", 0))
        scaled = await KrDeployment.get("scaled", namespace="default", api=api)
        await scaled.scale(1)
        await scaled.wait("condition=Available", timeout=60)
        await scaled.refresh()
        assert scaled.replicas == 1


class TestLightkube:
    @pytest.fixture
    def client(self, cluster):
        config = lightkube.KubeConfig.from_file(str(cluster.kubeconfig))
        return lightkube.Client(config=config, namespace="default", field_manager="lightkube")

    def test_reads(self, client):
        assert sorted(node.metadata.name for node in client.list(Node)) == ["hollow-0", "hollow-1"]
        assert len(list(client.list(Pod, labels={"app": "web"}))) == 2
        assert client.get(Namespace, "default").status.phase == "Active"

    def test_server_side_apply(self, client):
        wanted = ConfigMap(
            apiVersion="v1", kind="ConfigMap", metadata=ObjectMeta(name="light", namespace="default"), data={"a": "1"}
        )
        assert client.apply(wanted).metadata.managedFields[0].manager == "lightkube"
        with pytest.raises(ApiError) as refused:
            client.apply(ConfigMap(
                apiVersion="v1", kind="ConfigMap", metadata=ObjectMeta(name="light", namespace="default"),
                data={"a": "2"},
            ), field_manager="other")  # fmt: skip
        assert refused.value.status.code == 409
        client.delete(ConfigMap, "light")

    def test_patch_and_scale(self, client):
        client.patch(Deployment, "web", {"metadata": {"labels": {"x": "y"}}}, patch_type=PatchType.MERGE)
        assert client.get(Deployment, "web").metadata.labels["x"] == "y"
        scale = Deployment.Scale
        got = client.get(scale, "web")
        assert got.spec.replicas == 2

    def test_watch_sees_changes(self, client):
        version = client.get(ConfigMap, "kube-root-ca.crt").metadata.resourceVersion
        client.create(ConfigMap(metadata=ObjectMeta(name="seen", namespace="default")))
        for kind, obj in client.watch(ConfigMap, resource_version=version, server_timeout=30):
            if obj.metadata.name == "seen":
                assert kind == "ADDED"
                break
        client.delete(ConfigMap, "seen")

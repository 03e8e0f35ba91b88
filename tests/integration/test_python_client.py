"""The official Kubernetes Python client: typed, dynamic and watching. It reads what we serve into its own classes,
which refuse what a real API server would not send."""

import threading
from contextlib import closing

import pytest
from kubernetes import client, config, dynamic, utils, watch
from kubernetes.client.exceptions import ApiException

from tests.cluster import deployment, eventually, service

NAMESPACE = "default"
PATIENCE = 60


@pytest.fixture(scope="module")
def cluster(hollow):
    hollow.apply(deployment("web", 3), service("web"))
    hollow.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    return hollow


@pytest.fixture(scope="module")
def api(cluster):
    with closing(config.new_client_from_config(str(cluster.kubeconfig))) as api:
        yield api


@pytest.fixture(scope="module")
def core(api):
    return client.CoreV1Api(api)


@pytest.fixture(scope="module")
def apps(api):
    return client.AppsV1Api(api)


def config_map(name, data=None, **metadata):
    return client.V1ConfigMap(metadata=client.V1ObjectMeta(name=name, **metadata), data=data or {"a": "1"})


# --- typed


def test_what_is_served(api):
    assert client.VersionApi(api).get_code().git_version.startswith("v1.")
    groups = {group.name for group in client.ApisApi(api).get_api_versions().groups}
    assert {"apps", "discovery.k8s.io", "coordination.k8s.io", "certificates.k8s.io"} <= groups
    kinds = {resource.kind for resource in client.AppsV1Api(api).get_api_resources().resources}
    assert {"Deployment", "ReplicaSet", "Scale"} <= kinds


def test_every_list_is_read_into_its_classes(api, core, apps):
    node, _ = core.list_node().items
    assert node.status.capacity["pods"] == "250"
    assert node.status.node_info.kubelet_version
    assert node.metadata.creation_timestamp.tzinfo is not None
    assert {pod.status.phase for pod in core.list_namespaced_pod(NAMESPACE, label_selector="app=web").items} == {
        "Running"
    }
    assert core.list_namespaced_pod(NAMESPACE, field_selector=f"spec.nodeName={node.metadata.name}").items
    assert [s.spec.replicas for s in apps.list_replica_set_for_all_namespaces().items] == [3]
    assert core.list_namespaced_endpoints(NAMESPACE).items
    slices = client.DiscoveryV1Api(api).list_namespaced_endpoint_slice(NAMESPACE).items
    assert sum(len(s.endpoints) for s in slices if s.metadata.labels.get("kubernetes.io/service-name") == "web") == 3
    assert client.CoordinationV1Api(api).list_namespaced_lease("kube-node-lease").items[0].spec.holder_identity
    assert client.CertificatesV1Api(api).list_certificate_signing_request().items[0].status.certificate
    reasons = lambda: {event.reason for event in core.list_namespaced_event(NAMESPACE).items}  # noqa: E731
    eventually(lambda: {"Started", "Scheduled"} <= reasons(), "the events of a start", PATIENCE)
    assert core.list_namespaced_secret("kube-system").kind == "SecretList"
    assert {n.metadata.name for n in core.list_namespace().items} >= {"default", "kube-system", "kube-public"}
    assert core.list_namespaced_service_account(NAMESPACE).items[0].metadata.name == "default"


def test_an_object_from_creation_to_deletion(core):
    made = core.create_namespaced_config_map(NAMESPACE, config_map("typed"))
    assert (made.data, made.metadata.namespace) == ({"a": "1"}, NAMESPACE)
    made.data = {"b": "2"}
    replaced = core.replace_namespaced_config_map("typed", NAMESPACE, made)
    assert replaced.data == {"b": "2"}
    with pytest.raises(ApiException) as stale:
        core.replace_namespaced_config_map("typed", NAMESPACE, made)
    assert (stale.value.status, stale.value.reason) == (409, "Conflict")
    assert core.patch_namespaced_config_map("typed", NAMESPACE, {"data": {"c": "3"}}).data == {"b": "2", "c": "3"}
    steps = [{"op": "remove", "path": "/data/b"}]
    assert core.patch_namespaced_config_map("typed", NAMESPACE, steps).data == {"c": "3"}
    core.delete_namespaced_config_map("typed", NAMESPACE, body=client.V1DeleteOptions())
    with pytest.raises(ApiException) as gone:
        core.read_namespaced_config_map("typed", NAMESPACE)
    assert gone.value.status == 404
    assert 'configmaps \\"typed\\" not found' in gone.value.body


def test_pages_and_a_deletion_of_many(core):
    for number in range(5):
        core.create_namespaced_config_map(NAMESPACE, config_map(f"page{number}", labels={"of": "pages"}))
    names, token = [], None
    while True:
        page = core.list_namespaced_config_map(NAMESPACE, label_selector="of=pages", limit=2, _continue=token)
        names += [item.metadata.name for item in page.items]
        token = page.metadata._continue
        if not token:
            break
    assert names == [f"page{number}" for number in range(5)]
    core.delete_collection_namespaced_config_map(NAMESPACE, label_selector="of=pages")
    assert core.list_namespaced_config_map(NAMESPACE, label_selector="of=pages").items == []


def test_a_deployment_is_scaled_rolled_and_deleted_with_what_it_owns(core, apps):
    container = client.V1Container(name="web", image="hollow/web:1")
    template = client.V1PodTemplateSpec(
        metadata=client.V1ObjectMeta(labels={"app": "typed"}), spec=client.V1PodSpec(containers=[container])
    )
    spec = client.V1DeploymentSpec(
        replicas=1, selector=client.V1LabelSelector(match_labels={"app": "typed"}), template=template
    )
    apps.create_namespaced_deployment(
        NAMESPACE, client.V1Deployment(metadata=client.V1ObjectMeta(name="typed"), spec=spec)
    )
    assert apps.read_namespaced_deployment_scale("typed", NAMESPACE).status.selector == "app=typed"
    scaled = apps.patch_namespaced_deployment_scale("typed", NAMESPACE, {"spec": {"replicas": 2}})
    assert scaled.spec.replicas == 2
    images = {"spec": {"template": {"spec": {"containers": [{"name": "web", "image": "hollow/web:2"}]}}}}
    apps.patch_namespaced_deployment("typed", NAMESPACE, images)

    def rolled():
        status = apps.read_namespaced_deployment_status("typed", NAMESPACE).status
        return status.updated_replicas == status.available_replicas == status.replicas == 2

    eventually(rolled, "the update is done", PATIENCE)
    pods = core.list_namespaced_pod(NAMESPACE, label_selector="app=typed").items
    assert {c.image for pod in pods if not pod.metadata.deletion_timestamp for c in pod.spec.containers} == {
        "hollow/web:2"
    }
    apps.delete_namespaced_deployment("typed", NAMESPACE, propagation_policy="Foreground")
    eventually(lambda: not core.list_namespaced_pod(NAMESPACE, label_selector="app=typed").items, "no pods", PATIENCE)


def test_a_refusal_names_the_field(core):
    with pytest.raises(ApiException) as refused:
        core.create_namespaced_config_map(NAMESPACE, config_map("Not_A_Name"))
    assert refused.value.status == 422
    assert "metadata.name" in refused.value.body


def test_a_file_of_yaml_makes_its_objects(api, core, tmp_path):
    path = tmp_path / "two.yaml"
    path.write_text(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: from-yaml}\ndata: {a: '1'}\n---\n"
        "apiVersion: v1\nkind: Secret\nmetadata: {name: from-yaml}\nstringData: {p: s}\n"
    )
    utils.create_from_yaml(api, str(path))
    assert core.read_namespaced_secret("from-yaml", NAMESPACE).data == {"p": "cw=="}
    with pytest.raises(utils.FailToCreateError) as again:
        utils.create_from_yaml(api, str(path))
    assert "already exists" in str(again.value)


# --- watching


def test_a_watch_tells_of_every_change_and_resumes(core):
    seen, begun = [], core.list_namespaced_config_map(NAMESPACE).metadata.resource_version
    core.create_namespaced_config_map(NAMESPACE, config_map("watched"))
    core.patch_namespaced_config_map("watched", NAMESPACE, {"data": {"a": "2"}})
    core.delete_namespaced_config_map("watched", NAMESPACE)
    for _ in range(3):  # a new watch for each event, from the revision of the one before
        stream = watch.Watch()
        for event in stream.stream(
            core.list_namespaced_config_map, NAMESPACE, resource_version=begun, timeout_seconds=PATIENCE,
            field_selector="metadata.name=watched",
        ):  # fmt: skip
            seen.append((event["type"], event["object"].data["a"]))
            begun = event["object"].metadata.resource_version
            stream.stop()
    assert seen == [("ADDED", "1"), ("MODIFIED", "2"), ("DELETED", "2")]


def test_a_watch_ends_when_its_time_is_over(core):
    begun = core.list_namespaced_config_map(NAMESPACE).metadata.resource_version
    stream = watch.Watch().stream(
        core.list_namespaced_config_map, NAMESPACE, resource_version=begun, timeout_seconds=1,
        field_selector="metadata.name=nobody",
    )  # fmt: skip
    assert list(stream) == []


# --- dynamic


@pytest.fixture(scope="module")
def dynamic_client(api):
    return dynamic.DynamicClient(api)


def test_any_kind_by_its_name(dynamic_client):
    maps = dynamic_client.resources.get(api_version="v1", kind="ConfigMap")
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "dynamic"}, "data": {"a": "1"}}
    made = maps.create(body=body, namespace=NAMESPACE)
    assert made.metadata.resourceVersion
    merge = {"metadata": {"name": "dynamic"}, "data": {"a": None, "b": "2"}}
    patched = maps.patch(body=merge, namespace=NAMESPACE, content_type="application/merge-patch+json")
    assert patched.data.to_dict() == {"b": "2"}
    assert [item.metadata.name for item in maps.get(namespace=NAMESPACE, field_selector="metadata.name=dynamic").items]
    maps.delete(name="dynamic", namespace=NAMESPACE)
    with pytest.raises(dynamic.exceptions.NotFoundError):
        maps.get(name="dynamic", namespace=NAMESPACE)


def test_subresources_are_discovered(dynamic_client):
    deployments = dynamic_client.resources.get(api_version="apps/v1", kind="Deployment")
    assert {"scale", "status"} <= set(deployments.subresources)
    scale = deployments.scale.get(name="web", namespace=NAMESPACE)
    assert (scale.kind, scale.spec.replicas) == ("Scale", 3)


def test_a_dynamic_watch(dynamic_client, core):
    maps = dynamic_client.resources.get(api_version="v1", kind="ConfigMap")
    begun = core.list_namespaced_config_map(NAMESPACE).metadata.resource_version
    writer = threading.Timer(0.2, core.create_namespaced_config_map, (NAMESPACE, config_map("late")))
    writer.start()
    watcher = watch.Watch()
    for event in maps.watch(namespace=NAMESPACE, resource_version=begun, timeout=PATIENCE, watcher=watcher):
        assert (event["type"], event["object"].metadata.name) == ("ADDED", "late")
        watcher.stop()
    writer.join()

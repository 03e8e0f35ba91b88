"""create, update, patch and their subresources, on a real store."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest

from controlplane.apiserver.api import SUFFIX_ALPHABET, ApiServer
from controlplane.apiserver.identity import User
from controlplane.apiserver.local_client import LocalClient
from controlplane.apiserver.request import Request, WriteOptions
from controlplane.apiserver.verbs import patch, write
from controlplane.store.base import Put
from shared.api.errors import AlreadyExists, BadRequest, Conflict, Forbidden, Invalid, MethodNotAllowed, NotFound
from shared.api.kinds import (
    CERTIFICATE_SIGNING_REQUESTS,
    CONFIG_MAPS,
    DEPLOYMENTS,
    ENDPOINT_SLICES,
    EVENTS,
    LEASES,
    NAMESPACES,
    NODES,
    PODS,
    Resource,
)
from shared.api.meta import JSON
from shared.client.base import Binding, PatchType

POD: JSON = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
TEMPLATE: JSON = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
SLICE: JSON = {"metadata": {"name": "s"}, "addressType": "IPv4", "endpoints": []}
DEPLOYMENT: JSON = {"metadata": {"name": "d"}, "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": TEMPLATE}}


def _cm(name: str = "a", **more: Any) -> JSON:
    return {"metadata": {"name": name}, **more}


async def test_create_fills_in_the_system_fields(client: LocalClient) -> None:
    given = _cm(data={"k": "v"})
    given["metadata"] |= {"uid": "mine", "creationTimestamp": "2001-01-01T00:00:00Z", "generation": 7,
                          "deletionTimestamp": "2001-01-01T00:00:00Z", "managedFields": [{}], "labels": {}}  # fmt: skip
    made = await client.create(CONFIG_MAPS, given, "g")
    meta = made["metadata"]
    assert meta["creationTimestamp"] == "2026-05-04T12:00:00Z"
    assert meta["uid"] != "mine"
    assert set(meta) == {"name", "namespace", "uid", "creationTimestamp", "managedFields", "resourceVersion"}
    assert [entry["manager"] for entry in meta["managedFields"]] == ["longboat"]
    assert (await client.get(CONFIG_MAPS, "a", "g")).metadata.resource_version == meta["resourceVersion"]


async def test_a_uid_is_a_random_uuid(api: ApiServer) -> None:
    seen = {api.new_uid() for _ in range(100)}
    assert len(seen) == 100
    for uid in seen:
        assert (str(uuid.UUID(uid)), uuid.UUID(uid).version, uuid.UUID(uid).variant) == (uid, 4, uuid.RFC_4122)


async def test_generated_names_have_a_suffix_of_five(client: LocalClient) -> None:
    made = await client.create(CONFIG_MAPS, {"metadata": {"generateName": "x-"}}, "g")
    suffix = made["metadata"]["name"].removeprefix("x-")
    assert len(suffix) == 5
    assert set(suffix) <= set(SUFFIX_ALPHABET)


async def test_a_generated_name_that_is_taken_is_tried_again(
    api: ApiServer, client: LocalClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    suffixes = iter(["aaaaa", "aaaaa", "aaaaa", "bbbbb"])
    monkeypatch.setattr(api, "new_suffix", lambda: next(suffixes))
    names = [(await client.create(CONFIG_MAPS, {"metadata": {"generateName": "x-"}}, "g")) for _ in range(2)]
    assert [made["metadata"]["name"] for made in names] == ["x-aaaaa", "x-bbbbb"]


async def test_creating_twice_is_refused(client: LocalClient) -> None:
    await client.create(CONFIG_MAPS, _cm(), "g")
    with pytest.raises(AlreadyExists, match='configmaps "a" already exists'):
        await client.create(CONFIG_MAPS, _cm(), "g")


async def test_of_many_creating_the_same_one_wins(client: LocalClient) -> None:
    outcomes = await asyncio.gather(*(client.create(CONFIG_MAPS, _cm(), "g") for _ in range(8)), return_exceptions=True)
    assert sum(isinstance(outcome, dict) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, AlreadyExists) for outcome in outcomes) == 7


@pytest.mark.parametrize(
    ("obj", "namespace", "error", "text"),
    [
        (_cm(), "nope", NotFound, 'namespaces "nope" not found'),
        ({"metadata": {"name": "a", "namespace": "other"}}, "g", BadRequest, "does not match the namespace sent"),
        ({"metadata": {"name": "a", "resourceVersion": "1"}}, "g", BadRequest, "resourceVersion should not be set"),
        ({"kind": "Secret", "metadata": {"name": "a"}}, "g", BadRequest, "cannot be handled as a ConfigMap"),
        ({"apiVersion": "v2", "metadata": {"name": "a"}}, "g", BadRequest, "does not match the expected API version"),
        ({"metadata": {}}, "g", Invalid, "name or generateName is required"),
        ({"metadata": {"name": "A_"}}, "g", Invalid, "RFC 1123"),
        ({"metadata": {"name": "a"}, "data": {"k": 1}}, "g", BadRequest, "cannot unmarshal"),
        ({"metadata": []}, "g", BadRequest, "ConfigMap"),
    ],
    ids=["no namespace", "other namespace", "version", "kind", "apiVersion", "no name", "bad name", "type", "metadata"],
)
async def test_bad_objects_are_refused(
    api: ApiServer, client: LocalClient, obj: JSON, namespace: str, error: type[Exception], text: str
) -> None:
    before = await api.store.revision()
    request = Request(User("u"), client.kind_of(CONFIG_MAPS), namespace)
    with pytest.raises(error, match=text):
        await write.create(api, request, dict(obj))
    assert await api.store.revision() == before


async def test_a_status_is_dropped_on_create_but_a_nodes(client: LocalClient) -> None:
    pod = await client.create(PODS, {**POD, "status": {"phase": "Running", "podIP": "1.2.3.4"}}, "g")
    assert pod["status"]["phase"] == "Pending"
    assert "podIP" not in pod["status"]
    node = {"metadata": {"name": "n"}, "status": {"capacity": {"cpu": "4"}}}
    assert (await client.create(NODES, node))["status"]["capacity"] == {"cpu": "4"}


async def test_unknown_fields_warn_or_are_refused(api: ApiServer, client: LocalClient) -> None:
    def request(validation: str) -> Request:
        return Request(User("u"), client.kind_of(CONFIG_MAPS), "g", options=WriteOptions(field_validation=validation))

    with pytest.raises(BadRequest, match='strict decoding error: unknown field "spec"'):
        await write.create(api, request("Strict"), _cm(spec={"x": 1}))
    warned = request("Warn")
    made = (await write.create(api, warned, _cm(spec={"x": 1}))).tree()
    assert warned.warnings == ['unknown field "spec"']
    assert made["spec"] == {"x": 1}  # kept, not dropped
    ignored = request("Ignore")
    await write.create(api, ignored, _cm("b", spec={"x": 1}))
    assert ignored.warnings == []


async def test_dry_run_writes_nothing(api: ApiServer, client: LocalClient) -> None:
    request = Request(User("u"), client.kind_of(CONFIG_MAPS), "g", options=WriteOptions(dry_run=True))
    made = (await write.create(api, request, _cm())).tree()
    assert made["metadata"]["uid"]
    with pytest.raises(NotFound):
        await client.get(CONFIG_MAPS, "a", "g")


# --- update


async def test_an_update_that_changes_nothing_writes_nothing(api: ApiServer, client: LocalClient) -> None:
    made = await client.create(CONFIG_MAPS, _cm(data={"k": "v"}), "g")
    again = await client.replace(CONFIG_MAPS, {"data": {"k": "v"}, "metadata": {"name": "a", "namespace": "g"}})
    assert again == made
    assert await api.store.revision() == int(made["metadata"]["resourceVersion"])


async def test_a_stale_revision_is_a_conflict(client: LocalClient) -> None:
    made = await client.create(CONFIG_MAPS, _cm(), "g")
    await client.patch(CONFIG_MAPS, "a", {"data": {"k": "1"}}, "g")
    with pytest.raises(Conflict, match="the object has been modified; please apply your changes"):
        await client.replace(CONFIG_MAPS, {**made, "data": {"k": "2"}})
    assert (await client.get(CONFIG_MAPS, "a", "g")).data == {"k": "1"}


async def test_system_fields_stay_whatever_is_sent(client: LocalClient) -> None:
    made = await client.create(CONFIG_MAPS, _cm(), "g")
    meta = {"name": "a", "namespace": "g", "creationTimestamp": "2001-01-01T00:00:00Z",
            "deletionTimestamp": "2001-01-01T00:00:00Z", "generation": 9, "labels": {"x": "y"}}  # fmt: skip
    now = await client.replace(CONFIG_MAPS, {"metadata": meta})
    for key in ("uid", "creationTimestamp"):
        assert now["metadata"][key] == made["metadata"][key]
    assert not {"deletionTimestamp", "generation"} & set(now["metadata"])
    assert now["metadata"]["labels"] == {"x": "y"}


@pytest.mark.parametrize(
    ("meta", "error"),
    [({"uid": "other"}, Conflict), ({"name": "b"}, NotFound), ({"namespace": "other"}, NotFound)],
    ids=["uid", "name", "namespace"],
)
async def test_another_identity_is_refused(client: LocalClient, meta: JSON, error: type[Exception]) -> None:
    await client.create(CONFIG_MAPS, _cm(), "g")
    with pytest.raises(error):
        await client.replace(CONFIG_MAPS, {"metadata": {"name": "a", "namespace": "g", **meta}})


async def test_generation_counts_changes_of_the_spec_only(client: LocalClient) -> None:
    made = await client.create(DEPLOYMENTS, DEPLOYMENT, "g")
    assert made["metadata"]["generation"] == 1

    async def generation(patch: JSON, subresource: str = "") -> int:
        now = await client.patch(DEPLOYMENTS, "d", patch, "g", subresource=subresource)
        return int(now["metadata"]["generation"])

    assert await generation({"metadata": {"labels": {"x": "y"}}}) == 1
    assert await generation({"status": {"replicas": 3}}, "status") == 1
    assert await generation({"spec": {"replicas": 2}}) == 2
    assert await generation({"spec": {"replicas": 2}}) == 2


async def test_what_admission_puts_back_is_no_change(client: LocalClient) -> None:
    """kubectl replace with the manifest that the pod was made from."""
    made = await client.create(PODS, POD, "g")
    assert made["spec"]["tolerations"]
    assert await client.replace(PODS, {**POD, "metadata": {"name": "p", "namespace": "g"}}) == made


@pytest.mark.parametrize(
    ("resource", "given", "field", "generation"),
    [
        pytest.param(DEPLOYMENTS, DEPLOYMENT, "annotations", 2, id="a Deployment's annotations, copied to its sets"),
        pytest.param(DEPLOYMENTS, DEPLOYMENT, "labels", 1, id="a Deployment's labels"),
        pytest.param(ENDPOINT_SLICES, SLICE, "labels", 2, id="an EndpointSlice's labels"),
        pytest.param(ENDPOINT_SLICES, SLICE, "annotations", 1, id="an EndpointSlice's annotations"),
        pytest.param(PODS, POD, "annotations", 1, id="a Pod's annotations"),
    ],
)
async def test_metadata_that_counts_as_a_change_of_the_spec(
    client: LocalClient, resource: Resource[Any], given: JSON, field: str, generation: int
) -> None:
    made = await client.create(resource, given, "g")
    now = await client.patch(resource, made["metadata"]["name"], {"metadata": {field: {"x": "y"}}}, "g")
    assert now["metadata"][field] == {"x": "y"}
    assert now["metadata"]["generation"] == generation


async def test_a_status_update_of_a_deployment_may_annotate_it_and_counts_nothing(client: LocalClient) -> None:
    await client.create(DEPLOYMENTS, DEPLOYMENT, "g")
    meta = {"annotations": {"deployment.kubernetes.io/revision": "1"}, "labels": {"x": "y"}}
    now = await client.patch(DEPLOYMENTS, "d", {"metadata": meta, "status": {}}, "g", subresource="status")
    assert now["metadata"]["annotations"] == meta["annotations"]
    assert "labels" not in now["metadata"]
    assert now["metadata"]["generation"] == 1


async def test_status_and_spec_are_written_apart(client: LocalClient) -> None:
    await client.create(DEPLOYMENTS, DEPLOYMENT, "g")
    both = {"spec": {"replicas": 5}, "status": {"replicas": 3}, "metadata": {"labels": {"x": "y"}}}
    after = await client.patch(DEPLOYMENTS, "d", both, "g", subresource="status")
    assert (after["spec"]["replicas"], after["status"]) == (1, {"replicas": 3})
    assert "labels" not in after["metadata"]
    after = await client.patch(DEPLOYMENTS, "d", {**both, "status": {"replicas": 9}}, "g")
    assert (after["spec"]["replicas"], after["status"], after["metadata"]["labels"]) == (5, {"replicas": 3}, {"x": "y"})


# --- patch


async def test_concurrent_patches_of_one_object_all_count(client: LocalClient) -> None:
    await client.create(CONFIG_MAPS, _cm(), "g")
    outcomes = await asyncio.gather(
        *(client.patch(CONFIG_MAPS, "a", {"data": {f"k{i}": "v"}}, "g") for i in range(5)), return_exceptions=True
    )
    assert all(isinstance(outcome, dict) for outcome in outcomes)
    assert len((await client.get(CONFIG_MAPS, "a", "g")).data) == 5


async def test_a_patch_for_a_revision_is_not_tried_again(client: LocalClient) -> None:
    made = await client.create(CONFIG_MAPS, _cm(), "g")
    pinned = {"metadata": {"resourceVersion": made["metadata"]["resourceVersion"]}, "data": {"k": "v"}}
    await client.patch(CONFIG_MAPS, "a", pinned, "g")
    with pytest.raises(Conflict):
        await client.patch(CONFIG_MAPS, "a", {**pinned, "data": {"k": "w"}}, "g")


async def test_every_patch_type(client: LocalClient) -> None:
    await client.create(PODS, POD, "g")
    await client.patch(PODS, "p", [{"op": "add", "path": "/metadata/labels", "value": {"x": "1"}}], "g",
                       type=PatchType.JSON)  # fmt: skip
    await client.patch(PODS, "p", {"metadata": {"labels": {"y": "2"}}}, "g", type=PatchType.MERGE)
    image = {"spec": {"containers": [{"name": "c", "image": "new"}]}}
    now = await client.patch(PODS, "p", image, "g", type=PatchType.STRATEGIC)
    assert now["metadata"]["labels"] == {"x": "1", "y": "2"}
    assert [container["image"] for container in now["spec"]["containers"]] == ["new"]


# --- scale, binding, approval, finalize


async def test_scale_reads_and_writes_the_replicas(client: LocalClient) -> None:
    await client.create(DEPLOYMENTS, DEPLOYMENT, "g")
    scale = await client.patch(DEPLOYMENTS, "d", {"spec": {"replicas": 4}}, "g", subresource="scale")
    assert (scale["kind"], scale["spec"], scale["status"]["selector"]) == ("Scale", {"replicas": 4}, "a=b")
    assert (await client.get(DEPLOYMENTS, "d", "g")).spec.replicas == 4
    stale = {"metadata": {"name": "d", "namespace": "g", "resourceVersion": "2"}, "spec": {"replicas": 1}}
    with pytest.raises(Conflict):
        await client.replace(DEPLOYMENTS, stale, subresource="scale")
    with pytest.raises(Invalid, match="must be greater than or equal to 0"):
        await client.patch(DEPLOYMENTS, "d", {"spec": {"replicas": -1}}, "g", subresource="scale")


async def test_a_pod_is_bound_once(client: LocalClient) -> None:
    made = await client.create(PODS, POD, "g")
    uid = made["metadata"]["uid"]
    wrong, right, again, missing = await client.bind(
        [Binding("g", "p", "other", "n"), Binding("g", "p", uid, "n"), Binding("g", "p", uid, "m"),
         Binding("g", "q", "", "n")]
    )  # fmt: skip
    assert isinstance(wrong, Conflict)
    assert right is None
    assert isinstance(again, Conflict)
    assert "already assigned to node" in again.message
    assert isinstance(missing, NotFound)
    pod = await client.get(PODS, "p", "g")
    assert pod.spec.node_name == "n"
    assert [(c.type, c.status) for c in pod.status.conditions] == [("PodScheduled", "True")]


async def test_bindings_have_a_revision_each(api: ApiServer, client: LocalClient) -> None:
    """A watch that is resumed between two of them must not lose the second."""
    uids = {}
    for index in range(5):
        made = await client.create(PODS, {**POD, "metadata": {"name": f"p{index}"}}, "g")
        uids[f"p{index}"] = made["metadata"]["uid"]
    assert await client.bind([Binding("g", name, uid, "n") for name, uid in uids.items()]) == [None] * 5
    revisions = {(await client.get(PODS, name, "g")).metadata.resource_version for name in uids}
    assert len(revisions) == 5


async def test_approval_changes_conditions_only(client: LocalClient) -> None:
    csr = await client.create(CERTIFICATE_SIGNING_REQUESTS, _csr())
    assert csr["spec"]["username"] == "system:longboat:control-plane"
    approved = {"type": "Approved", "status": "True", "reason": "test"}
    change = {"status": {"conditions": [approved], "certificate": "eA=="}, "spec": {"username": "me"}}
    now = await client.patch(CERTIFICATE_SIGNING_REQUESTS, "c", change, subresource="approval")
    assert now["spec"] == csr["spec"]
    assert [condition["type"] for condition in now["status"]["conditions"]] == ["Approved"]
    assert "certificate" not in now["status"]
    issued = await client.patch(
        CERTIFICATE_SIGNING_REQUESTS, "c", {"status": {"certificate": "eA=="}}, subresource="status"
    )
    assert issued["status"]["certificate"] == "eA=="


def _csr() -> JSON:
    import base64

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")])
    request = x509.CertificateSigningRequestBuilder().subject_name(name)
    pem = request.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256()).public_bytes(
        serialization.Encoding.PEM
    )
    spec = {"request": base64.b64encode(pem).decode(), "usages": ["client auth"], "signerName": "example.com/x"}
    return {"metadata": {"name": "c"}, "spec": {**spec, "username": "somebody else"}}


async def test_a_namespace_ends_when_its_finalizer_is_taken_off(client: LocalClient) -> None:
    await client.create(CONFIG_MAPS, _cm(), "g")
    await client.delete(NAMESPACES, "g")
    namespace = await client.get(NAMESPACES, "g")
    assert namespace.status.phase == "Terminating"
    with pytest.raises(Forbidden, match="unable to create new content in namespace g because it is being terminated"):
        await client.create(CONFIG_MAPS, _cm("b"), "g")
    await client.delete(CONFIG_MAPS, "a", "g")
    await client.replace(NAMESPACES, {"metadata": {"name": "g"}, "spec": {"finalizers": []}}, subresource="finalize")
    with pytest.raises(NotFound):
        await client.get(NAMESPACES, "g")


async def test_an_agent_may_not_take_its_taints_off(api: ApiServer, client: LocalClient) -> None:
    await client.create(NODES, {"metadata": {"name": "n"}})
    agent = LocalClient(api, User("system:node:n", ("system:nodes",)))
    await agent.patch(NODES, "n", {"metadata": {"labels": {"x": "y"}}})
    with pytest.raises(Forbidden):
        await agent.patch(NODES, "n", {"spec": {"taints": None}})
    with pytest.raises(Forbidden):
        await agent.create(NODES, {"metadata": {"name": "m"}})


async def test_events_end_with_their_lease_and_live_anew_when_repeated(api: ApiServer, client: LocalClient) -> None:
    puts = []
    real = api.store.txn

    async def txn(compare: Any, ops: Any) -> Any:
        puts.extend(op for op in ops if isinstance(op, Put))
        return await real(compare, ops)

    api.store.txn = txn  # type: ignore[method-assign]
    about = {"kind": "Pod", "namespace": "g", "name": "p"}
    event = {"metadata": {"name": "e"}, "involvedObject": about, "reason": "R", "message": "m", "type": "Normal"}
    await client.create(EVENTS, event, "g")
    await client.patch(EVENTS, "e", {"count": 2}, "g")
    await client.create(CONFIG_MAPS, _cm(), "g")
    assert puts[0].lease == puts[1].lease != 0
    assert puts[2].lease == 0
    await api.store.lease_revoke(puts[0].lease)
    await api.cache.wait(await api.store.revision())
    with pytest.raises(NotFound):
        await client.get(EVENTS, "e", "g")


async def test_a_nodes_lease_is_not_detached_by_a_write(client: LocalClient) -> None:
    await client.create(NAMESPACES, {"metadata": {"name": "kube-node-lease"}})
    await client.create(LEASES, {"metadata": {"name": "n"}, "spec": {"holderIdentity": "n"}}, "kube-node-lease")
    with pytest.raises(Forbidden, match="only heartbeats write the Lease of a node"):
        await client.patch(LEASES, "n", {"metadata": {"labels": {"x": "y"}}}, "kube-node-lease")
    await client.create(LEASES, {"metadata": {"name": "n"}, "spec": {"holderIdentity": "n"}}, "g")
    await client.patch(LEASES, "n", {"metadata": {"labels": {"x": "y"}}}, "g")


async def test_subresources_that_a_kind_has_not(client: LocalClient) -> None:
    await client.create(CONFIG_MAPS, _cm(), "g")
    with pytest.raises(NotFound):
        await client.patch(CONFIG_MAPS, "a", {}, "g", subresource="status")
    with pytest.raises((NotFound, MethodNotAllowed)):
        await client.create(PODS, POD, "g", name="p", subresource="status")


@pytest.mark.parametrize("type", [PatchType.MERGE, PatchType.STRATEGIC, PatchType.JSON], ids=lambda type: type.name)
@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("replicas", "x", "cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32"),
        ("frob", 1, 'strict decoding error: unknown field "spec.frob"'),
    ],
    ids=["wrong type", "unknown field"],
)
async def test_a_patch_that_makes_nonsense_is_invalid(
    api: ApiServer, client: LocalClient, type: PatchType, field: str, value: Any, said: str
) -> None:
    await client.create(DEPLOYMENTS, DEPLOYMENT, "g")
    body: Any = {"spec": {field: value}}
    if type is PatchType.JSON:
        body = [{"op": "add", "path": f"/spec/{field}", "value": value}]
    request = Request(User("u"), client.kind_of(DEPLOYMENTS), "g", "d", "", WriteOptions(field_validation="Strict"))
    with pytest.raises(Invalid) as refused:
        await patch.patch(api, request, type.value, body)
    (cause,) = refused.value.causes
    assert (cause.reason, cause.field) == ("FieldValueInvalid", "patch")
    assert cause.message.startswith("Invalid value: ")
    assert cause.message.endswith(said)


async def test_the_last_taint_leaves_nothing_behind(client: LocalClient) -> None:
    await client.create(NODES, {"metadata": {"name": "n"}, "spec": {"taints": [{"key": "k", "effect": "NoSchedule"}]}})
    now = await client.patch(NODES, "n", {"spec": {"taints": []}})
    assert now["spec"] == {}

"""The OpenAPI documents: whole, and with what kubectl looks for."""

import json
from typing import Any

import pytest

from controlplane.apiserver.kinds.table import KINDS
from controlplane.apiserver.openapi.documents import builtin, by_root, index
from controlplane.apiserver.openapi.schemas import root_of

ROOTS = list(builtin())


def document(root: str) -> Any:
    return json.loads(builtin()[root].plain())


def test_the_index_names_every_group_version_with_a_hash() -> None:
    paths = json.loads(index(builtin(), {"apis/other.example/v1": "hash=X"}))["paths"]
    assert {"api", "apis", "version", "apis/apps", *by_root(KINDS)} <= set(paths)
    assert paths.pop("apis/other.example/v1")["serverRelativeURL"] == "/openapi/v3/apis/other.example/v1?hash=X"
    for root, entry in paths.items():
        assert entry["serverRelativeURL"] == f"/openapi/v3/{root}?hash={builtin()[root].hash}"


def test_operation_ids_are_used_once() -> None:
    ids = [
        operation["operationId"]
        for root in ROOTS
        for item in document(root)["paths"].values()
        for method, operation in item.items()
        if method != "parameters"
    ]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("root", ROOTS)
def test_every_reference_is_in_the_document_and_no_type_is_a_list(root: str) -> None:
    doc = document(root)
    schemas = doc["components"]["schemas"]

    def walk(tree: Any) -> None:
        if isinstance(tree, dict):
            if "$ref" in tree and isinstance(tree["$ref"], str):
                assert len(tree) == 1
                assert tree["$ref"].removeprefix("#/components/schemas/") in schemas
            for key, value in tree.items():
                assert key != "type" or isinstance(value, str | dict)
                walk(value)
        elif isinstance(tree, list):
            for item in tree:
                walk(item)

    walk(doc)


@pytest.mark.parametrize("kind", [k for k in KINDS if "patch" in k.verbs], ids=lambda kind: kind.resource.kind)
def test_kubectl_finds_patch_with_its_parameters_and_the_kinds_schema(kind: Any) -> None:
    resource = kind.resource
    gvk = {"group": resource.group, "version": resource.version, "kind": resource.kind}
    doc = document(root_of(kind))
    patches = [
        item["patch"]
        for path, item in doc["paths"].items()
        if path.endswith(f"/{resource.plural}/{{name}}") and item["patch"]["x-kubernetes-group-version-kind"] == gvk
    ]
    assert len(patches) == 1
    assert {"fieldValidation", "dryRun", "fieldManager"} <= {
        parameter["name"] for parameter in patches[0]["parameters"]
    }
    assert "application/strategic-merge-patch+json" in patches[0]["requestBody"]["content"]
    assert any(
        schema.get("x-kubernetes-group-version-kind") == [gvk] for schema in doc["components"]["schemas"].values()
    )


def test_schemas_keep_what_a_client_reads() -> None:
    schemas = document("api/v1")["components"]["schemas"]
    spec = schemas["io.k8s.api.core.v1.PodSpec"]
    assert spec["properties"]["containers"]["x-kubernetes-patch-merge-key"] == "name"
    assert spec["required"] == ["containers"]
    pod = schemas["io.k8s.api.core.v1.Pod"]
    assert pod["description"]
    assert "enum" not in pod["properties"]["kind"]
    assert pod["properties"]["spec"]["allOf"] == [{"$ref": "#/components/schemas/io.k8s.api.core.v1.PodSpec"}]
    assert schemas["io.k8s.apimachinery.pkg.util.intstr.IntOrString"]["format"] == "int-or-string"

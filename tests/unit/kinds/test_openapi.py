"""The OpenAPI documents: whole, and with what kubectl looks for."""

import json
from typing import Any

import pytest

from controlplane.apiserver import openapi
from controlplane.apiserver.kinds.table import KINDS

ROOTS = list(openapi.index()["paths"])


def document(root: str) -> Any:
    return json.loads(openapi.document(root))


def test_the_index_names_every_group_version_with_a_hash() -> None:
    paths = openapi.index(KINDS)["paths"]
    assert {"api/v1", "apis/apps/v1"} <= set(paths)
    for root, entry in paths.items():
        assert entry["serverRelativeURL"].startswith(f"/openapi/v3/{root}?hash=")


def test_documents_are_found_by_either_name() -> None:
    assert openapi.document("v1") is openapi.document("api/v1") is openapi.document("/api/v1/")
    assert openapi.document("apps/v1") is openapi.document("apis/apps/v1")
    with pytest.raises(KeyError):
        openapi.document("apis/nope/v1")


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
    doc = document(f"{resource.group}/{resource.version}" if resource.group else resource.version)
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
    schemas = document("v1")["components"]["schemas"]
    spec = schemas["io.k8s.api.core.v1.PodSpec"]
    assert spec["properties"]["containers"]["x-kubernetes-patch-merge-key"] == "name"
    assert spec["required"] == ["containers"]
    pod = schemas["io.k8s.api.core.v1.Pod"]
    assert pod["description"]
    assert "enum" not in pod["properties"]["kind"]
    assert pod["properties"]["spec"]["allOf"] == [{"$ref": "#/components/schemas/io.k8s.api.core.v1.PodSpec"}]
    assert schemas["io.k8s.apimachinery.pkg.util.intstr.IntOrString"]["format"] == "int-or-string"

"""What another API server says that it serves, in the form of aggregated discovery (apidiscovery.k8s.io/v2). Pure.

What does not look as it must is left out: a broken server must not break discovery for everybody.
"""

from __future__ import annotations

from typing import Any

from shared.api.meta import JSON


def resources(listed: Any, group: str, version: str) -> list[JSON]:
    """The resources of an APIResourceList."""
    found: dict[str, JSON] = {}
    entries = listed.get("resources") if isinstance(listed, dict) else None
    usable = [each for each in entries or () if isinstance(each, dict) and isinstance(each.get("name"), str)]
    for each in usable:
        if "/" in each["name"]:
            continue
        entry: JSON = {
            "resource": each["name"],
            "responseKind": _kind(each, group, version),
            "scope": "Namespaced" if each.get("namespaced") else "Cluster",
            "singularResource": str(each.get("singularName") or ""),
            "verbs": _texts(each.get("verbs")),
        }
        for field in ("shortNames", "categories"):
            if texts := _texts(each.get(field)):
                entry[field] = texts
        found[each["name"]] = entry
    for each in usable:
        name, _, subresource = each["name"].partition("/")
        if subresource and name in found:
            found[name].setdefault("subresources", []).append(
                {
                    "subresource": subresource, "responseKind": _kind(each, group, version),
                    "verbs": _texts(each.get("verbs")),
                }
            )  # fmt: skip
    return list(found.values())


def document(listed: Any, path: str) -> str:
    """The query of the OpenAPI v3 document of ``path`` (``/apis/GROUP/VERSION``); empty without one."""
    paths = listed.get("paths") if isinstance(listed, dict) else None
    entry = paths.get(path.lstrip("/")) if isinstance(paths, dict) else None
    url = entry.get("serverRelativeURL") if isinstance(entry, dict) else None
    return (url.partition("?")[2] or "hash=") if isinstance(url, str) else ""


def _kind(entry: JSON, group: str, version: str) -> JSON:
    return {
        "group": str(entry.get("group") or group),
        "version": str(entry.get("version") or version),
        "kind": str(entry.get("kind") or ""),
    }


def _texts(value: Any) -> list[str]:
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []

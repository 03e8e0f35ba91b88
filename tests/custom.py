"""CustomResourceDefinitions for tests: an API server with their controllers, and definitions to begin with."""

from __future__ import annotations

import asyncio
import copy
from typing import Any

from controlplane.apiserver.api import ApiServer
from controlplane.apiserver.local_client import LocalClient
from controlplane.controllers.custom_resources import CustomResourceFinalizer, CustomResourceNames
from controlplane.controllers.runner import run_controllers
from shared.api.kinds import CUSTOM_RESOURCE_DEFINITIONS
from shared.work.clock import SystemClock

FACTORIES = {"crd-naming": CustomResourceNames, "crd-finalizer": CustomResourceFinalizer}

CRON = {
    "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
    "metadata": {"name": "crontabs.stable.example.com"},
    "spec": {
        "group": "stable.example.com", "scope": "Namespaced",
        "names": {"plural": "crontabs", "singular": "crontab", "kind": "CronTab", "shortNames": ["ct"],
                  "categories": ["all"]},
        "versions": [
            {
                "name": "v1", "served": True, "storage": True,
                "subresources": {
                    "status": {},
                    "scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas",
                              "labelSelectorPath": ".status.labelSelector"},
                },
                "selectableFields": [{"jsonPath": ".spec.image"}],
                "additionalPrinterColumns": [
                    {"name": "Spec", "type": "string", "jsonPath": ".spec.cronSpec"},
                    {"name": "Replicas", "type": "integer", "jsonPath": ".spec.replicas", "priority": 1},
                    {"name": "Ready", "type": "string",
                     "jsonPath": '.status.conditions[?(@.type=="Ready")].status'},
                    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
                ],
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": {
                                "type": "object", "required": ["cronSpec"],
                                "properties": {
                                    "cronSpec": {"type": "string", "pattern": r"^(\S+ ){4}\S+$",
                                                 "description": "When it runs."},
                                    "image": {"type": "string", "default": "busybox"},
                                    "replicas": {"type": "integer", "minimum": 0, "maximum": 10, "default": 1},
                                    "port": {"x-kubernetes-int-or-string": True},
                                    "env": {
                                        "type": "array", "x-kubernetes-list-type": "map",
                                        "x-kubernetes-list-map-keys": ["name"],
                                        "items": {"type": "object", "required": ["name"], "properties": {
                                            "name": {"type": "string"}, "value": {"type": "string"}}},
                                    },
                                    "anything": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                                },
                                "x-kubernetes-validations": [
                                    {"rule": "!has(self.port) || self.replicas < 5", "message": "too many for a port"},
                                    {"rule": "self.image == oldSelf.image", "message": "image is immutable",
                                     "reason": "FieldValueForbidden", "fieldPath": ".image"},
                                ],
                            },
                            "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                        },
                    },
                },
            },
        ],
    },
}  # fmt: skip


def definition(**spec: Any) -> Any:
    """A definition of CronTabs with some of its spec changed."""
    crd = copy.deepcopy(CRON)
    crd["spec"] |= spec
    return crd


def crontab(name: str = "a", **spec: Any) -> Any:
    spec = {"cronSpec": "* * * * *", **spec}
    return {"apiVersion": "stable.example.com/v1", "kind": "CronTab", "metadata": {"name": name}, "spec": spec}


async def controllers(api: ApiServer) -> None:
    """The controllers of definitions, until cancelled."""
    await run_controllers(LocalClient(api), SystemClock(), FACTORIES)


async def define(api: ApiServer, crd: Any) -> None:
    """Create a definition and wait until it is established."""
    client = LocalClient(api)
    await client.create(CUSTOM_RESOURCE_DEFINITIONS, crd)
    async with asyncio.timeout(5):
        async for event in client.watch(CUSTOM_RESOURCE_DEFINITIONS, resource_version="0"):
            if event.object.metadata.name == crd["metadata"]["name"] and event.object.has("Established"):
                return

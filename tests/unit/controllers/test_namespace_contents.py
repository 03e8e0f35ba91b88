"""What every namespace has, and which namespaces there always are."""

from datetime import UTC, datetime

import pytest

from controlplane.controllers import service_account, system_namespaces
from controlplane.controllers.service_account import View
from controlplane.controllers.writes import Create, Patch
from shared.api.core import ConfigMap, Namespace, NamespaceStatus, ServiceAccount
from shared.api.kinds import CONFIG_MAPS
from shared.api.meta import ObjectMeta

NS = Namespace(metadata=ObjectMeta(name="ns"), status=NamespaceStatus(phase="Active"))
GOING = Namespace(metadata=ObjectMeta(name="ns", deletion_timestamp=datetime(2026, 1, 1, tzinfo=UTC)))
ACCOUNT = ServiceAccount(metadata=ObjectMeta(name="default", namespace="ns"))
CONFIG_MAP = ConfigMap(data={"ca.crt": "PEM"})


def test_a_new_namespace_gets_account_and_ca():
    account, config_map = service_account.decide(View(NS, None, None), "PEM")
    assert isinstance(account, Create)
    assert (account.obj["kind"], account.obj["metadata"]["name"]) == ("ServiceAccount", "default")
    assert isinstance(config_map, Create)
    assert (config_map.obj["metadata"]["name"], config_map.obj["data"]) == ("kube-root-ca.crt", {"ca.crt": "PEM"})
    assert account.namespace == config_map.namespace == "ns"


@pytest.mark.parametrize(
    ("view", "writes"),
    [
        pytest.param(View(NS, ACCOUNT, CONFIG_MAP), (), id="complete"),
        pytest.param(View(GOING, None, None), (), id="terminating"),
        pytest.param(
            View(NS, ACCOUNT, ConfigMap(data={"ca.crt": "old", "more": "x"})),
            (Patch(CONFIG_MAPS, "kube-root-ca.crt", {"data": {"ca.crt": "PEM", "more": None}}, "ns"),),
            id="data-changed",
        ),
    ],
)
def test_decide(view, writes):
    assert service_account.decide(view, "PEM") == writes


@pytest.mark.parametrize(
    ("present", "made"),
    [
        pytest.param([], ["default", "kube-system", "kube-public", "kube-node-lease"], id="empty-cluster"),
        pytest.param(["default", "kube-system", "mine"], ["kube-public", "kube-node-lease"], id="some"),
        pytest.param(system_namespaces.NAMES, [], id="all"),
    ],
)
def test_system_namespaces(present, made):
    assert [write.obj["metadata"]["name"] for write in system_namespaces.decide(present)] == made

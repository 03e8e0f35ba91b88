"""Projected volumes: which files they have, and tokens that are replaced in time."""

from __future__ import annotations

import random
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent.pods.env import NO_OBJECTS, Objects, volume_references
from agent.pods.objects import ObjectCache
from agent.pods.status import NodeFacts
from agent.pods.volumes.atomic import File
from agent.pods.volumes.base import PodPaths, VolumeFailure
from agent.pods.volumes.pod_volumes import PodVolumes
from agent.pods.volumes.projected import projected_payload
from agent.pods.volumes.tokens import PodTokens
from shared.api.core import ConfigMap, Secret
from shared.api.errors import Forbidden, NotFound, ServiceUnavailable
from shared.api.pod import Pod, ServiceAccountTokenProjection
from shared.work.clock import FakeClock

NODE = NodeFacts("n1", "10.0.0.1", cpu_milli=2000, memory_bytes=1 << 30)
TOKEN = {"serviceAccountToken": {"path": "token"}}
CA = {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}}
FIELDS = {
    "downwardAPI": {
        "items": [
            {"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}},
            {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}, "mode": 0o400},
            {"path": "cpu", "resourceFieldRef": {"containerName": "c", "resource": "limits.cpu"}},
        ]
    }
}
SECRET = {"secret": {"name": "s", "optional": True}}
OBJECTS = Objects({"kube-root-ca.crt": ConfigMap(data={"ca.crt": "PEM", "more": "x"})}, {"s": None})


def pod(*sources: Any, **spec: Any) -> Pod:
    tree = {
        "metadata": {"name": "p", "namespace": "shop", "uid": "u", "labels": {"b": "2", "a": 'say "hi"'}},
        "spec": {
            "serviceAccountName": "robot",
            "containers": [{"name": "c"}],
            "volumes": [{"name": "v", "projected": {"sources": list(sources), "defaultMode": 0o644}}],
            **spec,
        },
    }
    return msgspec.convert(tree, Pod)


def payload(of: Pod, objects: Objects = OBJECTS) -> Any:
    source = of.spec.volumes[0].projected
    assert source is not None
    return projected_payload(source, of, objects, {ServiceAccountTokenProjection(path="token"): "TOKEN"}, NODE)


def test_all_sources_make_one_directory() -> None:
    assert payload(pod(TOKEN, CA, FIELDS, SECRET)) == {
        "token": File(b"TOKEN", 0o644),
        "ca.crt": File(b"PEM", 0o644),
        "namespace": File(b"shop", 0o644),
        "labels": File(b'a="say \\"hi\\""\nb="2"', 0o400),
        "cpu": File(b"2", 0o644),
    }


def test_the_pods_group_owns_its_files_and_only_it_reads_the_token() -> None:
    found = payload(pod(TOKEN, CA, securityContext={"fsGroup": 2000}))
    assert found == {"token": File(b"TOKEN", 0o640, 2000), "ca.crt": File(b"PEM", 0o644, 2000)}


def test_a_later_source_wins() -> None:
    secret = Secret(data={"token": b64encode(b"other").decode()})
    assert payload(pod(TOKEN, SECRET), Objects({}, {"s": secret}))["token"].content == b"other"


def test_what_it_refers_to() -> None:
    assert volume_references(pod(TOKEN, CA, FIELDS, SECRET)) == {("ConfigMap", "kube-root-ca.crt"), ("Secret", "s")}


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (CA, 'configmap "kube-root-ca.crt" not found'),
        ({"secret": {"name": "s"}}, 'secret "s" not found'),
        ({"downwardAPI": {"items": [{"path": "x", "fieldRef": {"fieldPath": "spec.x"}}]}}, "unsupported fieldPath"),
        ({"clusterTrustBundle": {"path": "x"}}, "does not know"),
    ],
)
def test_what_cannot_be_shown(source: Any, said: str) -> None:
    with pytest.raises(VolumeFailure, match=said):
        payload(pod(source), NO_OBJECTS)


# --- tokens

START = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


class Server:
    """The one verb that tokens need, as the API answers it."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock, self.asked, self.down = clock, [], None  # type: tuple[FakeClock, list[Any], StatusError | None]

    async def create(
        self, resource: Any, obj: Any, namespace: str = "", *, name: str = "", subresource: str = ""
    ) -> Any:
        if self.down is not None:
            raise self.down
        self.asked.append((resource.plural, namespace, name, subresource, obj["spec"]))
        ends = self.clock.now() + timedelta(seconds=obj["spec"]["expirationSeconds"])
        status = {"token": f"t{len(self.asked)}", "expirationTimestamp": ends.strftime("%Y-%m-%dT%H:%M:%SZ")}
        return obj | {"status": status}


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(START)


@pytest.fixture
def server(clock: FakeClock) -> Server:
    return Server(clock)


@pytest.fixture
def tokens(server: Server, clock: FakeClock) -> PodTokens:
    return PodTokens(server, clock, random.Random(7))  # type: ignore[arg-type]


def token(seconds: int, audience: str = "") -> dict[str, Any]:
    return {"serviceAccountToken": {"path": "token", "expirationSeconds": seconds, "audience": audience}}


async def test_a_token_is_asked_for_its_pod(tokens: PodTokens, server: Server) -> None:
    assert list((await tokens.of(pod(token(600, "vault"), CA))).values()) == ["t1"]
    bound = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u"}
    spec = {"audiences": ["vault"], "expirationSeconds": 600, "boundObjectRef": bound}
    assert server.asked == [("serviceaccounts", "shop", "robot", "token", spec)]


@pytest.mark.parametrize(
    ("seconds", "keeps", "replaced"),
    [(600, 469, 481), (3600, 2869, 2881), (7 * 86400, 86389, 86401)],
    ids=["80 % of ten minutes", "80 % of an hour", "a day"],
)
async def test_it_is_replaced_in_time(
    tokens: PodTokens, clock: FakeClock, seconds: int, keeps: int, replaced: int
) -> None:
    wanted = pod(token(seconds))
    assert list((await tokens.of(wanted)).values()) == ["t1"]
    clock.advance(keeps)
    assert list((await tokens.of(wanted)).values()) == ["t1"]
    clock.advance(replaced - keeps)
    assert list((await tokens.of(wanted)).values()) == ["t2"]


async def test_while_the_server_is_away_the_last_one_stands_in(
    tokens: PodTokens, server: Server, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    wanted = pod(token(600))
    await tokens.of(wanted)
    server.down = ServiceUnavailable("away")
    clock.advance(590)
    assert list((await tokens.of(wanted)).values()) == ["t1"]
    assert "t1" not in str([record.__dict__ for record in caplog.records])
    clock.advance(20)
    with pytest.raises(ServiceUnavailable):
        await tokens.of(wanted)
    server.down = NotFound("the account is gone")
    with pytest.raises(NotFound):
        await tokens.of(wanted)


async def test_a_restarted_agent_goes_on_with_what_the_files_hold(
    server: Server, clock: FakeClock, tmp_path: Path
) -> None:
    """The server is away, and a container that crashed needs its volumes again."""

    def volumes() -> PodVolumes:
        objects = ObjectCache(server, clock, ttl=60.0, copies=tmp_path / "copies")  # type: ignore[arg-type]
        tokens = PodTokens(server, clock, random.Random(7))  # type: ignore[arg-type]
        return PodVolumes(tmp_path, objects, tokens, NODE, memory=False)

    wanted = pod(token(600))
    await volumes().prepare(wanted)
    file = PodPaths(tmp_path, "u").secret("v") / "token"
    server.down = ServiceUnavailable("away")
    await volumes().prepare(wanted)
    assert file.read_text() == "t1"
    server.down = Forbidden("no")
    with pytest.raises(VolumeFailure, match='failed to fetch token of service account "shop"/"robot": no'):
        await volumes().prepare(wanted)
    server.down = None
    again = volumes()
    await again.prepare(wanted)
    assert file.read_text() == "t2"
    await again.cleanup("u")
    server.down = ServiceUnavailable("away")
    with pytest.raises(VolumeFailure, match="away"):
        await again.prepare(wanted)


async def test_an_ended_pod_leaves_nothing(tokens: PodTokens) -> None:
    await tokens.of(pod(token(600)))
    tokens.forget("u")
    assert list((await tokens.of(pod(token(600)))).values()) == ["t2"]

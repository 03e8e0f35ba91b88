"""The pods of one agent from end to end, on a host that only pretends (``tests.agent_host``)."""

import asyncio
import json
from base64 import b64encode
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent.network.base import PortMapping
from agent.pods.logs import PodLogs
from agent.runtime.base import ExecResult, RegistryAuth
from agent.tunnel import PodLogOptions
from shared.api.errors import BadRequest, NotFound
from shared.api.kinds import CONFIG_MAPS, PODS, SECRETS
from shared.client.base import PatchType
from tests.agent_host import Host, pod


async def test_a_pod_starts_and_its_status_is_a_kubelets(host: Host) -> None:
    async with host.agent():
        await host.create()
        await host.until(host.ready)
        found = host.pod()
        assert found is not None
        assert found.status.phase == "Running"
        assert found.status.pod_ip.startswith("10.7.0.")
        assert found.status.host_ip == "192.0.2.7"
        assert found.status.qos_class == "BestEffort"
        assert {c.type: c.status for c in found.status.conditions} == {
            "PodReadyToStartContainers": "True",
            "Initialized": "True",
            "Ready": "True",
            "ContainersReady": "True",
            **{c.type: c.status for c in found.status.conditions if c.type == "PodScheduled"},
        }
        told = host.status()
        assert told is not None
        assert told.started is True
        assert told.restart_count == 0
        assert told.container_id.startswith("docker://")
        assert told.state.running is not None
        assert (host.runtime.calls["create_container"], host.runtime.calls["start_container"]) == (1, 1)


async def test_events_tell_the_story_of_a_start(host: Host) -> None:
    async with host.agent() as agent:
        await host.create()
        await host.until(host.ready)
        await agent.tools.events.flush(10)
        assert [reason for reason, _ in await host.reasons()].count("Started") == 1
        assert {reason for reason, _ in await host.reasons()} == {"Pulling", "Pulled", "Created", "Started"}


async def test_a_warm_sandbox_is_used_and_replaced(host: Host) -> None:
    async with host.agent(warm_pool=2, warm_pool_minimum=1) as agent:
        await host.until(lambda: len(agent.tools.pool) == 1)
        warm = next(iter(agent.tools.pool)).sandbox.id
        await host.create()
        await host.until(host.ready)
        assert host.running()[0].sandbox_id == warm
        assert host.runtime.calls["claim_sandbox"] == 1
        assert host.runtime.specs[host.running()[0].id].hostname == "p"
        await host.until(lambda: len(agent.tools.pool) == 1)


async def test_the_sandbox_of_a_pod_that_ends_serves_the_next_one_at_another_address(host: Host) -> None:
    async with host.agent(warm_pool=1, warm_pool_minimum=1) as agent:
        await host.until(lambda: len(agent.tools.pool) == 1)
        await host.create()
        await host.until(host.ready)
        address = host.pod().status.pod_ip
        await host.until(lambda: len(agent.tools.pool) == 1)
        agent.tools.pool.take()  # the pool wants another one now
        used, made = host.running()[0].sandbox_id, host.runtime.calls["create_sandbox"]
        await host.client.delete(PODS, "p", "default", grace_period_seconds=0)
        await host.until(lambda: len(agent.tools.pool) == 1)
        assert host.runtime.calls["create_sandbox"] == made
        await host.create("next")
        await host.until(lambda: host.ready("next"))
        assert host.running()[0].sandbox_id == used
        assert host.pod("next").status.pod_ip not in ("", address)


async def test_a_crash_is_restarted_at_once_and_then_with_back_off(host: Host) -> None:
    async with host.agent():
        await host.create()
        await host.until(host.ready)
        host.runtime.end_container(host.running()[0].id, 1)
        await host.until(lambda: (s := host.status()) is not None and s.restart_count == 1 and s.state.running)
        host.runtime.end_container(host.running()[0].id, 1)
        await host.until(lambda: host.waiting() == "CrashLoopBackOff")
        told, found = host.status(), host.pod()
        assert told is not None
        assert found is not None
        assert told.state.waiting is not None
        assert told.state.waiting.message == (
            f"back-off 10s restarting failed container=c pod=p_default({found.metadata.uid})"
        )
        assert told.last_state.terminated is not None
        assert (told.last_state.terminated.exit_code, told.last_state.terminated.reason) == (1, "Error")
        assert host.phase() == "Running"
        await host.skip(10.1)
        await host.until(lambda: (s := host.status()) is not None and s.restart_count == 2 and s.state.running)
        assert len(host.runtime.containers) == 2, "one dead container is kept for --previous"


async def test_a_job_like_pod_succeeds_and_gives_its_sandbox_back(host: Host) -> None:
    async with host.agent():
        await host.create(restartPolicy="Never")
        await host.until(host.ready)
        host.runtime.end_container(host.running()[0].id, 0)
        await host.until(lambda: host.phase() == "Succeeded" and not host.runtime.sandboxes)
        assert len(host.runtime.containers) == 1, "its log can still be read"
        found = host.pod()
        assert found is not None
        assert found.status.pod_ip, "kept although the address is given back"
        await host.client.delete(PODS, "p", "default")
        await host.until(lambda: host.pod() is None and not host.runtime.containers)


async def test_init_containers_run_in_order_before_the_others(host: Host) -> None:
    inits = [{"name": "first", "image": "i"}, {"name": "second", "image": "i"}]
    async with host.agent():
        await host.create(initContainers=inits)
        await host.until(lambda: host.running("first"))
        await host.until(lambda: host.waiting() == "PodInitializing")
        assert not host.running("second")
        host.runtime.end_container(host.running("first")[0].id, 0)
        await host.until(lambda: host.running("second"))
        assert not host.running()
        host.runtime.end_container(host.running("second")[0].id, 0)
        await host.until(host.ready)


async def test_deletion_stops_within_the_grace_and_then_removes_everything(host: Host) -> None:
    async with host.agent() as agent:
        created = await host.create()
        await host.until(host.ready)
        await host.client.delete(PODS, "p", "default")
        await host.until(lambda: host.pod() is None)
        assert not host.runtime.containers
        assert not host.runtime.sandboxes
        await host.until(lambda: not agent.states)
        assert not (host.data_dir / "pods" / created.metadata.uid).exists()


async def test_forced_deletion_cuts_a_long_grace_short(host: Host) -> None:
    host.runtime.ignores_term.add("c")
    async with host.agent() as agent:
        await host.create()
        await host.until(host.ready)
        await host.client.delete(PODS, "p", "default")
        await host.until(lambda: any(s.stopping for s in agent.states.values()))
        assert host.running()
        await host.client.delete(PODS, "p", "default", grace_period_seconds=0)
        await host.until(lambda: not host.runtime.containers and not agent.states)


async def test_a_pod_deleted_while_the_host_was_cut_off_goes_at_once(host: Host) -> None:
    host.runtime.ignores_term.add("c")
    async with host.agent():
        await host.create()
        await host.until(host.ready)
    await host.client.delete(PODS, "p", "default")
    host.clock.offset += 60
    async with host.agent():
        await host.until(lambda: host.pod() is None and not host.runtime.containers, 3)


@pytest.mark.parametrize("online", [True, False], ids=["server there", "server away"])
async def test_an_agent_restart_changes_nothing(host: Host, online: bool) -> None:
    async with host.agent():
        await host.create()
        await host.until(host.ready)
    before = dict(host.runtime.containers), dict(host.runtime.sandboxes)
    version = host.pod().metadata.resource_version  # type: ignore[union-attr]
    async with host.agent(online) as agent:
        await agent.look()
        if online:
            await host.until(lambda: all(s.authoritative and s.reported for s in agent.states.values()))
        assert (dict(host.runtime.containers), dict(host.runtime.sandboxes)) == before
        assert host.pod().metadata.resource_version == version  # type: ignore[union-attr]


async def test_a_crash_while_the_server_is_away_is_restarted_from_the_local_copy(
    host: Host,
) -> None:
    conf = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "conf", "namespace": "default"}}
    await host.client.create(CONFIG_MAPS, conf | {"data": {"a": "yes"}}, "default")
    reference = {"name": "A", "valueFrom": {"configMapKeyRef": {"name": "conf", "key": "a"}}}
    async with host.agent():
        await host.create(containers=[{"name": "c", "image": "app:1", "env": [reference]}])
        await host.until(host.ready)
    host.runtime.end_container(host.running()[0].id, 1)
    host.reachable.clear()
    async with host.agent(online=False):
        await host.until(host.running)
        assert dict(host.runtime.specs[host.running()[0].id].env)["A"] == "yes"


async def test_nothing_is_stopped_before_the_first_list_and_orphans_go_after_it(host: Host) -> None:
    async with host.agent():
        await host.create()
        await host.until(host.ready)
    await host.client.delete(PODS, "p", "default", grace_period_seconds=0)
    await host.until(lambda: host.pod() is None)
    for copy in (host.data_dir / "pods").glob("*/pod.json"):
        copy.unlink()
    async with host.agent(online=False) as agent:
        await agent.look()
        assert host.running()
    async with host.agent():
        await host.until(lambda: not host.runtime.containers and not host.runtime.sandboxes)


async def test_an_image_that_cannot_be_pulled_is_told_and_heals(host: Host) -> None:
    host.runtime.missing_images.add("app:1")
    async with host.agent() as agent:
        await host.create()
        await host.until(lambda: host.waiting() in ("ErrImagePull", "ImagePullBackOff"))
        await host.until(lambda: host.waiting() == "ImagePullBackOff")
        told = host.status()
        assert told is not None
        assert told.state.waiting is not None
        assert told.state.waiting.message.startswith('Back-off pulling image "app:1": ErrImagePull: pull access denied')
        await host.until(lambda: not any(s.pulls for s in agent.states.values()))
        host.runtime.missing_images.clear()
        await host.skip(10.1)
        await host.until(host.ready)


async def test_an_absent_image_with_pull_policy_never_is_refused(host: Host) -> None:
    async with host.agent():
        await host.create(containers=[{"name": "c", "image": "app:1", "imagePullPolicy": "Never"}])
        await host.until(lambda: host.waiting() == "ErrImageNeverPull")
        await host.runtime.pull_image("app:1")
        await host.until(host.ready)


async def test_a_missing_config_map_key_is_told_and_heals(host: Host) -> None:
    reference = {"name": "A", "valueFrom": {"configMapKeyRef": {"name": "conf", "key": "a"}}}
    async with host.agent():
        await host.create(containers=[{"name": "c", "image": "app:1", "env": [reference]}])
        await host.until(lambda: host.waiting() == "CreateContainerConfigError")
        assert host.status().state.waiting.message == 'configmap "conf" not found'  # type: ignore[union-attr]
        conf = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "conf", "namespace": "default"}}
        await host.client.create(CONFIG_MAPS, conf | {"data": {"b": "1"}}, "default")
        text = "couldn't find key a in ConfigMap default/conf"
        await host.until(lambda: (w := host.status().state.waiting) is not None and w.message == text)  # type: ignore[union-attr]
        await host.client.patch(CONFIG_MAPS, "conf", {"data": {"a": "yes"}}, "default")
        await host.until(host.ready, 20)
        assert dict(host.runtime.specs[host.running()[0].id].env)["A"] == "yes"


async def test_config_map_and_secret_files_follow_their_objects(host: Host) -> None:
    meta = {"namespace": "default", "name": "x"}
    await host.client.create(
        CONFIG_MAPS, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"a": "1"}}, "default"
    )
    await host.client.create(
        SECRETS, {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": {"s": "t0p"}}, "default"
    )
    volumes = [{"name": "conf", "configMap": {"name": "x"}}, {"name": "key", "secret": {"secretName": "x"}}]
    mounts = [{"name": "conf", "mountPath": "/conf"}, {"name": "key", "mountPath": "/key"}]
    async with host.agent():
        await host.create(volumes=volumes, containers=[{"name": "c", "image": "app:1", "volumeMounts": mounts}])
        await host.until(host.ready)
        mounted = {m.target: m for m in host.runtime.specs[host.running()[0].id].mounts}
        conf, key = Path(mounted["/conf"].source), Path(mounted["/key"].source)
        assert (conf / "a").read_text() == "1"
        assert (key / "s").read_text() == "t0p"
        assert mounted["/conf"].read_only
        hosts = Path(mounted["/etc/hosts"].source).read_text()
        assert hosts.startswith("# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n")
        assert hosts.endswith("\tp\n")
        await host.client.patch(CONFIG_MAPS, "x", {"data": {"a": "2"}}, "default")
        await host.until(lambda: (conf / "a").read_text() == "2")
        await host.client.delete(PODS, "p", "default")
        await host.until(lambda: host.pod() is None)
        assert not key.exists()


async def test_a_failed_liveness_probe_restarts_the_container(host: Host) -> None:
    probe = {"exec": {"command": ["check"]}, "periodSeconds": 1, "failureThreshold": 1}
    host.runtime.exec_results["c"] = ExecResult(0, b"")
    async with host.agent() as agent:
        await host.create(containers=[{"name": "c", "image": "app:1", "livenessProbe": probe}])
        await host.until(host.ready)
        host.runtime.exec_results["c"] = ExecResult(1, b"bad")
        await host.until(lambda: (s := host.status()) is not None and s.restart_count >= 1)
        await agent.tools.events.flush(10)
        assert ("Unhealthy", "Liveness probe failed: bad") in await host.reasons()
        assert ("Killing", "Container c failed liveness probe, will be restarted") in await host.reasons()


async def test_readiness_follows_its_probe_and_waits_for_the_startup_probe(host: Host) -> None:
    startup = {"exec": {"command": ["up"]}, "periodSeconds": 1, "failureThreshold": 60}
    readiness = {"exec": {"command": ["ok"]}, "periodSeconds": 1, "failureThreshold": 1}
    host.runtime.exec_results["c"] = ExecResult(1, b"")
    async with host.agent():
        await host.create(
            containers=[{"name": "c", "image": "app:1", "startupProbe": startup, "readinessProbe": readiness}]
        )
        await host.until(lambda: (s := host.status()) is not None and s.state.running and s.started is False)
        host.runtime.exec_results["c"] = ExecResult(0, b"")
        await host.until(host.ready)
        host.runtime.exec_results["c"] = ExecResult(1, b"")
        await host.until(lambda: not host.ready())
        assert host.status().restart_count == 0  # type: ignore[union-attr]


async def test_readiness_survives_an_agent_restart(host: Host) -> None:
    probe = {"exec": {"command": ["ok"]}, "periodSeconds": 3600}
    async with host.agent():
        await host.create(containers=[{"name": "c", "image": "app:1", "readinessProbe": probe}])
        await host.until(host.ready)
    seen: list[bool] = []
    host.pods.add_handler(lambda old, new: seen.append(host.ready()))
    async with host.agent() as agent:
        await host.until(lambda: all(s.reported for s in agent.states.values()))
        await agent.look()
    assert all(seen)


@pytest.mark.parametrize("what", ["container", "sandbox", "engine"])
async def test_what_disappears_comes_back(host: Host, what: str) -> None:
    async with host.agent():
        await host.create()
        await host.until(host.ready)
        first = host.running()[0]
        if what == "container":
            host.runtime.lose_container(first.id)
        elif what == "sandbox":
            host.runtime.kill_sandbox(first.sandbox_id)
        else:
            host.runtime.restart_engine()
        await host.until(lambda: [i for i in host.running() if i.id != first.id] and host.ready())
        await host.until(lambda: host.status().restart_count == 1)  # type: ignore[union-attr]
        assert len(host.running()) == 1
        assert len(host.runtime.sandboxes) == 1


async def test_an_engine_that_is_away_for_a_while_is_waited_for(host: Host) -> None:
    async with host.agent():
        host.runtime.available = False
        await host.create()
        await host.until(lambda: host.runtime.calls.get("create_sandbox", 0) >= 2)
        host.runtime.available = True
        await host.until(host.ready)


async def test_a_changed_image_replaces_the_container(host: Host) -> None:
    async with host.agent():
        await host.create()
        await host.until(host.ready)
        spec = {"spec": {"containers": [{"name": "c", "image": "app:2"}]}}
        await host.client.patch(PODS, "p", spec, "default", type=PatchType.STRATEGIC)
        await host.until(lambda: [i for i in host.running() if i.image == "app:2"] and host.ready())
        assert len(host.running()) == 1


async def test_a_command_that_cannot_start_is_a_start_error_with_back_off(host: Host) -> None:
    host.runtime.start_failures["c"] = "exec: not found"
    async with host.agent():
        await host.create()
        await host.until(lambda: host.waiting() == "CrashLoopBackOff")
        told = host.status()
        assert told is not None
        assert told.last_state.terminated is not None
        assert (told.last_state.terminated.reason, told.last_state.terminated.exit_code) == ("StartError", 128)
        host.runtime.start_failures.clear()
        await host.skip(10.1)
        await host.until(host.ready)


async def test_host_ports_are_published(host: Host) -> None:
    ports = [{"containerPort": 80, "hostPort": 8080}]
    async with host.agent():
        created = await host.create(containers=[{"name": "c", "image": "app:1", "ports": ports}])
        await host.until(host.ready)
        assert host.network.published[created.metadata.uid] == (PortMapping(8080, 80, "TCP", ""),)


async def test_logs_are_those_of_the_latest_or_the_previous_instance(host: Host) -> None:
    async with host.agent() as agent:
        await host.create()
        await host.until(host.ready)
        logs = PodLogs(host.runtime, lambda: agent.states)
        uid = host.pod().metadata.uid  # type: ignore[union-attr]
        with pytest.raises(BadRequest, match="previous terminated container"):
            logs.logs("default", "p", uid, "c", PodLogOptions(previous=True))
        with pytest.raises(NotFound):
            logs.logs("default", "q", "other", "c", PodLogOptions())
        first = host.running()[0].id
        host.runtime.end_container(first, 1)
        await host.until(lambda: (s := host.status()) is not None and s.restart_count == 1 and s.state.running)
        text = b"".join([piece async for piece in logs.logs("default", "p", uid, "c", PodLogOptions(previous=True))])
        assert first.encode() in text
        text = b"".join([piece async for piece in logs.logs("default", "p", uid, "c", PodLogOptions())])
        assert host.running()[0].id.encode() in text


async def test_a_status_that_somebody_else_changed_is_put_right(host: Host) -> None:
    async with host.agent():
        await host.create()
        await host.until(host.ready)
        when = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        lost = {"status": {"conditions": [{"type": "Ready", "status": "False", "lastTransitionTime": when}]}}
        await host.client.patch(PODS, "p", lost, "default", type=PatchType.STRATEGIC, subresource="status")
        await host.until(host.ready)


async def test_sixty_pods_start_and_end(host: Host) -> None:
    async with host.agent(warm_pool=10, warm_pool_minimum=2) as agent:
        names = [f"p{number}" for number in range(60)]
        await asyncio.gather(*(host.client.create(PODS, pod(name), "default") for name in names))
        await host.until(lambda: all(host.ready(name) for name in names), 20)
        assert len({p.status.pod_ip for p in host.pods}) == 60
        assert host.runtime.calls["create_container"] == 60
        assert host.runtime.calls["list_containers"] <= 5, "a start asks the engine for nothing"
        await asyncio.gather(*(host.client.delete(PODS, name, "default") for name in names))
        await host.until(lambda: len(host.pods) == 0 and not host.runtime.containers and not agent.states, 20)


async def test_a_private_image_is_pulled_with_the_pods_secret(host: Host) -> None:
    host.runtime.private_images["r.example/app:1"] = RegistryAuth("user", "s3cret")
    pod = {"containers": [{"name": "c", "image": "r.example/app:1"}], "imagePullSecrets": [{"name": "pull"}]}
    async with host.agent() as agent:
        await host.create(**pod)
        await host.until(lambda: host.waiting() in ("ErrImagePull", "ImagePullBackOff"))
        auths = json.dumps({"auths": {"r.example": {"username": "user", "password": "s3cret"}}}).encode()
        secret = {
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "pull", "namespace": "default"},
            "type": "kubernetes.io/dockerconfigjson", "data": {".dockerconfigjson": b64encode(auths).decode()},
        }  # fmt: skip
        await host.client.create(SECRETS, secret, "default")
        await host.skip(10.1)
        await host.until(host.ready)
        await agent.tools.events.flush(10)
    told = "Unable to retrieve some image pull secrets (pull); attempting to pull the image may not succeed."
    assert ("FailedToRetrieveImagePullSecret", told) in await host.reasons()


async def test_a_pod_whose_time_is_over_fails(host: Host) -> None:
    async with host.agent() as agent:
        await host.create(activeDeadlineSeconds=60)
        await host.until(host.ready)
        await host.skip(50)
        assert host.phase() == "Running"
        await host.skip(10.1)
        await host.until(lambda: host.phase() == "Failed" and not host.running())
        found = host.pod()
        assert found is not None
        assert found.status.reason == "DeadlineExceeded"
        await agent.tools.events.flush(10)
        told = "Pod was active on the node longer than the specified deadline"
        assert ("DeadlineExceeded", told) in await host.reasons()

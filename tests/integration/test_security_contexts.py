"""Security contexts and shared namespaces, as processes of real containers find them."""

import json
import os
from pathlib import Path

import pytest

from tests.cluster import eventually
from tests.docker_cluster import IMAGE


@pytest.fixture(scope="module")
def host(docker_cluster):
    return docker_cluster


def inside(host, pod, command, container="c"):
    done = host.run("exec", pod, "-c", container, "--", "sh", "-c", command)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode().strip()


def apply(host, name, containers, **spec):
    filled = [{"name": "c", "image": IMAGE, "command": ["sleep", "1000000"]} | each for each in containers]
    tree = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}}
    host.cluster.apply(tree | {"spec": {"terminationGracePeriodSeconds": 0, "containers": filled, **spec}})


def waiting(host, name):
    """Reason and message of why the container waits."""

    def look():
        listed = host.cluster.get("pod", name)["status"].get("containerStatuses") or [{}]
        found = listed[0].get("state", {}).get("waiting", {})
        return found if found.get("message") else None

    found = eventually(look, f"{name} waits", timeout=30, interval=0.1)
    return found["reason"], found["message"]


def failed(host, name):
    def look():
        status = host.cluster.get("pod", name)["status"]
        return status if status["phase"] == "Failed" else None

    status = eventually(look, f"{name} failed", timeout=30, interval=0.1)
    return status["reason"], status["message"]


def test_users_groups_capabilities_and_the_root_file_system(host):
    own = {
        "runAsUser": 1234,
        "readOnlyRootFilesystem": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    mighty = {"runAsUser": 0, "capabilities": {"add": ["NET_ADMIN"]}, "seccompProfile": {"type": "Unconfined"}}
    host.run_pod(
        "rights",
        {"securityContext": own},
        {"name": "d", "securityContext": mighty},
        securityContext={"runAsGroup": 5678, "supplementalGroups": [4321], "fsGroup": 8765},
    )
    assert inside(host, "rights", "id -u; id -g; id -G").split() == ["1234", "5678", "5678", "4321", "8765"]
    status = "grep -E '^(CapBnd|NoNewPrivs|Seccomp):' /proc/1/status"
    assert inside(host, "rights", status).split() == ["CapBnd:", "0" * 16, "NoNewPrivs:", "1", "Seccomp:", "2"]
    assert "Read-only file system" in inside(host, "rights", "touch /x 2>&1; true")
    words = inside(host, "rights", status, "d").split()
    assert int(words[1], 16) & 1 << 12, "CAP_NET_ADMIN"
    assert words[2:] == ["NoNewPrivs:", "0", "Seccomp:", "0"]
    assert inside(host, "rights", "id -u", "d") == "0"


def test_a_root_image_does_not_run_as_non_root_and_does_once_it_says_another_user(host):
    apply(host, "nonroot", [{"securityContext": {"runAsNonRoot": True}}])
    reason, message = waiting(host, "nonroot")
    uid = host.cluster.get("pod", "nonroot")["metadata"]["uid"]
    assert reason == "CreateContainerConfigError"
    where = f'(pod: "nonroot_default({uid})", container: c)'
    assert message == f"container has runAsNonRoot and image will run as root {where}"
    events = eventually(lambda: _events(host, "nonroot", "Failed"), "an event", timeout=20)
    assert events[0]["message"] == f"Error: {message}"
    host.run_pod("nonroot-1000", {"securityContext": {"runAsNonRoot": True, "runAsUser": 1000}})
    assert inside(host, "nonroot-1000", "id -u") == "1000"


def _events(host, name, reason):
    selector = f"involvedObject.name={name},reason={reason}"
    done = host.cluster.kubectl("get", "events", f"--field-selector={selector}", "-o", "json")
    return json.loads(done.stdout)["items"]


def host_has_all_capabilities():
    """Hosts that are containers themselves may lack some, and their engine then starts nothing privileged."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("CapBnd"))
    last = int(Path("/proc/sys/kernel/cap_last_cap").read_text())
    return int(line.split()[1], 16) == (1 << (last + 1)) - 1


def test_privileged_containers_may_change_the_kernel_where_the_host_may_grant_it(host):
    setting = "/proc/sys/net/ipv4/ip_forward"
    host.run_pod("plain")
    assert "Read-only" in inside(host, "plain", f"sh -c 'echo 1 > {setting}' 2>&1; true")
    apply(host, "mighty", [{"securityContext": {"privileged": True}}])
    if host_has_all_capabilities():
        eventually(lambda: host.cluster.get("pod", "mighty")["status"]["phase"] == "Running", "mighty runs")
        assert inside(host, "mighty", f"echo 1 > {setting} && cat {setting}") == "1"
        return

    def refused():
        [told] = host.cluster.get("pod", "mighty")["status"].get("containerStatuses") or [
            {"lastState": {}, "state": {}}
        ]
        return told["lastState"].get("terminated") or told["state"].get("terminated")

    told = eventually(refused, "the engine's refusal", timeout=30, interval=0.1)
    assert (told["reason"], told["exitCode"]) == ("StartError", 128)
    assert "unable to apply caps: operation not permitted" in told["message"]


def test_a_sandbox_that_was_changed_serves_nobody_again(host):
    host.run_pod("changer", {"securityContext": {"capabilities": {"add": ["NET_ADMIN"]}}})
    assert "203.0.113.0/24" in inside(host, "changer", "ip route add 203.0.113.0/24 dev lo && ip route")
    host.run("delete", "pod", "changer", "--now")
    for number in range(4):
        host.run_pod(f"after-{number}")
        assert "203.0.113.0" not in inside(host, f"after-{number}", "ip route")


def test_profiles_of_the_node_are_used(host):
    directory = host.cluster.directory / "agent" / "seccomp"
    directory.mkdir(exist_ok=True)
    deny = {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}
    profile = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [deny]}
    (directory / "no-mkdir.json").write_text(json.dumps(profile))
    local = {"type": "Localhost", "localhostProfile": "no-mkdir.json"}
    host.run_pod("filtered", {"securityContext": {"seccompProfile": local}})
    assert "Operation not permitted" in inside(host, "filtered", "mkdir /tmp/x 2>&1; true")
    apply(host, "late", [{"securityContext": {"seccompProfile": local | {"localhostProfile": "late.json"}}}])
    reason, message = waiting(host, "late")
    assert reason == "CreateContainerError"
    assert message.endswith("late.json: no such file or directory")
    (directory / "late.json").write_text(json.dumps(profile))
    eventually(lambda: host.cluster.get("pod", "late")["status"]["phase"] == "Running", "it heals", timeout=60)


def test_sysctls(host):
    safe = [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "80"}]
    host.run_pod("safe", securityContext={"sysctls": safe})
    assert inside(host, "safe", "cat /proc/sys/net/ipv4/ip_unprivileged_port_start") == "80"
    apply(host, "unsafe", [{}], securityContext={"sysctls": [{"name": "kernel.msgmax", "value": "65536"}]})
    words = 'forbidden sysctl: "kernel.msgmax" not allowlisted'
    assert failed(host, "unsafe") == ("SysctlForbidden", f"Pod was rejected: {words}")
    assert eventually(lambda: _events(host, "unsafe", "SysctlForbidden"), "event", timeout=20)[0]["message"] == words


def test_shared_processes_are_seen_and_orphans_reaped(host):
    host.run_pod("shared", {}, {"name": "d", "command": ["sleep", "987654"]}, shareProcessNamespace=True)
    assert "sleep 987654" in inside(host, "shared", "ps")
    assert inside(host, "shared", "cat /proc/1/cmdline").startswith("/pause")
    inside(host, "shared", "(sleep 0.2 &) ; sleep 0.6")
    assert " Z " not in inside(host, "shared", "ps -o stat,args | sed 's/^/ /'")


def test_namespaces_of_the_host(host):
    host.run_pod("outside", hostPID=True, hostIPC=True, hostNetwork=True)
    own = {name: os.readlink(f"/proc/{os.getpid()}/ns/{name}") for name in ("pid", "ipc")}
    for name, link in own.items():
        assert inside(host, "outside", f"readlink /proc/self/ns/{name}") == link
    assert inside(host, "outside", "hostname") == inside(host, "outside", "echo $HOSTNAME") == os.uname().nodename
    host.run_pod("apart")
    assert inside(host, "apart", "readlink /proc/self/ns/pid") != own["pid"]


def test_names_inside(host):
    host.run_pod(
        "named",
        subdomain="sub",
        setHostnameAsFQDN=True,
        hostAliases=[{"ip": "192.0.2.44", "hostnames": ["old.example"]}],
        dnsPolicy="None",
        dnsConfig={
            "nameservers": ["192.0.2.53"],
            "searches": ["example"],
            "options": [{"name": "ndots", "value": "3"}],
        },
    )
    full = "named.sub.default.svc.cluster.local"
    assert inside(host, "named", "hostname; echo $HOSTNAME").split() == [full, full]
    hosts = inside(host, "named", "cat /etc/hosts")
    assert f"\t{full}\tnamed\n" in hosts
    assert hosts.endswith("192.0.2.44\told.example")
    text = "search example\nnameserver 192.0.2.53\noptions ndots:3"
    assert inside(host, "named", "cat /etc/resolv.conf") == text


def test_app_armor_is_refused_where_the_host_has_none(host):
    if "name=apparmor" in host.docker("info", "-f", "{{.SecurityOptions}}"):
        host.run_pod("armed", securityContext={"appArmorProfile": {"type": "RuntimeDefault"}})
        return
    assert not Path("/sys/kernel/security/apparmor/profiles").exists()
    apply(host, "armed", [{}], securityContext={"appArmorProfile": {"type": "RuntimeDefault"}})
    assert failed(host, "armed")[0] == "AppArmor"

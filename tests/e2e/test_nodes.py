"""``longboat node add`` and ``node remove``: repair, and a host left as it was."""

from tests.cluster import eventually


def test_add_again_repairs(cluster, lab):
    host = lab.host(1)
    host.ssh("systemctl disable --now longboat-agent")
    done = cluster.longboat("node", "add", f"root@{host.address}", "-i", str(lab.key), "--accept-new")
    assert "Ready" in done.stdout
    eventually(lambda: cluster.node_ready("host1"), "host1 Ready")


def test_remove_undoes_it_and_add_brings_it_back(cluster, lab):
    host = lab.host(3)
    target = (f"root@{host.address}", "-i", str(lab.key), "--accept-new")
    cluster.longboat("node", "remove", *target)
    assert cluster.kubectl("get", "node", "host3", check=False).returncode == 1
    assert host.ssh("docker ps -aq --filter label=dev.longboat.node") == ""
    assert host.ssh("systemctl is-active longboat-agent", check=False) is None
    assert "longboat" not in host.ssh("ip link")
    cluster.longboat("node", "add", *target)
    eventually(lambda: cluster.node_ready("host3"), "host3 Ready")


def test_a_host_that_does_not_answer(cluster, lab):
    done = cluster.longboat("node", "add", "root@10.98.0.77", "-i", str(lab.key), "--accept-new", check=False)
    assert done.returncode == 1
    assert "10.98.0.77" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr

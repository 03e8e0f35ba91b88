"""What a pod is called inside, and how it resolves names."""

from typing import Any

import msgspec
import pytest

from agent.pods.dns import pod_resolv_conf
from agent.pods.hostnames import NameTooLong, check_hostname, pod_hostname
from agent.pods.volumes.host_files import host_network_hosts_text, hosts_text
from shared.api.pod import Pod
from shared.api.security import HostAlias, PodDNSConfig, PodDNSConfigOption

HOST = "# comment\nnameserver 192.0.2.1\nnameserver 192.0.2.2\nsearch a b\noptions ndots:1 rotate\n"
ALIASES = (HostAlias(ip="192.0.2.9", hostnames=("db", "db.example")), HostAlias(ip="192.0.2.8", hostnames=("x",)))
ADDED = "\n# Entries added by HostAliases.\n192.0.2.9\tdb\tdb.example\n192.0.2.8\tx\n"


def pod(name: str = "p", **spec: Any) -> Pod:
    return msgspec.convert({"metadata": {"name": name, "namespace": "ns"}, "spec": spec}, Pod)


@pytest.mark.parametrize(
    ("name", "spec", "hostname"),
    [
        ("p", {}, "p"),
        ("p", {"hostname": "h"}, "h"),
        ("p" * 70, {}, "p" * 63),
        ("p" * 62 + ".x", {}, "p" * 62),
        ("p", {"subdomain": "s"}, "p"),
        ("p", {"subdomain": "s", "setHostnameAsFQDN": True}, "p.s.ns.svc.cluster.local"),
        ("p", {"setHostnameAsFQDN": True}, "p"),
    ],
)
def test_hostname(name: str, spec: dict[str, Any], hostname: str) -> None:
    found = pod(name, **spec)
    check_hostname(found)
    assert pod_hostname(found) == hostname


def test_a_full_name_that_the_kernel_does_not_take_is_refused() -> None:
    found = pod("p" * 60, subdomain="s", setHostnameAsFQDN=True)
    with pytest.raises(NameTooLong) as raised:
        check_hostname(found)
    assert str(raised.value) == (
        f"failed to construct FQDN from pod hostname and cluster domain, FQDN {'p' * 60}.s.ns.svc.cluster.local is too "
        "long (64 characters is the max, 83 characters requested)"
    )


def test_hosts_name_the_pod_and_its_aliases() -> None:
    assert hosts_text("10.0.0.5", "p").endswith("10.0.0.5\tp\n")
    text = hosts_text("10.0.0.5", "p", "s.ns.svc.cluster.local", ALIASES)
    assert text.endswith("10.0.0.5\tp.s.ns.svc.cluster.local\tp\n" + ADDED)
    assert host_network_hosts_text("127.0.0.1 x\n", ALIASES).endswith("\n127.0.0.1 x\n" + ADDED)


NDOTS = (PodDNSConfigOption(name="ndots", value="5"), PodDNSConfigOption(name="debug"))


@pytest.mark.parametrize(
    ("policy", "config", "text"),
    [
        ("ClusterFirst", PodDNSConfig(), HOST),
        ("Default", PodDNSConfig(), HOST),
        (
            "Default",
            PodDNSConfig(nameservers=("192.0.2.2", "192.0.2.3", "192.0.2.4"), searches=("b", "c"), options=NDOTS),
            "search a b c\nnameserver 192.0.2.1\nnameserver 192.0.2.2\nnameserver 192.0.2.3\n"
            "options ndots:5 rotate debug\n",
        ),
        ("None", PodDNSConfig(nameservers=("192.0.2.7",)), "nameserver 192.0.2.7\n"),
        (
            "None",
            PodDNSConfig(nameservers=("192.0.2.7",), searches=tuple(f"s{n}" for n in range(40))),
            f"search {' '.join(f's{n}' for n in range(32))}\nnameserver 192.0.2.7\n",
        ),
    ],
)
def test_resolv_conf(policy: str, config: PodDNSConfig, text: str) -> None:
    assert pod_resolv_conf(HOST, policy, config) == text


def test_searches_end_where_they_are_too_long() -> None:
    searches = tuple(f"{letter * 200}" for letter in "abcdefghijklmn")
    text = pod_resolv_conf("", "None", PodDNSConfig(nameservers=("192.0.2.7",), searches=searches))
    assert len(text.splitlines()[0].removeprefix("search ")) <= 2048
    assert text.splitlines()[0].endswith("j" * 200)

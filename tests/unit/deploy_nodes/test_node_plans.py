"""Hosts as typed, as found, and what is to be done: pure tables."""

import io
import tarfile

import pytest

from deploy.nodes import artifact, facts, inventory, plan
from deploy.nodes.errors import NodeError

GOOD = """uid=0
sudo=
hostname=Host1
machine=x86_64
os=Debian GNU/Linux 12 (bookworm)
python=3.11
docker=20.10.24+dfsg1
nft=/usr/sbin/nft
ip=/usr/sbin/ip
tar=/usr/bin/tar
disk=9000000
systemd=yes
release=
"""


def found(**changes):
    lines = dict(line.split("=", 1) for line in GOOD.splitlines())
    return facts.parse("".join(f"{key}={value}\n" for key, value in (lines | changes).items()))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("root@10.0.0.1", ("root", "10.0.0.1", 22)),
        ("root@vm-1.example.org:2222", ("root", "vm-1.example.org", 2222)),
        ("root@[fe80::1]:22", ("root", "fe80::1", 22)),
    ],
)
def test_targets(text, expected):
    target = inventory.parse(text)
    assert (target.user, target.host, target.port) == expected


@pytest.mark.parametrize("text", ["root@", "a b", "root@host:0", "root@host:99999", "root@host:x", "-oProxy=x", "@h"])
def test_what_is_no_target(text):
    with pytest.raises(NodeError):
        inventory.parse(text)


def test_a_host_named_twice():
    with pytest.raises(NodeError, match="named twice"):
        inventory.parse_all(["root@a", "admin@a:22"])


def test_a_good_host_has_no_problems():
    host = found()
    assert host.hostname == "host1"
    assert facts.problems(host, python="3.11", machine="x86_64") == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"uid": "1000"}, "needs root"),
        ({"python": ""}, "has no python3"),
        ({"python": "3.9"}, "has Python 3.9, the agent is built for 3.11"),
        ({"machine": "aarch64"}, "is aarch64"),
        ({"docker": ""}, "no Docker engine"),
        ({"nft": ""}, "install nftables"),
        ({"disk": "1000"}, "free at least 512 MiB"),
        ({"hostname": ""}, "no hostname"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_each_problem_says_what_to_mend(changes, message):
    problems = facts.problems(found(**changes), python="3.11", machine="x86_64")
    assert len(problems) == 1
    assert message in problems[0]


def test_a_user_with_sudo_will_do():
    assert facts.problems(found(uid="1000", sudo="yes"), python="3.11", machine="x86_64") == []


def test_plans():
    fresh, current = found(), found(release="abc")
    start, wait = plan.Start("host1", True), plan.WaitReady("host1")
    anew = plan.Start("host1", True, anew=True)
    assert plan.add(fresh, "abc") == (plan.Upload("abc"), anew, wait)
    assert plan.add(current, "def") == (plan.Upload("def"), anew, wait), "an agent that runs gets the new release"
    assert plan.add(current, "abc") == (start, wait)
    assert plan.remove(fresh) == (plan.DeleteNode("host1"),)
    assert plan.remove(current) == (plan.Uninstall(), plan.DeleteNode("host1"))


def test_the_artefact_is_complete_and_the_same_each_time():
    first = artifact.build()
    assert artifact.build().digest == first.digest
    with tarfile.open(fileobj=io.BytesIO(first.data)) as tar:
        names = set(tar.getnames())
    assert {"agent/runtime/base.py", "deploy/cli.py", "deploy/nodes/onhost.py", "shared/codec.py"} <= names
    assert {"aiohttp/__init__.py", "docker/__init__.py", "yaml/__init__.py", "orjson/__init__.py"} <= names
    assert not [name for name in names if "__pycache__" in name or name.startswith(("numpy", "..", "/"))]
    assert len(first.data) < 40_000_000

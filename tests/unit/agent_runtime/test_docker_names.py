"""Names and labels, and what is read back from Docker's answers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.runtime import docker_names as names
from agent.runtime.base import ContainerSpec, PodIdentity, State

LABEL = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,20}[a-z0-9])?", fullmatch=True)
POD_NAME = st.lists(LABEL, min_size=1, max_size=4).map(".".join)


@given(uid=st.uuids().map(str), namespace=LABEL, name=POD_NAME)
def test_sandbox_name_tells_the_pod(uid, namespace, name):
    pod = PodIdentity(uid, namespace, name)
    assert names.pod_of("/" + names.pod_sandbox_name(pod)) == pod


@pytest.mark.parametrize(
    "name", ["longboat.warm.abc", "longboat.pod.", "longboat.pod.uid", "longboat.pod.uid.ns", "other", ""]
)
def test_other_names_tell_no_pod(name):
    assert names.pod_of(name) is None


def inspected(**state: object) -> dict[str, object]:
    base = {"Status": "created", "Running": False, "ExitCode": 0, "Error": "", "OOMKilled": False, "Pid": 0,
            "StartedAt": "0001-01-01T00:00:00Z", "FinishedAt": "0001-01-01T00:00:00Z"}  # fmt: skip
    spec = ContainerSpec(
        pod=PodIdentity("u", "ns", "p"), name="main", attempt=4, sandbox_id="sb", image="i", command=None, args=None,
        env=(), working_dir="", mounts=(), spec_hash="h", init=True, labels={"extra": "1", names.NODE: "forged"},
    )  # fmt: skip
    return {
        "Id": "c1", "Name": "/x", "Image": "sha256:1", "Created": "2026-11-23T04:29:51.312284123Z",
        "Config": {"Labels": names.container_labels("n", spec), "Image": "i:1"}, "State": base | state,
        "HostConfig": {"CpuShares": 512, "CpuQuota": 50_000, "Memory": 64 << 20, "MemorySwap": 64 << 20},
    }  # fmt: skip


ENDED = {"StartedAt": "2026-11-23T04:29:52Z", "FinishedAt": "2026-11-23T04:29:53Z"}


@pytest.mark.parametrize(
    ("state", "expected", "code"),
    [
        ({}, State.CREATED, 0),
        ({"Status": "running", "Running": True, "StartedAt": "2026-11-23T04:29:52Z"}, State.RUNNING, 0),
        ({"Status": "paused", "Running": True}, State.RUNNING, 0),
        ({"Status": "exited", "ExitCode": 3, **ENDED}, State.EXITED, 3),
        ({"Status": "dead", "ExitCode": 137, **ENDED}, State.EXITED, 137),
        ({"Status": "removing", **ENDED}, State.EXITED, 0),
        ({"Status": "created", "ExitCode": 127, "Error": "no such file"}, State.EXITED, 127),
    ],
    ids=["created", "running", "paused", "exited", "dead", "removing", "failed start"],
)
def test_state_of_a_container(state, expected, code):
    info = names.read_container(inspected(**state))
    assert (info.state, info.exit_code) == (expected, code)
    assert (info.finished_at is not None) == (expected is State.EXITED)


def test_a_short_life_does_not_end_before_it_began():
    """As Docker 20.10 told of a container that ended while its start was still being noted."""
    times = {"StartedAt": "2026-11-24T04:32:02.104251Z", "FinishedAt": "2026-11-24T04:32:02.103688Z"}
    info = names.read_container(inspected(Status="exited", ExitCode=7, **times))
    assert info.started_at == info.finished_at == names.parse_time(times["FinishedAt"])


def test_labels_tell_a_container_and_ours_win_over_given_ones():
    document = inspected()
    info = names.read_container(document)
    assert (info.pod, info.name, info.attempt, info.sandbox_id) == (PodIdentity("u", "ns", "p"), "main", 4, "sb")
    assert (info.init, info.spec_hash) == (True, "h")
    labels = document["Config"]["Labels"]  # type: ignore[index]
    assert labels[names.NODE] == "n"
    assert labels["extra"] == "1"


@pytest.mark.parametrize(
    ("attributes", "uid"),
    [
        ({names.POD_UID: "u1"}, "u1"),
        ({"name": "longboat.pod.u2.ns.p"}, "u2"),
        ({"name": "longboat.warm.x"}, ""),
        ({}, ""),
    ],
)
def test_pod_of_an_event(attributes, uid):
    assert names.event_pod_uid(attributes) == uid

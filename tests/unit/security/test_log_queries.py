"""Options of a log request: what is understood, and what is refused in Kubernetes' words."""

from __future__ import annotations

import msgspec
import pytest

from controlplane.apiserver.streams.log_options import LogQuery, check_has_log, parse_query
from controlplane.apiserver.streams.pods import choose_container
from shared.api.errors import BadRequest, Invalid
from shared.api.pod import Pod


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, LogQuery()),
        ({"follow": "true", "previous": "1", "timestamps": ""}, LogQuery(follow=True, previous=True, timestamps=True)),
        ({"follow": "false", "previous": "0", "timestamps": "False"}, LogQuery()),
        ({"tailLines": "0", "limitBytes": "1"}, LogQuery(tail_lines=0, limit_bytes=1)),
        ({"sinceSeconds": "5", "container": "c", "stream": "All"}, LogQuery(since_seconds=5, container="c")),
        ({"sinceTime": "2026-01-02T03:04:05Z"}, LogQuery(since_time="2026-01-02T03:04:05+00:00")),
        ({"insecureSkipTLSVerifyBackend": "true", "pretty": "true"}, LogQuery()),
    ],
)
def test_understood(query, expected):
    assert parse_query(query, "p") == expected


@pytest.mark.parametrize(
    ("query", "message", "field"),
    [
        ({"tailLines": "-1"}, "tailLines: Invalid value: -1: must be greater than or equal to 0", "tailLines"),
        ({"limitBytes": "0"}, "limitBytes: Invalid value: 0: must be greater than 0", "limitBytes"),
        ({"sinceSeconds": "0"}, "sinceSeconds: Invalid value: 0: must be greater than 0", "sinceSeconds"),
        (
            {"sinceSeconds": "1", "sinceTime": "2026-01-02T03:04:05Z"},
            "Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified",
            "",
        ),
    ],
)
def test_out_of_range_is_invalid(query, message, field):
    with pytest.raises(Invalid) as caught:
        parse_query(query, "p")
    assert caught.value.message == f'PodLogOptions "p" is invalid: {message}'
    assert [cause.field for cause in caught.value.causes] == [field]


@pytest.mark.parametrize(
    "query",
    [
        {"tailLines": "x"}, {"tailLines": "1.5"}, {"tailLines": "9223372036854775808"}, {"limitBytes": "٣"},
        {"sinceTime": "yesterday"}, {"sinceTime": "2026-01-02"}, {"sinceTime": "2026-01-02T03:04:05"},
    ],
    ids=str,
)  # fmt: skip
def test_what_is_no_number_or_time_is_a_bad_request(query):
    with pytest.raises(BadRequest):
        parse_query(query, "p")


def make(containers=("a",), init=(), statuses=(), phase="Running"):
    return msgspec.convert(
        {
            "metadata": {"name": "p", "namespace": "n", "uid": "u"},
            "spec": {
                "nodeName": "n1",
                "containers": [{"name": c} for c in containers],
                "initContainers": [{"name": c} for c in init],
            },
            "status": {"phase": phase, "containerStatuses": list(statuses)},
        },
        Pod,
    )


@pytest.mark.parametrize(
    ("pod", "asked", "chosen"),
    [(make(), "", "a"), (make(init=("i",)), "", "a"), (make(("a", "b")), "b", "b"), (make(init=("i",)), "i", "i")],
    ids=["only", "only-beside-init", "named", "named-init"],
)
def test_the_container_that_is_meant(pod, asked, chosen):
    assert choose_container(pod, asked) == chosen


@pytest.mark.parametrize(
    ("pod", "asked", "message"),
    [
        (make(("a", "b")), "", "a container name must be specified for pod p, choose one of: [a b]"),
        (make(("a", "b"), ("i",)), "", "a container name must be specified for pod p, choose one of: [i a b]"),
        (make(()), "", "a container name must be specified for pod p"),
        (make(), "z", "container z is not valid for pod p"),
    ],
    ids=["two", "two-and-init", "none", "unknown"],
)
def test_no_container_is_guessed(pod, asked, message):
    with pytest.raises(BadRequest) as caught:
        choose_container(pod, asked)
    assert caught.value.message == message


def status(**state):
    last = state.pop("last", {})
    return {"name": "a", "state": state, "lastState": last}


ENDED = {"terminated": {"exitCode": 1, "containerID": "docker://x"}}


@pytest.mark.parametrize(
    ("given", "phase", "previous", "words"),
    [
        ([], "Pending", False, "is waiting to start: ContainerCreating"),
        ([], "Failed", False, "is not available"),
        ([status(waiting={"reason": "ContainerCreating"})], "Pending", False, "is waiting to start: ContainerCreating"),
        ([status(waiting={"reason": "ErrImagePull"})], "Pending", False, "is waiting to start: image can't be pulled"),
        (
            [status(waiting={"reason": "ImagePullBackOff"})],
            "Pending",
            False,
            "is waiting to start: trying and failing to pull image",
        ),
        ([status()], "Pending", False, "is waiting to start: ContainerCreating"),
        ([status(running={})], "Running", True, "previous"),
    ],
)
def test_a_container_without_a_log_says_why(given, phase, previous, words):
    with pytest.raises(BadRequest) as caught:
        check_has_log(make(statuses=given, phase=phase), "a", previous)
    if words == "previous":
        assert caught.value.message == 'previous terminated container "a" in pod "p" not found'
    else:
        assert caught.value.message == f'container "a" in pod "p" {words}'


@pytest.mark.parametrize(
    ("given", "previous"),
    [
        (status(running={}), False),
        (status(**ENDED), False),
        (status(waiting={"reason": "CrashLoopBackOff"}, last=ENDED), False),
        (status(waiting={"reason": "CrashLoopBackOff"}, last=ENDED), True),
        (status(running={}, last=ENDED), True),
    ],
    ids=["running", "ended", "waits-to-restart", "waits-previous", "runs-previous"],
)
def test_a_container_that_has_run_has_a_log(given, previous):
    check_has_log(make(statuses=[given]), "a", previous)

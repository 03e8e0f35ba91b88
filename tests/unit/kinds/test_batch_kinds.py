"""Job and CronJob: what is filled in, generated, refused and shown."""

from datetime import UTC, datetime
from typing import Any

import pytest

from controlplane.apiserver.admission import Context, admit_create
from controlplane.apiserver.identity import User
from controlplane.apiserver.kinds.job_indexes import read_indexes
from controlplane.apiserver.kinds.table import BY_GVK
from shared import codec
from tests.kinds import short

JOB, CRON_JOB = BY_GVK["batch", "v1", "Job"], BY_GVK["batch", "v1", "CronJob"]
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
PODS: Any = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i:1"}]}}
POLICY = "spec.podFailurePolicy.rules[0]"
INDEXED: Any = {"completionMode": "Indexed", "completions": 10}


def job(name: str = "x", **spec: Any) -> Any:
    """A Job as it is stored, unless it is refused."""
    obj = codec.copy({"metadata": {"name": name, "namespace": "g", "uid": "u"}, "spec": {"template": PODS, **spec}})
    JOB.default(obj)
    admit_create(Context(User("admin")), JOB, obj)
    return obj


def cron_job(name: str = "x", **spec: Any) -> Any:
    whole = {"schedule": "0 3 * * *", "jobTemplate": {"spec": {"template": PODS}}, **spec}
    obj = codec.copy({"metadata": {"name": name, "namespace": "g"}, "spec": whole})
    CRON_JOB.default(obj)
    return obj


def refused(name: str = "x", **spec: Any) -> list[tuple[str, str]]:
    return short(JOB.validate(job(name, **spec), None))


def pods(**spec: Any) -> Any:
    return {"spec": {**PODS["spec"], **spec}}


def rules(*listed: Any, **more: Any) -> Any:
    return {"podFailurePolicy": {"rules": [{"action": "FailJob", **rule} for rule in listed]}, **more}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, {"completions": 1, "parallelism": 1, "backoffLimit": 6, "podReplacementPolicy": "TerminatingOrFailed"}),
        ({"parallelism": 3}, {"completions": None, "parallelism": 3}),
        ({"completions": 3}, {"completions": 3, "parallelism": 1}),
        ({**INDEXED, "backoffLimitPerIndex": 1}, {"backoffLimit": 2**31 - 1}),
        (rules({"onPodConditions": [{"type": "DisruptionTarget"}]}), {"podReplacementPolicy": "Failed"}),
    ],
    ids=str,
)
def test_defaults(spec: Any, expected: Any) -> None:
    made = job(**spec)["spec"]
    assert {field: made.get(field) for field in expected} == expected
    assert (made["completionMode"], made["suspend"], made["manualSelector"]) == (
        spec.get("completionMode", "NonIndexed"), False, False,
    )  # fmt: skip


def test_a_selector_is_generated_and_its_labels() -> None:
    made = job()
    labels = {f"{prefix}{key}": value for prefix in ("", "batch.kubernetes.io/") for key, value in
              (("controller-uid", "u"), ("job-name", "x"))}  # fmt: skip
    assert made["spec"]["selector"] == {"matchLabels": {"batch.kubernetes.io/controller-uid": "u"}}
    assert made["spec"]["template"]["metadata"]["labels"] == made["metadata"]["labels"] == labels
    assert short(JOB.validate(made, None)) == []


LABEL = "spec.template.metadata.labels"


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"manualSelector": True}, [("Required", "spec.selector"), ("Invalid", LABEL)]),
        (
            {
                "manualSelector": True,
                "selector": {"matchLabels": {"a": "b"}},
                "template": {**PODS, "metadata": {"labels": {"a": "b"}}},
            },
            [],
        ),
        ({"selector": {"matchLabels": {"a": "b"}}}, [("Invalid", "spec.selector"), ("Invalid", LABEL)]),
        (
            {"template": {**PODS, "metadata": {"labels": {"job-name": "other"}}}},
            [("Invalid", f"{LABEL}[job-name]")],
        ),
    ],
    ids=str,
)
def test_a_selector_of_ones_own(spec: Any, expected: Any) -> None:
    assert refused(**spec) == expected


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"parallelism": -1, "backoffLimit": -1}, [("Invalid", "spec.parallelism"), ("Invalid", "spec.backoffLimit")]),
        ({"template": pods(restartPolicy="Always")}, [("Required", "spec.template.spec.restartPolicy")]),
        ({"template": {"spec": {"containers": PODS["spec"]["containers"]}}},
         [("Required", "spec.template.spec.restartPolicy")]),
        ({"completionMode": "Sometimes"}, [("NotSupported", "spec.completionMode")]),
        ({"completionMode": "Indexed", "parallelism": 1}, [("Required", "spec.completions")]),
        ({"backoffLimitPerIndex": 1}, [("Invalid", "spec.backoffLimitPerIndex")]),
        ({**INDEXED, "maxFailedIndexes": 11, "backoffLimitPerIndex": 1}, [("Invalid", "spec.maxFailedIndexes")]),
        ({**INDEXED, "maxFailedIndexes": 1}, [("Required", "spec.backoffLimitPerIndex")]),
        (
            {**INDEXED, "completions": 100_001, "parallelism": 10_001, "backoffLimitPerIndex": 1},
            [("Required", "spec.maxFailedIndexes"), ("Invalid", "spec.parallelism")],
        ),
        ({"podReplacementPolicy": "Never"}, [("NotSupported", "spec.podReplacementPolicy")]),
        ({"managedBy": "example.com/queue"}, []),
        ({"managedBy": "queue"}, [("Invalid", "spec.managedBy")]),
        ({"managedBy": f"example.com/{'q' * 60}"}, [("TooLong", "spec.managedBy")]),
        (rules({"onExitCodes": {"operator": "In", "values": [1, 2]}}), []),
        (
            rules({"onExitCodes": {"operator": "In", "values": [0, 3, 3, 2], "containerName": "no"}}),
            [
                ("Invalid", f"{POLICY}.onExitCodes.containerName"),
                ("Invalid", f"{POLICY}.onExitCodes.values[0]"),
                ("Duplicate", f"{POLICY}.onExitCodes.values[2]"),
                ("Invalid", f"{POLICY}.onExitCodes.values"),
            ],
        ),
        (rules({}), [("Invalid", POLICY)]),
        (rules({"action": "FailIndex", "onPodConditions": [{"type": "A"}]}), [("Invalid", f"{POLICY}.action")]),
        (
            rules(
                {"onPodConditions": [{"type": "a b", "status": "Maybe"}]}, podReplacementPolicy="TerminatingOrFailed"
            ),
            [
                ("Invalid", f"{POLICY}.onPodConditions[0].type"),
                ("NotSupported", f"{POLICY}.onPodConditions[0].status"),
                ("NotSupported", "spec.podReplacementPolicy"),
            ],
        ),
        (
            rules({"onPodConditions": [{"type": "A"}]}, template=pods(restartPolicy="OnFailure")),
            [("Invalid", "spec.template.spec.restartPolicy")],
        ),
        ({"successPolicy": {"rules": [{"succeededCount": 1}]}}, [("Invalid", "spec.successPolicy")]),
        ({**INDEXED, "successPolicy": {"rules": []}}, [("Required", "spec.successPolicy.rules")]),
        ({**INDEXED, "successPolicy": {"rules": [{}]}}, [("Required", "spec.successPolicy.rules[0]")]),
        (
            {**INDEXED, "successPolicy": {"rules": [{"succeededIndexes": "1,3-5", "succeededCount": 5}]}},
            [("Invalid", "spec.successPolicy.rules[0].succeededCount")],
        ),
        (
            {**INDEXED, "successPolicy": {"rules": [{"succeededIndexes": "3-10"}]}},
            [("Invalid", "spec.successPolicy.rules[0].succeededIndexes")],
        ),
    ],
    ids=lambda value: str(value)[:80],
)  # fmt: skip
def test_jobs(spec: Any, expected: Any) -> None:
    found = refused(**spec)
    assert sorted(found) == sorted(expected)


def test_the_hostnames_of_an_indexed_jobs_pods_must_be_labels() -> None:
    assert refused("x" * 60, **INDEXED) == []
    assert ("Invalid", "metadata.name") in refused("x" * 62, **INDEXED)
    assert refused("a.b", **INDEXED) == [("Invalid", "metadata.name")]
    assert refused("a.b") == []


@pytest.mark.parametrize(
    ("old", "new", "status", "expected"),
    [
        ({}, {"completions": 1, "parallelism": 3, "suspend": True, "backoffLimit": 1}, {}, []),
        ({}, {"completions": 2}, {}, [("Invalid", "spec.completions")]),
        (INDEXED, {**INDEXED, "completions": 5, "parallelism": 5}, {}, []),
        (INDEXED, {**INDEXED, "completions": 5}, {}, [("Invalid", "spec.completions")]),
        ({}, {"template": pods(nodeSelector={"a": "b"})}, {}, [("Invalid", "spec.template")]),
        ({"suspend": True}, {"suspend": True, "template": pods(nodeSelector={"a": "b"})}, {}, []),
        (
            {"suspend": True},
            {"suspend": True, "template": pods(nodeSelector={"a": "b"})},
            {"startTime": "2026-11-23T12:00:00Z"},
            [("Invalid", "spec.template")],
        ),
        ({"suspend": True}, {"suspend": True, "template": pods(hostNetwork=True)}, {}, [("Invalid", "spec.template")]),
        ({}, {"managedBy": "example.com/q"}, {}, [("Invalid", "spec.managedBy")]),
    ],
    ids=lambda value: str(value)[:80],
)
def test_what_of_a_job_may_change(old: Any, new: Any, status: Any, expected: Any) -> None:
    before = {**job(**old), "status": status}
    assert short(JOB.validate(job(**new), before)) == expected


def conditions(*types: str) -> Any:
    return [{"type": type_, "status": "True"} for type_ in types]


STARTED, ENDED = "2026-11-23T11:00:00Z", "2026-11-23T11:05:00Z"
COMPLETE = {
    "conditions": conditions("SuccessCriteriaMet", "Complete"),
    "startTime": STARTED,
    "completionTime": ENDED,
    "succeeded": 1,
}


@pytest.mark.parametrize(
    ("status", "old", "expected"),
    [
        ({"active": 1, "ready": 1, "startTime": STARTED}, {}, []),
        (COMPLETE, {"startTime": STARTED}, []),
        ({"active": -1}, {}, [("Invalid", "status.active")]),
        ({"ready": 1}, {}, [("Invalid", "status.ready")]),
        ({**COMPLETE, "active": 1}, {}, [("Invalid", "status.active")]),
        ({**COMPLETE, "completionTime": None}, {}, [("Required", "status.completionTime")]),
        ({"completionTime": ENDED}, {}, [("Invalid", "status.completionTime")]),
        ({**COMPLETE, "startTime": ENDED, "completionTime": STARTED}, {}, [("Invalid", "status.completionTime")]),
        ({"conditions": conditions("Failed"), "startTime": STARTED}, {}, [("Invalid", "status.conditions")]),
        ({}, COMPLETE, [("Invalid", "status.conditions")] * 2
         + [("Invalid", "status.succeeded"), ("Required", "status.startTime")]),
        ({"completedIndexes": "0"}, {}, [("Invalid", "status.completedIndexes")]),
        ({"failedIndexes": "0"}, {}, [("Invalid", "status.failedIndexes")]),
        ({"uncountedTerminatedPods": {"succeeded": ["a", ""], "failed": ["a"]}}, {}, [
            ("Invalid", "status.uncountedTerminatedPods.succeeded[1]"),
            ("Duplicate", "status.uncountedTerminatedPods.failed[0]"),
        ]),
    ],
    ids=lambda value: str(value)[:80],
)  # fmt: skip
def test_statuses_of_jobs(status: Any, old: Any, expected: Any) -> None:
    now = codec.copy({**job(), "status": {key: value for key, value in status.items() if value is not None}})
    assert short(JOB.validate_status(now, {**job(), "status": old})) == expected


def test_completed_and_failed_indexes_are_apart() -> None:
    obj = job(**INDEXED, backoffLimitPerIndex=1)
    obj["status"] = {"completedIndexes": "0-3,7", "failedIndexes": "5,7-8"}
    [cause] = JOB.validate_status(obj, None)
    assert cause.message.endswith("failedIndexes and completedIndexes overlap at index: 7")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("1-2-3", "at most two parts"),
        ("a", 'cannot convert string to integer for index: "a"'),
        ("12", 'too large index: "12"'),
        ("3-2", "non-increasing order, previous: 3, current: 2"),
        ("1,1", "non-increasing order, previous: 1, current: 1"),
    ],
)
def test_indexes_that_are_none(text: str, error: str) -> None:
    with pytest.raises(ValueError, match=error):
        read_indexes(text, 10)


def test_indexes_are_counted() -> None:
    assert [len(read_indexes(text, 10)) for text in ("", "0", "0-3,5", "1,3-9")] == [0, 1, 5, 8]


SCHEDULE, ZONE, TEMPLATE = "spec.schedule", "spec.timeZone", "spec.jobTemplate.spec"


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, []),
        ({"schedule": "@daily", "timeZone": "Europe/Paris"}, []),
        ({"timeZone": "Etc/GMT+5"}, []),
        ({"schedule": ""}, [("Required", SCHEDULE)]),
        ({"schedule": "61 * * * *"}, [("Invalid", SCHEDULE)]),
        ({"schedule": "TZ=UTC 0 3 * * *"}, [("Invalid", SCHEDULE)]),
        ({"timeZone": ""}, [("Invalid", ZONE)]),
        ({"timeZone": "Europe/Pariss"}, [("Invalid", ZONE)]),
        ({"timeZone": "Europe"}, [("Invalid", ZONE)]),
        ({"timeZone": "../etc/passwd"}, [("Invalid", ZONE)]),
        ({"timeZone": "/UTC"}, [("Invalid", ZONE)]),
        ({"timeZone": "Local"}, [("Invalid", ZONE)]),
        ({"concurrencyPolicy": "Maybe"}, [("NotSupported", "spec.concurrencyPolicy")]),
        (
            {"startingDeadlineSeconds": -1, "failedJobsHistoryLimit": -1},
            [("Invalid", "spec.startingDeadlineSeconds"), ("Invalid", "spec.failedJobsHistoryLimit")],
        ),
        (
            {"jobTemplate": {"spec": {"template": PODS, "selector": {}, "manualSelector": True}}},
            [("Invalid", f"{TEMPLATE}.selector"), ("NotSupported", f"{TEMPLATE}.manualSelector")],
        ),
        (
            {"jobTemplate": {"spec": {"template": pods(restartPolicy="Always")}}},
            [("Required", f"{TEMPLATE}.template.spec.restartPolicy")],
        ),
    ],
    ids=str,
)
def test_cron_jobs(spec: Any, expected: Any) -> None:
    assert short(CRON_JOB.validate(cron_job(**spec), None)) == expected


def test_defaults_of_cron_jobs() -> None:
    spec = cron_job()["spec"]
    assert {key: spec[key] for key in spec if key not in ("jobTemplate", "schedule")} == {
        "concurrencyPolicy": "Allow", "suspend": False, "successfulJobsHistoryLimit": 3, "failedJobsHistoryLimit": 1,
    }  # fmt: skip
    assert spec["jobTemplate"]["spec"].keys() == {"template"}, "the Jobs made of it get their own defaults"


def test_names_of_cron_jobs_leave_room_for_a_time() -> None:
    long = cron_job("x" * 53)
    assert short(CRON_JOB.validate(long, None)) == [("Invalid", "metadata.name")]
    assert short(CRON_JOB.validate(long, long)) == []


def test_a_time_zone_in_a_schedule_that_was_there_may_stay() -> None:
    old = cron_job(schedule="TZ=UTC 0 3 * * *")
    assert short(CRON_JOB.validate(old, old)) == []
    assert short(CRON_JOB.validate(cron_job(schedule="TZ=UTC 0 3 * * *", timeZone="UTC"), old)) == [
        ("Invalid", SCHEDULE)
    ]


def shown(kind: Any, obj: Any) -> list[Any]:
    return [column.value(obj, NOW) for column in kind.columns]


@pytest.mark.parametrize(
    ("spec", "status", "expected"),
    [
        ({}, {}, ["Running", "0/1", ""]),
        ({"parallelism": 2}, {"succeeded": 1, "startTime": STARTED}, ["Running", "1/1 of 2", "60m"]),
        ({"completions": 1}, COMPLETE, ["Complete", "1/1", "5m"]),
        ({}, {"conditions": conditions("Suspended")}, ["Suspended", "0/1", ""]),
        ({}, {"conditions": conditions("FailureTarget")}, ["FailureTarget", "0/1", ""]),
    ],
    ids=str,
)
def test_what_tables_show_of_jobs(spec: Any, status: Any, expected: Any) -> None:
    assert shown(JOB, {**job(**spec), "status": status})[1:4] == expected


def test_what_tables_show_of_cron_jobs() -> None:
    obj = {**cron_job(timeZone="UTC"), "status": {"active": [{}], "lastScheduleTime": ENDED}}
    assert shown(CRON_JOB, obj) == [
        "x", "0 3 * * *", "UTC", "False", 1, "55m", "<unknown>", "c", "i:1", "<none>",
    ]  # fmt: skip


def test_field_selectors_of_jobs() -> None:
    assert JOB.selectable_fields is not None
    assert JOB.selectable_fields({**job(), "status": {"succeeded": 2}}) == {"status.successful": "2"}
    assert JOB.selectable_fields(job()) == {"status.successful": "0"}

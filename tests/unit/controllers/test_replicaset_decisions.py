"""What a ReplicaSet decides, reports and makes; adoption and release; expectations."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from controlplane.controllers import ownership, replicaset
from controlplane.controllers.expectations import TIMEOUT, Expectations
from shared.api.apps import ReplicaSet, ReplicaSetSpec, ReplicaSetStatus
from shared.api.errors import Forbidden, ServiceUnavailable
from shared.api.kinds import PODS, REPLICA_SETS
from shared.api.meta import Condition, LabelSelector, ObjectMeta, OwnerReference
from shared.api.pod import Pod, PodSpec, PodStatus
from shared.api.selectors import from_label_selector
from shared.client.cache import Cache
from shared.work.clock import FakeClock

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
TEMPLATE: dict[str, Any] = {
    "metadata": {"labels": {"app": "web", "v": "1"}, "annotations": {"a": "b"}, "finalizers": ["x/y"], "name": "no"},
    "spec": {"containers": [{"name": "c", "image": "i", "unknownField": 1}]},
}


def owner(uid: str = "rs-uid", **changes: Any) -> OwnerReference:
    fields = {"api_version": "apps/v1", "kind": "ReplicaSet", "name": "rs", "uid": uid, "controller": True}
    return OwnerReference(**{**fields, **changes})


def replica_set(replicas: int = 3, status: ReplicaSetStatus = ReplicaSetStatus(), **meta: Any) -> ReplicaSet:
    fields = {"name": "rs", "namespace": "ns", "uid": "rs-uid", "generation": 4, **meta}
    return ReplicaSet(
        metadata=ObjectMeta(**fields),
        spec=ReplicaSetSpec(
            replicas=replicas,
            min_ready_seconds=10,
            selector=LabelSelector(match_labels={"app": "web"}),
            template=TEMPLATE,
        ),
        status=status,
    )


def pod(name: str, *, ready: float | None = 100, labels: dict[str, str] | None = None, **meta: Any) -> Pod:
    conditions = ()
    if ready is not None:
        conditions = (Condition(type="Ready", status="True", last_transition_time=NOW - timedelta(seconds=ready)),)
    fields = {"name": name, "namespace": "ns", "uid": name, "owner_references": (owner(),), **meta}
    return Pod(
        metadata=ObjectMeta(labels=labels or {"app": "web", "v": "1"}, **fields),
        spec=PodSpec(node_name="n1"),
        status=PodStatus(phase="Running", conditions=conditions),
    )


def made(count: int) -> list[Pod]:
    return [pod(f"p{number}") for number in range(count)]


# --- decide and status ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("replicas", "have", "create", "delete"),
    [
        pytest.param(3, 0, 3, 0, id="none-yet"),
        pytest.param(3, 3, 0, 0, id="enough"),
        pytest.param(3, 5, 0, 2, id="too-many"),
        pytest.param(0, 2, 0, 2, id="to-zero"),
        pytest.param(2000, 10, 500, 0, id="burst-up"),
        pytest.param(0, 700, 0, 500, id="burst-down"),
    ],
)
def test_decide(replicas, have, create, delete):
    plan = replicaset.decide(replica_set(replicas), made(have), (), NOW)
    assert (plan.create, len(plan.delete)) == (create, delete)


def test_a_replica_set_that_is_being_deleted_does_nothing():
    assert replicaset.decide(replica_set(3, deletion_timestamp=NOW), [], (), NOW) == replicaset.Plan()


def test_status_counts():
    active = [pod("a"), pod("b", ready=5), pod("c", ready=None), pod("d", labels={"app": "web"})]
    status = replicaset.status_of(replica_set(), active, 2, None, NOW)
    assert status == ReplicaSetStatus(
        replicas=4,
        fully_labeled_replicas=3,
        ready_replicas=3,
        available_replicas=2,
        terminating_replicas=2,
        observed_generation=4,
    )


@pytest.mark.parametrize(("have", "reason"), [(1, "FailedCreate"), (5, "FailedDelete")])
def test_a_failure_is_a_condition_until_it_is_over(have, reason):
    failed = replicaset.status_of(replica_set(), made(have), 0, Forbidden("exceeded quota"), NOW)
    (condition,) = failed.conditions
    assert (condition.type, condition.status, condition.reason) == ("ReplicaFailure", "True", reason)
    assert condition.message == "exceeded quota"
    again = replicaset.status_of(replica_set(status=failed), made(have), 0, Forbidden("other words"), NOW)
    assert again.conditions == failed.conditions
    assert replicaset.status_of(replica_set(status=failed), made(have), 0, None, NOW).conditions == ()


def test_a_pod_is_made_of_the_whole_template():
    rs = replica_set()
    tree = replicaset.pod_from(rs)
    assert tree == {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {
            "generateName": "rs-",
            "labels": {"app": "web", "v": "1"},
            "annotations": {"a": "b"},
            "finalizers": ["x/y"],
            "ownerReferences": [
                {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "rs", "uid": "rs-uid", "controller": True,
                 "blockOwnerDeletion": True}
            ],
        },
        "spec": {"containers": [{"name": "c", "image": "i", "unknownField": 1}]},
    }  # fmt: skip
    tree["spec"]["containers"][0]["image"] = "changed by admission"
    assert rs.spec.template["spec"]["containers"][0]["image"] == "i"


def test_a_name_too_long_for_a_dash_goes_without():
    assert replicaset.pod_from(replica_set(name="a" * 252))["metadata"]["generateName"] == "a" * 252


# --- slow start ----------------------------------------------------------------------------------------------


class Attempts:
    """Counts calls and how many run side by side; those numbered in ``fail`` are refused."""

    def __init__(self, fail: dict[int, Exception]) -> None:
        self.fail, self.calls, self.running, self.batches = fail, 0, 0, list[int]()

    async def __call__(self) -> None:
        number, self.calls = self.calls, self.calls + 1
        self.running += 1
        if self.running == 1:
            self.batches.append(0)
        self.batches[-1] += 1
        # One turn of the loop, so that all of a batch have begun before the first ends.
        await asyncio.sleep(0)
        self.running -= 1
        if number in self.fail:
            raise self.fail[number]


@pytest.mark.parametrize(
    ("count", "fail", "batches", "done"),
    [
        pytest.param(0, (), [], 0, id="none"),
        pytest.param(1, (), [1], 1, id="one"),
        pytest.param(10, (), [1, 2, 4, 3], 10, id="doubling"),
        pytest.param(500, (0,), [1], 0, id="first-refused"),
        pytest.param(500, (1, 2), [1, 2], 1, id="second-batch-refused"),
        pytest.param(500, (5,), [1, 2, 4], 6, id="one-of-a-batch-refused"),
    ],
)
async def test_slow_start_stops_at_the_first_batch_with_an_error(count, fail, batches, done):
    attempts = Attempts({number: ServiceUnavailable(f"no {number}") for number in fail})
    succeeded, error = await replicaset.slow_start(count, attempts)
    assert (succeeded, attempts.batches) == (done, batches)
    assert (error.message if error else None) == (f"no {fail[0]}" if fail else None)


async def test_slow_start_does_not_hide_bugs():
    with pytest.raises(KeyError):
        await replicaset.slow_start(4, Attempts({1: ServiceUnavailable("no"), 2: KeyError("bug")}))


# --- ownership -----------------------------------------------------------------------------------------------

SELECTOR = from_label_selector(LabelSelector(match_labels={"app": "web"}))
OTHER = {"app": "other"}


def names(objects: Any) -> list[str]:
    return [obj.metadata.name for obj in objects]


@pytest.mark.parametrize(
    ("rs", "expected"),
    [
        pytest.param(replica_set(), (["kept"], ["adopted"], ["released"]), id="alive"),
        pytest.param(replica_set(deletion_timestamp=NOW), (["kept"], [], []), id="being-deleted"),
    ],
)
def test_claims(rs, expected):
    orphans = [pod("adopted"), pod("no match", labels=OTHER), pod("leaving", deletion_timestamp=NOW)]
    claims = ownership.decide(rs, SELECTOR, [pod("kept"), pod("released", labels=OTHER)], orphans)
    assert (names(claims.kept), names(claims.adopted), names(claims.released)) == expected


def test_indexes_by_controller_orphanage_and_namespace():
    cache = Cache(PODS)
    ownership.add_indexes(cache)
    ownership.add_indexes(cache)
    watcher = owner("someone", controller=False)
    cache.replace([pod("mine"), pod("orphan", owner_references=(watcher,)), pod("far", namespace="other")], "1")
    assert names(cache.by_index(ownership.CONTROLLER, "rs-uid")) == ["mine", "far"]
    assert names(cache.by_index(ownership.ORPHANS, "ns")) == ["orphan"]
    assert names(cache.by_index(ownership.NAMESPACE, "other")) == ["far"]
    cache.apply(pod("orphan"))
    assert cache.by_index(ownership.ORPHANS, "ns") == []


@pytest.mark.parametrize(
    ("reference", "found"),
    [(owner(), True), (owner("other"), False), (owner(kind="Job"), False), (owner(name="x"), False), (None, False)],
    ids=["ours", "same-name-made-anew", "other-kind", "other-name", "none"],
)
def test_owner_in(reference, found):
    sets = Cache(REPLICA_SETS)
    sets.replace([replica_set()], "1")
    assert (ownership.owner_in(sets, "ns", reference) is not None) is found


# --- expectations --------------------------------------------------------------------------------------------

KEY = ("ns", "rs")


def answer(revision: int) -> dict[str, Any]:
    return {"metadata": {"resourceVersion": str(revision)}}


def seen(cache: Cache[Pod], revision: int) -> None:
    cache.apply(pod(f"r{revision}", resource_version=str(revision)))


def test_a_key_waits_until_the_cache_shows_its_newest_write():
    expectations, cache = Expectations(FakeClock(NOW)), Cache(PODS)
    assert expectations.wait(KEY) is None
    for revision in (10, 12, 11):  # side by side, so answers come in any order
        expectations.wrote(KEY, cache, answer(revision))
    waits = []
    for revision in (9, 11, 12):
        seen(cache, revision)
        waits.append(expectations.wait(KEY))
    assert waits == [1.0, 1.0, None]
    assert expectations.wait(("ns", "other")) is None


def test_writes_to_two_resources_are_both_awaited():
    expectations, of_pods, of_sets = Expectations(FakeClock(NOW)), Cache(PODS), Cache(REPLICA_SETS)
    expectations.wrote(KEY, of_pods, answer(10))
    expectations.wrote(KEY, of_sets, answer(11))
    of_sets.replace([], "11")
    assert expectations.wait(KEY) is not None
    of_pods.replace([], "10")
    assert expectations.wait(KEY) is None


def test_a_write_that_never_shows_is_given_up():
    clock, cache = FakeClock(NOW), Cache(PODS)
    expectations = Expectations(clock)
    expectations.wrote(KEY, cache, answer(10))
    clock.advance(TIMEOUT - 0.5)
    assert expectations.wait(KEY) == pytest.approx(0.5)
    clock.advance(1)
    assert expectations.wait(KEY) is None


def test_deleted_pods_are_going_until_the_cache_knows():
    expectations = Expectations(FakeClock(NOW))
    expectations.deleted(KEY, "a")
    expectations.deleted(KEY, "b")
    assert expectations.going(KEY, ["a", "b", "c"]) == {"a", "b"}
    assert expectations.going(KEY, ["b", "c"]) == {"b"}
    assert expectations.going(KEY, ["a", "c"]) == frozenset(), "what was seen to go is forgotten"
    assert expectations.going(KEY, ["b"]) == frozenset()


def test_going_is_given_up_too():
    clock = FakeClock(NOW)
    expectations = Expectations(clock)
    expectations.deleted(KEY, "a")
    clock.advance(TIMEOUT)
    assert expectations.going(KEY, ["a"]) == frozenset()

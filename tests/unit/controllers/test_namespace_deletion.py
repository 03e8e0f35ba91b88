"""The steps in which a terminating namespace is emptied."""

from datetime import UTC, datetime, timedelta

from controlplane.controllers.namespace import Outside, Plan, decide
from controlplane.controllers.writes import Delete
from shared.api.core import Namespace, NamespaceStatus
from shared.api.kinds import CONFIG_MAPS, PODS, SECRETS, Resource
from shared.api.meta import Condition, Object, ObjectMeta

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def namespace(*conditions: Condition) -> Namespace:
    meta = ObjectMeta(name="ns", uid="u", deletion_timestamp=NOW)
    return Namespace(metadata=meta, status=NamespaceStatus(phase="Terminating", conditions=conditions))


def obj(name: str, *finalizers: str, going: bool = False) -> Object:
    return Object(
        metadata=ObjectMeta(
            name=name, namespace="ns", uid=name, finalizers=finalizers, deletion_timestamp=NOW if going else None
        )
    )


def deleted(plan: Plan) -> list[tuple[str, str]]:
    return [(write.resource.plural, write.name) for write in plan.delete]


def test_pods_go_first_with_their_grace():
    plan = decide(namespace(), {CONFIG_MAPS: [obj("c")], PODS: [obj("p"), obj("q", going=True)]}, NOW)
    assert plan.delete == (Delete(PODS, "p", "ns", uid="p", propagation_policy="Background"),)
    assert not plan.empty


def test_all_else_goes_when_no_pod_is_left():
    plan = decide(namespace(), {PODS: [], CONFIG_MAPS: [obj("c")], SECRETS: [obj("s"), obj("t", going=True)]}, NOW)
    assert deleted(plan) == [("configmaps", "c"), ("secrets", "s")]


def test_an_empty_namespace_ends():
    assert decide(namespace(), {PODS: [], CONFIG_MAPS: []}, NOW) == Plan(empty=True)


def test_conditions_say_what_is_left_and_what_holds_it():
    plan = decide(namespace(), {CONFIG_MAPS: [obj("c", "x/y", going=True), obj("d", "x/y", going=True)]}, NOW)
    assert deleted(plan) == []
    assert {c.type: (c.status, c.message) for c in plan.conditions} == {
        "NamespaceDeletionDiscoveryFailure": ("False", "All resources successfully discovered"),
        "NamespaceDeletionGroupVersionParsingFailure": ("False", "All legacy kube types successfully parsed"),
        "NamespaceDeletionContentFailure": (
            "False",
            "All content successfully deleted, may be waiting on finalization",
        ),
        "NamespaceContentRemaining": ("True", "Some resources are remaining: configmaps has 2 resource instances"),
        "NamespaceFinalizersRemaining": (
            "True",
            "Some content in the namespace has finalizers remaining: x/y in 2 resource instances",
        ),
    }


def test_only_conditions_that_changed_are_written_and_keep_their_transition_time():
    content = {CONFIG_MAPS: [obj("c", going=True)]}
    first = decide(namespace(), content, NOW).conditions
    later = NOW + timedelta(minutes=1)
    assert decide(namespace(*first), content, later).conditions == ()
    (changed,) = decide(namespace(*first), {CONFIG_MAPS: [obj("c"), obj("d")]}, later).conditions
    assert (changed.type, changed.last_transition_time) == ("NamespaceContentRemaining", NOW)


WIDGETS = Resource("demo.example", "v1", "widgets", "Widget", True, Object)


def test_what_other_servers_have_keeps_the_namespace():
    plan = decide(namespace(), {}, NOW, Outside({WIDGETS: [obj("w")]}))
    assert (plan.empty, plan.delete) == (False, ())
    said = {c.type: (c.status, c.message) for c in plan.conditions}
    assert said["NamespaceContentRemaining"] == (
        "True",
        "Some resources are remaining: widgets.demo.example has 1 resource instances",
    )
    assert decide(namespace(), {}, NOW, Outside({WIDGETS: []})).empty


def test_what_nobody_can_tell_keeps_the_namespace():
    stale = {"demo.example/v1": "stale GroupVersion discovery: demo.example/v1"}
    plan = decide(namespace(), {}, NOW, Outside(undiscovered=stale, failed=["no answer"]))
    assert not plan.empty
    said = {c.type: (c.status, c.reason, c.message) for c in plan.conditions}
    assert said["NamespaceDeletionDiscoveryFailure"] == (
        "True",
        "DiscoveryFailed",
        "Discovery failed for some groups, 1 failing: unable to retrieve the complete list of server APIs:"
        " demo.example/v1: stale GroupVersion discovery: demo.example/v1",
    )
    assert said["NamespaceDeletionContentFailure"] == (
        "True",
        "ContentDeletionFailed",
        "Failed to delete all resource types, 1 remaining: no answer",
    )
    assert said["NamespaceContentRemaining"][:2] == ("False", "ContentRemoved")

"""Zone states, eviction delays, and who is told when they change."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.controllers.zones import DisruptionSettings, Zones, ZoneState, ZoneView, eviction_delay, state_of

SETTINGS = DisruptionSettings()


@pytest.mark.parametrize(
    ("ready", "unready", "state"),
    [
        pytest.param(2, 1, ZoneState.NORMAL, id="one-of-three"),
        pytest.param(1, 2, ZoneState.NORMAL, id="two-of-three-are-not-more-than-two"),
        pytest.param(0, 3, ZoneState.FULL, id="all-of-three"),
        pytest.param(0, 1, ZoneState.FULL, id="the-only-one"),
        pytest.param(2, 3, ZoneState.PARTIAL, id="three-of-five"),
        pytest.param(46, 54, ZoneState.NORMAL, id="54-percent"),
        pytest.param(45, 55, ZoneState.PARTIAL, id="55-percent"),
        pytest.param(0, 0, ZoneState.NORMAL, id="nothing-counted"),
    ],
)
def test_state(ready, unready, state):
    assert state_of(ready, unready, SETTINGS) is state


@pytest.mark.parametrize(
    ("view", "delay"),
    [
        pytest.param(ZoneView(ZoneState.NORMAL, 3), 0.0, id="normal"),
        pytest.param(ZoneView(ZoneState.FULL, 3), 0.0, id="one-zone-of-several-lost"),
        pytest.param(ZoneView(ZoneState.FULL, 3, everything_down=True), None, id="everything-lost"),
        pytest.param(ZoneView(ZoneState.PARTIAL, 50), None, id="small-zone-disrupted"),
        pytest.param(ZoneView(ZoneState.PARTIAL, 51), 0.0, id="large-zone-first"),
        pytest.param(ZoneView(ZoneState.PARTIAL, 51, last_slow_eviction=940.0), 40.0, id="large-zone-next"),
        pytest.param(ZoneView(ZoneState.PARTIAL, 51, last_slow_eviction=900.0), 0.0, id="large-zone-next-due"),
        pytest.param(ZoneView(ZoneState.NORMAL, 3, recovered=996.0), 6.0, id="just-came-back"),
        pytest.param(ZoneView(ZoneState.NORMAL, 3, recovered=980.0), 0.0, id="came-back-long-ago"),
    ],
)
def test_eviction_delay(view, delay):
    assert eviction_delay(view, SETTINGS, 1000.0) == delay


def test_losing_the_last_node_tells_the_others_that_were_lost_before():
    zones = Zones(SETTINGS)
    for name in "abc":
        zones.put(name, "z", 0, ready=True)
    assert list(zones.put("a", "z", 1, ready=False)) == []
    assert list(zones.put("b", "z", 1, ready=False)) == []
    assert sorted(zones.put("c", "z", 1, ready=False)) == ["a", "b", "c"]
    assert zones.view("z").everything_down
    assert sorted(zones.put("c", "z", 5, ready=True)) == ["a", "b"]
    assert zones.view("z") == ZoneView(ZoneState.NORMAL, 3, recovered=5)


def test_a_zone_is_judged_by_itself():
    zones = Zones(SETTINGS)
    zones.put("a", "z1", 0, ready=True)
    zones.put("b", "z2", 0, ready=False)
    assert zones.view("z2") == ZoneView(ZoneState.FULL, 1)


def test_nodes_that_do_not_count_change_nothing():
    zones = Zones(SETTINGS)
    zones.put("a", "z", 0, ready=True)
    assert list(zones.put("b", "z", 0, ready=False, counted=False)) == []
    assert zones.view("z") == ZoneView(ZoneState.NORMAL, 1)


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from(["x", "y"]), st.sampled_from("rug"))))
def test_counts_are_those_of_the_nodes_that_there_are(steps):
    zones, nodes = Zones(SETTINGS), {}
    for name, zone, what in steps:
        if what == "g":
            nodes.pop(name, None)
            zones.remove(name, 0)
        else:
            nodes[name] = (zone, what == "r")
            zones.put(name, zone, 0, ready=what == "r")
    for zone in ("x", "y"):
        here = [ready for at, ready in nodes.values() if at == zone]
        view = zones.view(zone)
        assert (view.size, view.state) == (len(here), state_of(sum(here), len(here) - sum(here), SETTINGS))
        assert view.everything_down == (bool(nodes) and not any(ready for _, ready in nodes.values()))

"""What makes a figure one that may be quoted."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from osteolite.benchmarks.analysis.validity import launch_medians, reasons
from osteolite.benchmarks.harness.records import Lane, Launch

FINE: dict[str, Any] = {
    "before": {"throttled": [], "throttle_count": 3, "on_battery": False},
    "during": {"first_mhz": 2400, "last_mhz": 2380, "throttled": None},
    "after": {"throttled": [], "throttle_count": 3, "on_battery": False},
}


def steady_lane(launches: int = 9, scale: float = 10.0) -> Lane:
    random = np.random.default_rng(0)

    def launch() -> Launch:
        turns = scale * (1 + 0.01 * random.standard_normal((10, 10)))
        return Launch(invoke=turns.tolist(), warm_up=20, foreign_cores=0.02, stolen=0.001)

    return Lane("a.tflite", "int8", 1000, 1, launches=[launch() for _ in range(launches)])


def change(lane: Lane, **values: Any) -> Lane:
    """Two launches changed: one is a machine's mood."""
    return replace(lane, launches=[*(replace(one, **values) for one in lane.launches[:2]), *lane.launches[2:]])


def test_a_steady_quiet_unthrottled_lane_is_valid() -> None:
    assert reasons(steady_lane(), FINE) == []


def test_one_bad_launch_of_nine_is_a_machines_mood() -> None:
    bad = Launch(invoke=[[17.0] * 10] * 10, steady=False, foreign_cores=1.0, stolen=0.5)
    assert reasons(replace(steady_lane(), launches=[bad, *steady_lane(8).launches]), FINE) == []


def test_what_a_device_does_not_tell_is_no_reason() -> None:
    lane = steady_lane()
    unknown = replace(lane, launches=[replace(one, foreign_cores=None, stolen=None) for one in lane.launches])
    nothing = dict.fromkeys(("throttled", "throttle_count", "on_battery", "first_mhz", "last_mhz"))
    assert reasons(unknown, {"before": nothing, "during": nothing, "after": nothing}) == []
    assert reasons(unknown, {}) == []


@pytest.mark.parametrize(
    ("lane", "reason"),
    [
        (steady_lane(5), "too short: 5 launches"),
        (replace(steady_lane(), launches=[Launch(quantiles={"p50": 3.0}, runs=4)] * 9), "too short: 36 invocations"),
        (
            replace(steady_lane(), reason="the GPU is llvmpipe, a processor's imitation of one"),
            "no GPU: the GPU is llv",
        ),
        (change(steady_lane(), steady=False), "2 of 9 launches did not come to rest"),
        (change(steady_lane(), foreign_cores=0.9), "not quiet: other programs kept up to 0.90 cores busy"),
        (change(steady_lane(), stolen=0.2), "not quiet: the hypervisor gave 20%"),
        (change(steady_lane(), invoke=[[12.0] * 10] * 10), "unsteady: launches differ"),
    ],
)
def test_each_shortcoming_is_told(lane: Lane, reason: str) -> None:
    found = reasons(lane, FINE)
    assert len(found) == 1
    assert reason in found[0]


def test_a_lane_that_slows_down_within_its_launches_is_told() -> None:
    slowing = [[10.0 + turn] * 5 for turn in range(10)]
    lane = replace(steady_lane(), launches=[Launch(invoke=slowing, warm_up=20)] * 9)
    assert reasons(lane, FINE) == ["unsteady: invocations became 64% slower within a launch"]


@pytest.mark.parametrize(
    ("when", "values", "reason"),
    [
        ("after", {"throttled": ["throttled"]}, "throttled: throttled"),
        ("during", {"throttled": ["under-voltage"]}, "throttled: under-voltage"),
        ("after", {"throttled": ["clock capped since boot"]}, "throttled: clock capped since boot"),
        ("after", {"throttle_count": 5}, "slowed for their heat 2 times"),
        ("during", {"last_mhz": 1500}, "the clock fell from 2400 to 1500 MHz"),
        ("before", {"on_battery": True}, "on battery"),
    ],
)
def test_heat_voltage_and_battery_are_told(when: str, values: dict[str, Any], reason: str) -> None:
    found = reasons(steady_lane(), {**FINE, when: {**FINE[when], **values}})
    assert len(found) == 1
    assert reason in found[0]


def test_what_was_over_before_the_run_does_not_count() -> None:
    old = {"throttled": ["under-voltage since boot"]}
    conditions = {"before": old, "during": old, "after": old}
    assert reasons(steady_lane(), conditions) == []
    assert reasons(steady_lane(), {**conditions, "before": {"throttled": []}}) != []


def test_the_median_of_a_launch_is_of_its_runs_or_what_was_told() -> None:
    launches = [Launch(invoke=[[1.0, 2.0], [9.0]]), Launch(quantiles={"p50": 3.0}), Launch(quantiles={"mean": 4.0})]
    assert launch_medians(Lane("a", "b", 1, 1, launches=[*launches, Launch()])) == [2.0, 3.0, 4.0]

"""Which results are valid."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from osteolite.benchmarks.analysis.validity import launch_medians, reasons
from osteolite.benchmarks.harness.records import Case, Launch

FINE: dict[str, Any] = {
    "before": {"throttled": [], "throttle_count": 3, "on_battery": False},
    "during": {"first_mhz": 2400, "last_mhz": 2380, "throttled": None},
    "after": {"throttled": [], "throttle_count": 3, "on_battery": False},
}


def steady_case(launches: int = 9, scale: float = 10.0) -> Case:
    random = np.random.default_rng(0)

    def launch() -> Launch:
        turns = scale * (1 + 0.01 * random.standard_normal((10, 10)))
        return Launch(invoke=turns.tolist(), warm_up=20, foreign_cores=0.02, stolen=0.001)

    return Case("a.tflite", "int8", 1000, 1, launches=[launch() for _ in range(launches)])


def change(case: Case, **values: Any) -> Case:
    """Change two launches; a single exception is tolerated."""
    return replace(case, launches=[*(replace(one, **values) for one in case.launches[:2]), *case.launches[2:]])


def test_a_steady_quiet_unthrottled_case_is_valid() -> None:
    assert reasons(steady_case(), FINE) == []


def test_one_bad_launch_of_nine_is_tolerated() -> None:
    bad = Launch(invoke=[[17.0] * 10] * 10, steady=False, foreign_cores=1.0, stolen=0.5)
    assert reasons(replace(steady_case(), launches=[bad, *steady_case(8).launches]), FINE) == []


def test_unknown_values_are_no_reason() -> None:
    case = steady_case()
    unknown = replace(case, launches=[replace(one, foreign_cores=None, stolen=None) for one in case.launches])
    nothing = dict.fromkeys(("throttled", "throttle_count", "on_battery", "first_mhz", "last_mhz"))
    assert reasons(unknown, {"before": nothing, "during": nothing, "after": nothing}) == []
    assert reasons(unknown, {}) == []


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        (steady_case(5), "too short: 5 launches"),
        (replace(steady_case(), launches=[Launch(quantiles={"p50": 3.0}, runs=4)] * 9), "too short: 36 invocations"),
        (
            replace(steady_case(), reason="the GPU is llvmpipe, a processor's imitation of one"),
            "no GPU: the GPU is llv",
        ),
        (change(steady_case(), steady=False), "2 of 9 launches were not steady after their warm-up"),
        (change(steady_case(), foreign_cores=0.9), "not quiet: other programs kept up to 0.90 cores busy"),
        (change(steady_case(), stolen=0.2), "not quiet: the hypervisor gave 20%"),
        (change(steady_case(), invoke=[[12.0] * 10] * 10), "unsteady: launches differ"),
    ],
)
def test_each_shortcoming_is_a_reason(case: Case, reason: str) -> None:
    found = reasons(case, FINE)
    assert len(found) == 1
    assert reason in found[0]


def test_slowing_down_within_launches_is_a_reason() -> None:
    slowing = [[10.0 + turn] * 5 for turn in range(10)]
    case = replace(steady_case(), launches=[Launch(invoke=slowing, warm_up=20)] * 9)
    assert reasons(case, FINE) == ["unsteady: invocations became 64% slower within a launch"]


@pytest.mark.parametrize(
    ("when", "values", "reason"),
    [
        ("after", {"throttled": ["throttled"]}, "throttled: throttled"),
        ("during", {"throttled": ["under-voltage"]}, "throttled: under-voltage"),
        ("after", {"throttled": ["clock capped since boot"]}, "throttled: clock capped since boot"),
        ("after", {"throttle_count": 5}, "slowed down by heat 2 times"),
        ("during", {"last_mhz": 1500}, "the clock fell from 2400 to 1500 MHz"),
        ("before", {"on_battery": True}, "on battery"),
    ],
)
def test_heat_low_voltage_and_battery_are_reasons(when: str, values: dict[str, Any], reason: str) -> None:
    found = reasons(steady_case(), {**FINE, when: {**FINE[when], **values}})
    assert len(found) == 1
    assert reason in found[0]


def test_past_throttling_is_no_reason() -> None:
    old = {"throttled": ["under-voltage since boot"]}
    conditions = {"before": old, "during": old, "after": old}
    assert reasons(steady_case(), conditions) == []
    assert reasons(steady_case(), {**conditions, "before": {"throttled": []}}) != []


def test_the_median_of_a_launch_comes_from_its_runs_or_the_device() -> None:
    launches = [Launch(invoke=[[1.0, 2.0], [9.0]]), Launch(quantiles={"p50": 3.0}), Launch(quantiles={"mean": 4.0})]
    assert launch_medians(Case("a", "b", 1, 1, launches=[*launches, Launch()])) == [2.0, 3.0, 4.0]

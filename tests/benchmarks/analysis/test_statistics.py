"""Intervals between launches, and MLPerf's early stopping."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from osteolite.benchmarks.analysis.intervals import median_interval
from osteolite.benchmarks.analysis.mlperf import early_stopping_estimate, offline, single_stream

POSITIVE = st.floats(0.01, 1e4)


@pytest.mark.parametrize(("count", "place"), [(6, 1), (8, 1), (9, 2), (11, 2), (12, 3), (20, 6)])
def test_the_limits_are_those_of_the_sign_test(count: int, place: int) -> None:
    """The limits are the place-th values from both ends, by tables of the binomial distribution."""
    found = median_interval(list(range(1, count + 1)))
    assert found == ((count + 1) / 2, place, count + 1 - place)


@pytest.mark.parametrize("values", [[], [1.0], [1.0] * 5])
def test_too_few_values_have_no_interval(values: list[float]) -> None:
    assert median_interval(values) is None


@given(st.lists(POSITIVE, min_size=6, max_size=12), POSITIVE)
def test_another_unit_scales_the_interval(values: list[float], unit: float) -> None:
    found, scaled = median_interval(values), median_interval([unit * value for value in values])
    assert found is not None
    assert scaled == pytest.approx(tuple(unit * value for value in found), rel=1e-6)


@pytest.mark.parametrize("count", [6, 9, 15])
def test_the_interval_has_at_least_its_nominal_coverage(count: int) -> None:
    random = np.random.default_rng(0)
    found = [median_interval(random.lognormal(0, 0.5, count).tolist()) for _ in range(1000)]
    held = sum(one is not None and one[1] <= 1 <= one[2] for one in found)
    assert 940 <= held <= 995


def test_the_bound_of_the_fewest_queries_is_the_slowest() -> None:
    assert early_stopping_estimate([1.0] * 63) is None
    assert early_stopping_estimate(list(range(64))) == 63


def test_more_queries_give_a_closer_bound() -> None:
    bounds = [early_stopping_estimate(np.linspace(0, 1, count).tolist()) or 0.0 for count in (64, 1000, 100_000)]
    assert bounds[0] == 1.0
    assert 0.91 < bounds[1] < 0.93
    assert 0.9 < bounds[2] < 0.903


@given(st.lists(POSITIVE, min_size=64, max_size=200))
def test_the_bound_is_one_of_the_slow_queries(spent: list[float]) -> None:
    bound = early_stopping_estimate(spent)
    assert bound is not None
    assert bound in spent
    assert bound >= np.percentile(spent, 90)


@pytest.mark.parametrize(
    ("raw", "complete"),
    [({"milliseconds": [100.0] * 100}, False), ({"milliseconds": [10.0] * 60_000}, True)],
)
def test_single_stream_is_complete_after_its_minimum_time(raw: dict[str, Any], complete: bool) -> None:
    found = single_stream(raw)
    assert found["complete"] == complete
    assert bool(found["ended"]) != complete
    assert found["p90_ms"] == raw["milliseconds"][0]


def test_offline_is_complete_after_its_minimum_time_and_samples() -> None:
    assert offline({"samples": 30_000, "seconds": 600.0})["complete"]
    assert not offline({"samples": 20_000, "seconds": 600.0})["complete"]
    early = offline({"samples": 30_000, "seconds": 10.0})
    assert early["ended"] == "early: after 10 of 600 seconds and 30000 of 24576 samples"
    assert early["samples_per_second"] == 3000.0

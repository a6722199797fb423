"""The ratio of two samples with its interval."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from osteolite.benchmarks.analysis.ratio import Ratio, ratio_of

LAUNCHES = st.lists(st.floats(0.5, 500.0), min_size=2, max_size=8)


def exp(*logs: float) -> tuple[float, ...]:
    return tuple(math.exp(value) for value in logs)


@pytest.mark.parametrize(
    ("before", "after", "change", "half"),
    [
        # Variances 0.0004, three launches each: error sqrt(2 * 0.0004 / 3), 4 degrees of freedom, t = 2.776445.
        ((0.0, 0.02, 0.04), (0.10, 0.12, 0.14), 0.10, 2.776445 * math.sqrt(0.0008 / 3)),
        # Variances 0.0002 of two and 0.0012 of four: errors squared 0.0001 and 0.0003, and
        # 0.0004^2 / (0.0001^2 / 1 + 0.0003^2 / 3) = 4 degrees of freedom again.
        ((0.0, 0.02), (0.3, 0.3, 0.36, 0.36), 0.32, 2.776445 * 0.02),
    ],
)
def test_the_interval_is_that_of_welch(
    before: tuple[float, ...], after: tuple[float, ...], change: float, half: float
) -> None:
    found = ratio_of(exp(*before), exp(*after))
    assert found is not None
    expected = exp(change, change - half, change + half)
    assert (found.value, found.low, found.high) == pytest.approx(expected, rel=1e-6)


@given(LAUNCHES, LAUNCHES)
def test_the_ratio_lies_inside_its_interval(before: list[float], after: list[float]) -> None:
    found = ratio_of(before, after)
    assert found is not None
    if found.low is not None and found.high is not None:
        assert found.low <= min(found.value, 1000) and found.high >= max(found.value, 0.001)


def test_times_that_do_not_vary_have_an_interval_only_if_they_are_equal() -> None:
    assert ratio_of([5.0, 5.0], [5.0, 5.0, 5.0]) == Ratio(1.0, 1.0, 1.0)
    coarse = ratio_of([5.0, 5.0], [10.0, 10.0])
    assert coarse is not None and coarse.value == pytest.approx(2.0) and coarse.low is None and coarse.high is None
    found = ratio_of([5.0, 5.0, 5.0], [5.0, 5.5, 6.0])
    assert found is not None and found.low is not None and found.low < found.value

"""The ratio of two samples with a confidence interval.

Welch's test compares the means of the logarithms, so its interval is one of the ratio of geometric means.
Source: B. L. Welch, Biometrika 34, 28 (1947).
"""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_WIDEST = math.log(1000)  # limits are cut here; an interval this wide says nothing
_NOTHING = 1e-9  # largest rounding error of a difference


@dataclass(frozen=True)
class Ratio:
    """After divided by before, with a 95 % interval. The limits are None if there is no interval."""

    value: float
    low: float | None = None
    high: float | None = None


def ratio_of(before: Sequence[float], after: Sequence[float]) -> Ratio | None:
    """The ratio of geometric means with a 95 % interval by Welch's t-test of the logarithms.

    Args:
        before: milliseconds, one value per launch.
        after: the same for the other benchmark.

    Returns:
        None unless all values are positive and neither side is empty. There is no interval if a side has fewer than
        two values, or if the sides differ but neither varies: the clock was then too coarse to show the spread.

    >>> ratio_of([1.0, 1.0], [2.0, 2.0])
    Ratio(value=2.0, low=None, high=None)
    """
    if not before or not after or min(*before, *after) <= 0:
        return None
    logs = [np.log(side) for side in (before, after)]
    change = float(logs[1].mean() - logs[0].mean())
    if min(len(before), len(after)) < 2:
        return Ratio(math.exp(change))
    error = math.sqrt(sum(side.var(ddof=1) / len(side) for side in logs))
    if error < _NOTHING:
        return Ratio(1.0, 1.0, 1.0) if abs(change) < _NOTHING else Ratio(math.exp(change))
    from scipy.stats import ttest_ind

    with warnings.catch_warnings():  # scipy warns if one of the sides does not vary, which is harmless here
        warnings.simplefilter("ignore", RuntimeWarning)
        ends = ttest_ind(logs[1], logs[0], equal_var=False).confidence_interval(0.95)
    low, high = (math.exp(min(max(float(end), -_WIDEST), _WIDEST)) for end in ends)
    return Ratio(math.exp(change), low, high)

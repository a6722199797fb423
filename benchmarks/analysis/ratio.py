"""By how many times one sample is larger than another, with an interval.

Welch's test compares the means of the logarithms, so that its interval is one of the ratio.
Source: B. L. Welch, Biometrika 34, 28 (1947).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

_WIDEST = math.log(1000)  # an interval that wide tells nothing
_NOTHING = 1e-9  # what rounding leaves of a difference


@dataclass(frozen=True)
class Ratio:
    """After divided by before, with a 95 % interval; None where one launch of either is all there is."""

    value: float
    low: float | None = None
    high: float | None = None


def ratio_of(before: Sequence[float], after: Sequence[float]) -> Ratio | None:
    """The ratio of geometric means, with a 95 % interval by Welch's t of the logarithms.

    Args:
        before: milliseconds, one for each launch.
        after: the same of the other benchmark.

    Returns:
        None without a positive number on either side. The interval is left out where either side has
        fewer than two, and where neither side varies while they differ: a clock that coarse tells no spread.
    """
    if not before or not after or min(*before, *after) <= 0:
        return None
    sides = [[math.log(value) for value in side] for side in (before, after)]
    means = [math.fsum(side) / len(side) for side in sides]
    change = means[1] - means[0]
    if min(len(before), len(after)) < 2:
        return Ratio(math.exp(change))
    parts = [
        math.fsum((value - mean) ** 2 for value in side) / (len(side) - 1) / len(side)
        for side, mean in zip(sides, means, strict=True)
    ]
    error = math.sqrt(sum(parts))
    if error < _NOTHING:
        return Ratio(1.0, 1.0, 1.0) if abs(change) < _NOTHING else Ratio(math.exp(change))
    from scipy.stats import t

    degrees = sum(parts) ** 2 / sum(part**2 / (len(side) - 1) for part, side in zip(parts, sides, strict=True))
    half = float(t.ppf(0.975, degrees)) * error
    low, high = (math.exp(min(max(end, -_WIDEST), _WIDEST)) for end in (change - half, change + half))
    return Ratio(math.exp(change), low, high)

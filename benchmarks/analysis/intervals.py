"""Quantiles of latency with intervals that hold from one launch to the next.

Runs of one process are alike in ways that those of the next are not (where its memory lies, which cores it got),
so that an interval from single runs would be far too narrow. Each launch therefore gives one value of a quantile.
On a machine that is shared, one launch in ten or so is slow from beginning to end; the median of the launches and
an interval by their order do not mind one, where a mean and its interval would.

Source: order statistics as confidence limits of a median (W. R. Thompson, Annals of Mathematical Statistics 7, 122,
1936); no distribution is assumed.
"""

from collections.abc import Sequence
from math import comb

import numpy as np

CONFIDENCE = 0.95
FEWEST = 6  # launches whose smallest and largest hold the median with 95 % confidence


def median_interval(values: Sequence[float]) -> tuple[float, float, float] | None:
    """Median with its interval of at least 95 %: (median, low, high); None of fewer than 6.

    Of nine values the limits are the second and the second last.

    >>> median_interval([5, 1, 2, 3, 4, 6, 7, 8, 90])
    (5.0, 2.0, 8.0)
    """
    count = len(values)
    if count < FEWEST:
        return None
    ordered = sorted(map(float, values))
    outside, below = 0, comb(count, 0)  # values beyond a limit; ways to have that many or fewer on one side
    while 2 * (below + comb(count, outside + 1)) <= (1 - CONFIDENCE) * 2**count:
        outside += 1
        below += comb(count, outside)
    return float(np.median(ordered)), ordered[outside], ordered[-1 - outside]

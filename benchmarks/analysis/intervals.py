"""Quantiles of latency with intervals that hold from one launch to the next.

Runs of one process share conditions that the next process does not have (where its memory lies, which cores it got), so
an interval from single runs would be far too narrow. Each launch therefore contributes one value of a quantile. On a
shared machine about one launch in ten is slow throughout. One such launch hardly changes the median of the launches and
an interval by their order, but it would distort a mean and its interval.

Source: order statistics as confidence limits of a median (W. R. Thompson, Annals of Mathematical Statistics 7, 122,
1936); no distribution is assumed.
"""

from collections.abc import Sequence

import numpy as np

CONFIDENCE = 0.95
FEWEST = 6  # launches; their smallest and largest value contain the median with 95 % confidence


def median_interval(values: Sequence[float]) -> tuple[float, float, float] | None:
    """The median with an interval of at least 95 % confidence.

    For nine values the limits are the second smallest and the second largest.

    Returns:
        The median and the lower and upper limit; None for fewer than 6 values.

    >>> median_interval([5, 1, 2, 3, 4, 6, 7, 8, 90])
    (5.0, 2.0, 8.0)
    """
    if len(values) < FEWEST:
        return None
    from scipy.stats import quantile_test

    low, high = quantile_test(np.asarray(values, float), p=0.5).confidence_interval(CONFIDENCE)
    return float(np.median(values)), float(low), float(high)

"""Quantiles of latency with intervals that hold from one launch to the next.

Runs of one process are alike in ways that those of the next are not (where its memory lies, what the machine
did at that time), so that an interval from single runs would be far too narrow. Each launch therefore gives one
value of a quantile, and the interval is Student's t over their logarithms, as latencies differ by ratios.
"""

import math
from collections.abc import Sequence

import numpy as np

CONFIDENCE = 0.95
FEWEST = 3  # launches that an interval is made of


def mean_ratio(values: Sequence[float]) -> tuple[float, float, float] | None:
    """Geometric mean of positive values with its 95 % interval: (mean, low, high); None of fewer than 3.

    >>> mean_ratio([1.0, 1.0, 1.0])
    (1.0, 1.0, 1.0)
    """
    if len(values) < FEWEST or min(values) <= 0:
        return None
    from scipy.stats import t

    logs = np.log(values)
    half = float(t.ppf(0.5 + CONFIDENCE / 2, len(logs) - 1)) * float(logs.std(ddof=1)) / math.sqrt(len(logs))
    middle = float(logs.mean())
    return math.exp(middle), math.exp(middle - half), math.exp(middle + half)

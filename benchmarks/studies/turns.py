"""Time contenders in turns, and evaluate their paired times.

A slow phase of a shared machine affects all contenders alike, so the ratios of neighbouring times stay valid even if
the times do not.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

T = TypeVar("T")
Times = np.ndarray[Any, np.dtype[np.float64]]  # milliseconds, of shape (rounds, items)

_PAUSE = 0.01  # seconds; threads of the previous contender may still spin, waiting for work
_DRAWS = 1000  # of the bootstrap


def interleaved(contenders: Mapping[str, Callable[[T], object]], items: Sequence[T], rounds: int) -> dict[str, Times]:
    """Time every contender on every item, item by item, in a new order each time.

    One additional round before the others is the warm-up and is not counted.

    Args:
        contenders: functions of one item, by name.
        items: the arguments.
        rounds: number of times that each contender runs on each item.
    """
    random = np.random.default_rng(0)
    names = list(contenders)
    spent = {name: np.empty((rounds + 1, len(items))) for name in names}
    for turn in range(rounds + 1):
        for index, item in enumerate(items):
            for name in random.permutation(names):
                time.sleep(_PAUSE)
                start = time.perf_counter()
                contenders[name](item)
                spent[name][turn, index] = 1e3 * (time.perf_counter() - start)
    return {name: times[1:] for name, times in spent.items()}


def paired(values: Times) -> dict[str, float]:
    """The median of paired ratios or differences, with a 95 % percentile interval.

    The bootstrap draws both rounds and items, because both are samples: of the machine's states, and of the work.
    """
    random = np.random.default_rng(0)
    rounds, items = values.shape
    drawn = [
        np.median(values[random.integers(0, rounds, (rounds, 1)), random.integers(0, items, items)])
        for _ in range(_DRAWS)
    ]
    low, high = np.percentile(drawn, [2.5, 97.5])
    return {"median": round(float(np.median(values)), 4), "low": round(float(low), 4), "high": round(float(high), 4)}


def times(values: Times) -> dict[str, float]:
    """The median and the 90th percentile, in milliseconds."""
    p50, p90 = np.percentile(values, [50, 90])
    return {"p50": round(float(p50), 3), "p90": round(float(p90), 3)}

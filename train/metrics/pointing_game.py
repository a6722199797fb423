"""The pointing game: how often the hottest point of a map lies in a box that a reader drew.

Zhang et al., "Top-Down Neural Attention by Excitation Backprop", ECCV 2016 and IJCV 2018; there a
tolerance of 15 pixels round the box is allowed, here none is.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..data.boxes import Box, covered_share
from .bootstrap import bootstrap_weights, percentile_interval

Array = np.ndarray[Any, Any]
Point = tuple[float, float]  # x and y in shares of the image's width and height
_CENTRE = (0.5, 0.5)


@dataclass(frozen=True)
class PointedImage:
    """One fractured image after the game."""

    group: str
    boxes: tuple[Box, ...]
    probability: float  # of a fracture, calibrated
    point: Point | None  # the hottest; None where the map points nowhere, which is a miss


def pointing_metrics(played: list[PointedImage], threshold: float) -> dict[str, Any]:
    """How often the hottest point lies in a box, against chance and against the image's centre.

    Args:
        played: fractured images, at least one.
        threshold: from which a fracture counts as detected.

    Returns:
        {"nowhere": how many maps point nowhere, "all": of every image, "detected": of those at or above
        the threshold, None without any}. The last two are {"images", "groups", "share", "centre",
        "chance"}: the share of images whose hottest point lies in a box, of those whose centre does,
        and the mean share of the image's area that boxes cover, each {"value", "low", "high"} with the
        95 % interval by bootstrap over groups.
    """
    detected = [one for one in played if one.probability >= threshold]
    return {
        "nowhere": sum(one.point is None for one in played),
        "all": _shares(played),
        "detected": _shares(detected) if detected else None,
    }


def _shares(played: list[PointedImage]) -> dict[str, Any]:
    groups = np.array([one.group for one in played])
    weights = bootstrap_weights(groups, np.ones(len(played), int), seed=0)
    values = {
        "share": [_holds(one.boxes, one.point) for one in played],
        "centre": [_holds(one.boxes, _CENTRE) for one in played],
        "chance": [covered_share(one.boxes) for one in played],
    }
    shares = {name: _mean(np.array(found, np.float64), weights) for name, found in values.items()}
    return {"images": len(played), "groups": len(np.unique(groups)), **shares}


def _holds(boxes: tuple[Box, ...], point: Point | None) -> bool:
    return point is not None and any(box.contains(*point) for box in boxes)


def _mean(values: Array, weights: Array) -> dict[str, float]:
    low, high = percentile_interval(weights @ values / weights.sum(axis=1))
    return {"value": round(float(values.mean()), 5), "low": round(low, 5), "high": round(high, 5)}


def hottest_point(heat: Array) -> Point | None:
    """The centre of the hottest cell; None if the map is the same everywhere and so points nowhere.

    Equally hot cells, as bilinear enlarging leaves them along the input's border, count by their middle.

    >>> hottest_point(np.array([[0, 0, 1, 0]]))
    (0.625, 0.5)
    """
    hottest = heat.max()
    if hottest == heat.min():
        return None
    rows, columns = np.nonzero(heat == hottest)
    return float((columns.mean() + 0.5) / heat.shape[1]), float((rows.mean() + 0.5) / heat.shape[0])

"""The pointing game: how often the maximum of a heatmap lies in an annotated box.

Zhang et al., "Top-Down Neural Attention by Excitation Backprop", ECCV 2016 and IJCV 2018. The paper allows a
tolerance of 15 pixels around the box; this code allows none.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..data.boxes import Box, covered_share
from .bootstrap import bootstrap_weights, percentile_interval

Array = np.ndarray[Any, Any]
Point = tuple[float, float]  # x and y as fractions of the image's width and height
_CENTRE = (0.5, 0.5)


@dataclass(frozen=True)
class PointedImage:
    """One fractured image and the maximum of its heatmap."""

    group: str
    boxes: tuple[Box, ...]
    probability: float  # calibrated fracture probability
    point: Point | None  # maximum of the heatmap; None if the map is constant, which counts as a miss


def pointing_metrics(images: list[PointedImage], threshold: float) -> dict[str, Any]:
    """Compute how often the maximum lies in a box, compared with chance and with the image's centre.

    Args:
        images: fractured images, at least one.
        threshold: an image at or above it counts as detected.

    Returns:
        {"nowhere": number of constant maps, "all": result over all images, "detected": result over the detected
        images, or None if there are none}. Each result is {"images", "groups", "share", "centre", "chance"}:
        "share" is the share of images whose maximum lies in a box, "centre" the share of images whose centre
        does, and "chance" the mean share of the image area that the boxes cover. Each of these is {"value", "low",
        "high"} with the 95 % interval of a bootstrap over groups.
    """
    detected = [one for one in images if one.probability >= threshold]
    return {
        "nowhere": sum(one.point is None for one in images),
        "all": _shares(images),
        "detected": _shares(detected) if detected else None,
    }


def _shares(images: list[PointedImage]) -> dict[str, Any]:
    groups = np.array([one.group for one in images])
    weights = bootstrap_weights(groups, np.ones(len(images), int), seed=0)
    values = {
        "share": [_in_a_box(one.boxes, one.point) for one in images],
        "centre": [_in_a_box(one.boxes, _CENTRE) for one in images],
        "chance": [covered_share(one.boxes) for one in images],
    }
    shares = {name: _mean(np.array(found, np.float64), weights) for name, found in values.items()}
    return {"images": len(images), "groups": len(np.unique(groups)), **shares}


def _in_a_box(boxes: tuple[Box, ...], point: Point | None) -> bool:
    return point is not None and any(box.contains(*point) for box in boxes)


def _mean(values: Array, weights: Array) -> dict[str, float]:
    low, high = percentile_interval(weights @ values / weights.sum(axis=1))
    return {"value": round(float(values.mean()), 5), "low": round(low, 5), "high": round(high, 5)}


def hottest_point(heat: Array) -> Point | None:
    """Return the centre of the map's maximum, or None if the map is constant.

    If several cells share the maximum, their mean position counts: bilinear upsampling leaves equal cells along
    the input's border.

    >>> hottest_point(np.array([[0, 0, 1, 0]]))
    (0.625, 0.5)
    """
    hottest = heat.max()
    if hottest == heat.min():
        return None
    rows, columns = np.nonzero(heat == hottest)
    return float((columns.mean() + 0.5) / heat.shape[1]), float((rows.mean() + 0.5) / heat.shape[0])

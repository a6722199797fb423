"""Curves of a classifier: ROC, precision-recall, reliability, operating points."""

from typing import Any

import numpy as np
from sklearn.metrics import precision_recall_curve, roc_curve

from .metrics import calibration_bins, confusion

Array = np.ndarray[Any, Any]
_STEPS = 100  # the thresholds of the operating points are 1/100, 2/100 ...


def operating_points(labels: Array, scores: Array) -> list[list[float]]:
    """Compute sensitivity and specificity at a grid of thresholds.

    Args:
        labels: (images,) 0 or 1.
        scores: (images,) fracture probabilities.

    Returns:
        [[threshold, sensitivity, specificity], ...] at 0.01, 0.02 ... 0.99, rounded to 4 places; 0 / 0 counts as 0.
    """
    points = []
    for threshold in np.arange(1, _STEPS) / _STEPS:
        found = confusion(labels, scores >= threshold)
        sensitivity = found["tp"] / max(1, found["tp"] + found["fn"])
        specificity = found["tn"] / max(1, found["tn"] + found["fp"])
        points.append([round(float(threshold), 2), round(sensitivity, 4), round(specificity, 4)])
    return points


def curves(labels: Array, scores: Array) -> dict[str, list[list[float]]]:
    """Compute the points of the curves that the report plots.

    Args:
        labels: (images,) 0 or 1.
        scores: (images,) fracture probabilities.

    Returns:
        {"roc": [[1 - specificity, sensitivity]], "precision_recall": [[recall, precision]],
        "calibration": the result of `reliability`}.
    """
    false_positives, sensitivity, _ = roc_curve(labels, scores)
    precision, recall, _ = precision_recall_curve(labels, scores, drop_intermediate=True)
    return {
        "roc": _points(false_positives, sensitivity),
        "precision_recall": _points(recall, precision),
        "calibration": reliability(labels, scores),
    }


def reliability(labels: Array, scores: Array) -> list[list[float]]:
    """Compute the points of the reliability diagram.

    Returns:
        [mean probability, share of fractured images, number of images] of each bin that has images. The bins are
        those of the expected calibration error.
    """
    bins = calibration_bins(scores)
    chosen = [bins == index for index in np.unique(bins)]
    return [[round(float(scores[c].mean()), 5), round(float(labels[c].mean()), 5), int(c.sum())] for c in chosen]


def _points(xs: Array, ys: Array) -> list[list[float]]:
    return [[round(float(x), 5), round(float(y), 5)] for x, y in zip(xs, ys, strict=True)]

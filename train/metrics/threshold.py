"""The decision threshold, chosen on the validation split by the recipe's rule."""

from typing import Any

import numpy as np
from sklearn.metrics import roc_curve

from osteolite.edge.errors import UsageError

from ..recipe import Threshold
from .bootstrap import bootstrap_indices, percentile_interval

Array = np.ndarray[Any, Any]


def choose_threshold(labels: Array, scores: Array, groups: Array, rule: Threshold) -> float:
    """Choose the threshold on fracture probabilities by the recipe's rule.

    "youden" takes the median of the best thresholds of 1,000 bootstrap draws of groups. The best threshold of the
    split itself lies right beside the score of an image, so that the smallest rounding could change a decision.
    "sensitivity" takes the highest threshold that reaches the sensitivity `rule.value`.

    Args:
        labels: (images,) 0 or 1, of the validation split.
        scores: (images,) calibrated fracture probabilities.
        groups: (images,) the group of each image.
        rule: the recipe's rule.

    Raises:
        UsageError: the rule is unknown.
    """
    if rule.rule == "youden":
        return float(
            np.median([_threshold_on(labels[i], scores[i], rule) for i in bootstrap_indices(groups, labels, 0)])
        )
    return _threshold_on(labels, scores, rule)


def expected_sensitivity(
    labels: Array, scores: Array, groups: Array, rule: Threshold, test_sensitivity: float
) -> dict[str, Any]:
    """Estimate the sensitivity to expect on new groups, and say whether the test split confirms it.

    A threshold is optimistic on the images it was chosen on. It is therefore chosen again on each of 1,000
    bootstrap draws of groups and evaluated on the groups that the draw left out (out of bag, Breiman, 1996).

    Args:
        labels: (images,) 0 or 1, of the validation split.
        scores: (images,) calibrated fracture probabilities.
        groups: (images,) the group of each image.
        rule: how the threshold is chosen.
        test_sensitivity: sensitivity on the test split.

    Returns:
        {"sensitivity": {"value", "low", "high"}: out-of-bag mean and 95 % interval, "test": the sensitivity on the
        test split, "kept": whether it lies in the interval}.
    """
    values = []
    for drawn in bootstrap_indices(groups, labels, 0):
        out = np.setdiff1d(np.flatnonzero(labels == 1), drawn)
        if len(out):
            values.append(float((scores[out] >= _threshold_on(labels[drawn], scores[drawn], rule)).mean()))
    low, high = percentile_interval(np.array(values))
    expected = {"value": round(float(np.mean(values)), 5), "low": round(low, 5), "high": round(high, 5)}
    return {
        "sensitivity": expected,
        "test": test_sensitivity,
        "kept": expected["low"] <= test_sensitivity <= expected["high"],
    }


def _threshold_on(labels: Array, scores: Array, rule: Threshold) -> float:
    """Apply the rule to these images alone."""
    if rule.rule == "youden":
        return _youden(labels, scores)
    if rule.rule == "sensitivity":
        _, sensitivity, thresholds = roc_curve(labels, scores, drop_intermediate=False)
        return _midway(scores, thresholds, int(np.flatnonzero(sensitivity >= rule.value)[0]))
    raise UsageError(f"unknown threshold rule {rule.rule!r}; use youden or sensitivity")


def _youden(labels: Array, scores: Array) -> float:
    """Return the threshold with the largest sensitivity + specificity (Youden, 1950)."""
    false_positives, sensitivity, thresholds = roc_curve(labels, scores, drop_intermediate=False)
    return _midway(scores, thresholds, int(np.argmax(sensitivity - false_positives)))


def _midway(scores: Array, thresholds: Array, best: int) -> float:
    """Return the middle between the threshold and the next lower score, so that no image lies on the threshold."""
    below = scores[scores < thresholds[best]]
    lower = float(below.max()) if len(below) else 0.0
    return float(np.clip((min(float(thresholds[best]), 1.0) + lower) / 2, 1e-6, 1 - 1e-6))

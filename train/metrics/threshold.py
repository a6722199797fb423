"""The decision threshold, chosen on the validation part by the recipe's rule."""

from typing import Any

import numpy as np
from sklearn.metrics import roc_curve

from osteolite.edge.errors import UsageError

from ..recipe import Threshold
from .bootstrap import bootstrap_indices, percentile_interval

Array = np.ndarray[Any, Any]


def choose_threshold(labels: Array, scores: Array, groups: Array, rule: Threshold) -> float:
    """The threshold on fracture probabilities by the recipe's rule, on the validation part.

    "youden" takes the median of the best thresholds of 1,000 bootstrap draws of groups: the best
    threshold of the part itself lies right beside some image's score, where the least rounding turns
    a decision. "sensitivity" takes the highest threshold that reaches the sensitivity asked for.

    Raises:
        UsageError: unknown rule.
    """
    if rule.rule == "youden":
        return float(np.median([_on(labels[i], scores[i], rule) for i in bootstrap_indices(groups, labels, 0)]))
    return _on(labels, scores, rule)


def expected_sensitivity(labels: Array, scores: Array, groups: Array, rule: Threshold, found: float) -> dict[str, Any]:
    """The sensitivity that the validation part lets one expect of new groups, and whether the test part kept it.

    A threshold does best on the images that it was chosen on. So it is chosen anew on each of 1,000
    bootstrap draws of groups, and judged on the groups that the draw left out (out of bag, Breiman, 1996).

    Args:
        labels: of the validation part, 0 or 1.
        scores: calibrated fracture probabilities.
        groups: of each.
        rule: how the threshold is chosen.
        found: the sensitivity of the test part.

    Returns:
        {"sensitivity": {"value", "low", "high"}: mean and 95 % interval out of bag, "test": found, "kept"};
        kept where the test part's value lies in the interval.
    """
    values = []
    for drawn in bootstrap_indices(groups, labels, 0):
        out = np.setdiff1d(np.flatnonzero(labels == 1), drawn)
        if len(out):
            values.append(float((scores[out] >= _on(labels[drawn], scores[drawn], rule)).mean()))
    low, high = percentile_interval(np.array(values))
    expected = {"value": round(float(np.mean(values)), 5), "low": round(low, 5), "high": round(high, 5)}
    return {"sensitivity": expected, "test": found, "kept": expected["low"] <= found <= expected["high"]}


def _on(labels: Array, scores: Array, rule: Threshold) -> float:
    """The rule's threshold on these images alone."""
    if rule.rule == "youden":
        return _best_sum(labels, scores)
    if rule.rule == "sensitivity":
        _, sensitivity, thresholds = roc_curve(labels, scores, drop_intermediate=False)
        return _midway(scores, thresholds, int(np.flatnonzero(sensitivity >= rule.value)[0]))
    raise UsageError(f"no threshold rule {rule.rule!r}; known are youden, sensitivity")


def _best_sum(labels: Array, scores: Array) -> float:
    """The threshold of the largest sensitivity + specificity (Youden, 1950)."""
    false_positives, sensitivity, thresholds = roc_curve(labels, scores, drop_intermediate=False)
    return _midway(scores, thresholds, int(np.argmax(sensitivity - false_positives)))


def _midway(scores: Array, thresholds: Array, best: int) -> float:
    """Between the score that is the threshold and the next one below it, so that no image sits on it."""
    below = scores[scores < thresholds[best]]
    lower = float(below.max()) if len(below) else 0.0
    return float(np.clip((min(float(thresholds[best]), 1.0) + lower) / 2, 1e-6, 1 - 1e-6))

"""The decision threshold, chosen on the validation part by the recipe's rule."""

from typing import Any

import numpy as np
from sklearn.metrics import roc_curve

from osteolite.edge.errors import UsageError

from .bootstrap import resamples
from .recipe import Threshold

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
        return float(np.median([_best_sum(labels[i], scores[i]) for i in resamples(groups, labels, 0)]))
    if rule.rule == "sensitivity":
        _, sensitivity, thresholds = roc_curve(labels, scores, drop_intermediate=False)
        return _midway(scores, thresholds, int(np.flatnonzero(sensitivity >= rule.value)[0]))
    raise UsageError(f"no threshold rule {rule.rule!r}; known are youden, sensitivity")


def promise(validation: dict[str, Any], test: dict[str, Any]) -> dict[str, Any]:
    """Whether the test part kept the sensitivity that the validation part promised at the threshold.

    Args:
        validation: figures of the validation part, as `evaluation.figures` gives them.
        test: likewise of the test part.

    Returns:
        {"sensitivity": {"value", "low", "high"} of validation, "test": of the test part, "kept"}; kept
        where the test part's value lies in the validation part's 95 % interval.
    """
    promised, found = validation["sensitivity"], test["sensitivity"]["value"]
    return {"sensitivity": promised, "test": found, "kept": promised["low"] <= found <= promised["high"]}


def _best_sum(labels: Array, scores: Array) -> float:
    """The threshold of the largest sensitivity + specificity (Youden, 1950)."""
    false_positives, sensitivity, thresholds = roc_curve(labels, scores, drop_intermediate=False)
    return _midway(scores, thresholds, int(np.argmax(sensitivity - false_positives)))


def _midway(scores: Array, thresholds: Array, best: int) -> float:
    """Between the score that is the threshold and the next one below it, so that no image sits on it."""
    below = scores[scores < thresholds[best]]
    lower = float(below.max()) if len(below) else 0.0
    return float(np.clip((min(float(thresholds[best]), 1.0) + lower) / 2, 1e-6, 1 - 1e-6))

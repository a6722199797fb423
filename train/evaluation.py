"""Figures of a classifier with their 95 % intervals, probability calibration, and the threshold."""

from typing import Any

import numpy as np
from scipy.stats import rankdata
from sklearn.calibration import calibration_curve
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_curve

from osteolite.edge.errors import UsageError

from .recipe import Threshold

Array = np.ndarray[Any, Any]
_RESAMPLES = 1000


def probabilities(logits: Array, slope: float, intercept: float) -> Array:
    """Calibrated fracture probabilities of logits, without overflow.

    >>> probabilities(np.array([0.0, 1e4]), 1.0, 0.0).tolist()
    [0.5, 1.0]
    """
    return 0.5 * (1.0 + np.tanh(0.5 * (slope * np.asarray(logits, np.float64) + intercept)))


def calibrate(labels: Array, logits: Array) -> tuple[float, float]:
    """Slope and intercept of Platt scaling (Platt, 1999): probability = sigmoid(slope * logit + intercept).

    Fitted on the validation part. A slope that would turn the order of the scores round is not
    taken: calibration then is left out (1, 0).
    """
    fitted = LogisticRegression(C=1e6).fit(np.asarray(logits).reshape(-1, 1), labels)
    slope, intercept = float(fitted.coef_[0, 0]), float(fitted.intercept_[0])
    return (slope, intercept) if slope > 0 else (1.0, 0.0)


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


def _best_sum(labels: Array, scores: Array) -> float:
    """The threshold of the largest sensitivity + specificity (Youden, 1950)."""
    false_positives, sensitivity, thresholds = roc_curve(labels, scores, drop_intermediate=False)
    return _midway(scores, thresholds, int(np.argmax(sensitivity - false_positives)))


def _midway(scores: Array, thresholds: Array, best: int) -> float:
    """Between the score that is the threshold and the next one below it, so that no image sits on it."""
    below = scores[scores < thresholds[best]]
    lower = float(below.max()) if len(below) else 0.0
    return float(np.clip((min(float(thresholds[best]), 1.0) + lower) / 2, 1e-6, 1 - 1e-6))


def figures(labels: Array, scores: Array, threshold: float, groups: Array, seed: int = 0) -> dict[str, Any]:
    """Figures at the threshold and over all thresholds, with 95 % intervals.

    Args:
        labels: 0 or 1 for each image.
        scores: fracture probability for each image.
        threshold: from which an image counts as fractured.
        groups: of each image; the bootstrap draws whole groups, as images of one group are alike.
        seed: of the bootstrap.

    Returns:
        {"images", "fractured", "confusion": {"tp", "fp", "fn", "tn"}, and for auroc, accuracy,
        precision, recall, specificity and f1: {"value", "low", "high"}}, the interval by percentile
        bootstrap of 1,000 draws.
    """
    labels, decisions = np.asarray(labels), np.asarray(scores) >= threshold
    drawn = [_point_figures(labels[i], scores[i], decisions[i]) for i in resamples(np.asarray(groups), labels, seed)]
    point = _point_figures(labels, scores, decisions)
    result: dict[str, Any] = {
        "images": len(labels),
        "fractured": int(labels.sum()),
        "confusion": {name: int(count) for name, count in confusion(labels, decisions).items()},
    }
    for name, value in point.items():
        low, high = np.percentile([figure[name] for figure in drawn], [2.5, 97.5])
        result[name] = {"value": round(value, 5), "low": round(float(low), 5), "high": round(float(high), 5)}
    return result


def auroc(labels: Array, scores: Array) -> float:
    """Area under the ROC curve by the rank sum (Mann and Whitney, 1947); ties count half.

    Equal to scikit-learn's `roc_auc_score`, at a tenth of its time, which a bootstrap needs.
    """
    fractured = labels == 1
    positives = int(fractured.sum())
    ranks = rankdata(scores)[fractured].sum() - positives * (positives + 1) / 2
    return float(ranks / (positives * (len(labels) - positives)))


def resamples(groups: Array, labels: Array, seed: int, count: int = _RESAMPLES) -> list[Array]:
    """Index arrays of a bootstrap by group; a draw without both classes is drawn again."""
    random = np.random.default_rng(seed)
    members = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    drawn: list[Array] = []
    while len(drawn) < count:
        chosen = random.integers(0, len(members), len(members))
        indices = np.concatenate([members[i] for i in chosen])
        if 0 < labels[indices].sum() < len(indices):
            drawn.append(indices)
    return drawn


def confusion(labels: Array, decisions: Array) -> dict[str, int]:
    """Counts of true and false positives and negatives."""
    positive = labels == 1
    return {
        "tp": int((decisions & positive).sum()),
        "fp": int((decisions & ~positive).sum()),
        "fn": int((~decisions & positive).sum()),
        "tn": int((~decisions & ~positive).sum()),
    }


def _point_figures(labels: Array, scores: Array, decisions: Array) -> dict[str, float]:
    count = confusion(labels, decisions)
    tp, fp, fn, tn = count["tp"], count["fp"], count["fn"], count["tn"]
    return {
        "auroc": auroc(labels, scores),
        "accuracy": (tp + tn) / len(labels),
        "precision": tp / max(1, tp + fp),
        "recall": tp / max(1, tp + fn),
        "specificity": tn / max(1, tn + fp),
        "f1": 2 * tp / max(1, 2 * tp + fp + fn),
    }


def curves(labels: Array, scores: Array) -> dict[str, list[list[float]]]:
    """Points of the ROC curve and of the calibration diagram (ten bins of equal count), for the figures."""
    false_positives, sensitivity, _ = roc_curve(labels, scores)
    observed, predicted = calibration_curve(labels, scores, n_bins=10, strategy="quantile")
    return {
        "roc": [[round(float(x), 5), round(float(y), 5)] for x, y in zip(false_positives, sensitivity, strict=True)],
        "calibration": [[round(float(x), 5), round(float(y), 5)] for x, y in zip(predicted, observed, strict=True)],
    }

"""Metrics of a binary classifier with 95 % confidence intervals."""

from typing import Any

import numpy as np
from scipy.stats import rankdata

from .bootstrap import bootstrap_indices, bootstrap_weights, percentile_interval

Array = np.ndarray[Any, Any]

# Each metric and its name in tables, in table order. Recall is the same number as sensitivity.
METRICS = {
    "auroc": "AUROC",
    "average_precision": "average precision",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "accuracy": "accuracy",
    "precision": "precision",
    "recall": "recall",
    "f1": "F1",
    "kappa": "Cohen's kappa",
    "ece": "expected calibration error",
    "brier": "Brier score",
}
BINS = 15  # bins of the expected calibration error, of equal width (Guo et al., 2017)


def compute_metrics(labels: Array, scores: Array, threshold: float, groups: Array, seed: int = 0) -> dict[str, Any]:
    """Compute all metrics with 95 % confidence intervals.

    Args:
        labels: (images,) 0 or 1.
        scores: (images,) fracture probabilities.
        threshold: an image at or above it counts as fractured.
        groups: (images,) the group of each image. The bootstrap draws whole groups.
        seed: seed of the bootstrap.

    Returns:
        {"images", "fractured", "confusion": {"tp", "fp", "fn", "tn"}, and for each of `METRICS`:
        {"value", "low", "high"}}. The interval is a percentile bootstrap of 1,000 draws. That of the expected
        calibration error is biased upwards, because each draw adds its own noise to the bins.
    """
    labels, scores = np.asarray(labels), np.asarray(scores)
    point = weighted_metrics(labels, scores, threshold, np.ones((1, len(labels))))
    drawn = weighted_metrics(labels, scores, threshold, bootstrap_weights(np.asarray(groups), labels, seed))
    result: dict[str, Any] = {
        "images": len(labels),
        "fractured": int(labels.sum()),
        "confusion": confusion(labels, scores >= threshold),
    }
    for name in METRICS:
        low, high = percentile_interval(drawn[name])
        result[name] = {"value": round(float(point[name][0]), 5), "low": round(low, 5), "high": round(high, 5)}
    return result


def weighted_metrics(
    labels: Array, scores: Array, threshold: float | Array, weights: Array, chunk: int = 2_000_000
) -> dict[str, Array]:
    """Compute all metrics for many weightings of the same images at once, as a bootstrap needs.

    Args:
        labels: (images,) 0 or 1.
        scores: (images,) fracture probabilities.
        threshold: an image at or above it counts as fractured; one number, or an array (images,).
        weights: (draws, images) how often each image counts in each draw.
        chunk: largest number of elements of an intermediate array; it bounds the memory.

    Returns:
        For each of `METRICS` an array (draws,); 0 / 0 counts as 0.
    """
    step = max(1, chunk // len(labels))
    chunks = [weights[i : i + step] for i in range(0, len(weights), step)]
    found = [
        {**_ranked(labels, scores, w), **_decided(labels, scores >= threshold, w), **_calibrated(labels, scores, w)}
        for w in chunks
    ]
    return {name: np.concatenate([one[name] for one in found]) for name in METRICS}


def _ranked(labels: Array, scores: Array, weights: Array) -> dict[str, Array]:
    """Compute AUROC, with ties counted as half, and average precision as scikit-learn defines it."""
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))  # the last of each run of equal scores
    weights, positive = weights[:, order], labels[order] == 1
    tp = np.cumsum(weights * positive, axis=1)[:, ends]
    fp = np.cumsum(weights * ~positive, axis=1)[:, ends]
    gained, lost = np.diff(tp, axis=1, prepend=0), np.diff(fp, axis=1, prepend=0)
    positives, negatives = tp[:, -1], fp[:, -1]
    return {
        "auroc": _share((lost * (tp - gained / 2)).sum(axis=1), positives * negatives),
        "average_precision": _share((gained * _share(tp, tp + fp)).sum(axis=1), positives),
    }


def _decided(labels: Array, decisions: Array, weights: Array) -> dict[str, Array]:
    """Compute the metrics of the decisions at the threshold."""
    positive = labels == 1
    tp, fp = weights @ (decisions & positive), weights @ (decisions & ~positive)
    fn, tn = weights @ (~decisions & positive), weights @ (~decisions & ~positive)
    sensitivity = _share(tp, tp + fn)
    return {
        "sensitivity": sensitivity,
        "specificity": _share(tn, tn + fp),
        "accuracy": _share(tp + tn, tp + fp + fn + tn),
        "precision": _share(tp, tp + fp),
        "recall": sensitivity,
        "f1": _share(2 * tp, 2 * tp + fp + fn),
        "kappa": _share(2 * (tp * tn - fn * fp), (tp + fp) * (fp + tn) + (tp + fn) * (fn + tn)),
    }


def _calibrated(labels: Array, scores: Array, weights: Array) -> dict[str, Array]:
    """Compute the expected calibration error over `BINS` bins, and the Brier score (Brier, 1950)."""
    members = np.eye(BINS)[calibration_bins(scores)]
    gaps = np.abs((weights * (labels - scores)) @ members).sum(axis=1)
    total = weights.sum(axis=1)
    return {"ece": gaps / total, "brier": weights @ (labels - scores) ** 2 / total}


def _share(count: Array, whole: Array) -> Array:
    return np.asarray(count / np.where(whole == 0, 1, whole))


def calibration_bins(scores: Array) -> Array:
    """Return the index of the calibration bin of each score, 0 to `BINS` - 1."""
    return np.asarray(np.minimum((np.asarray(scores) * BINS).astype(int), BINS - 1))


def auroc(labels: Array, scores: Array) -> float:
    """Compute the area under the ROC curve by the rank sum (Mann and Whitney, 1947); ties count as half.

    The result equals scikit-learn's `roc_auc_score` and takes a tenth of its time, which matters in a bootstrap.
    """
    fractured = labels == 1
    positives = int(fractured.sum())
    ranks = rankdata(scores)[fractured].sum() - positives * (positives + 1) / 2
    return float(ranks / (positives * (len(labels) - positives)))


def confusion(labels: Array, decisions: Array) -> dict[str, int]:
    """Count true and false positives and negatives."""
    positive = labels == 1
    return {
        "tp": int((decisions & positive).sum()),
        "fp": int((decisions & ~positive).sum()),
        "fn": int((~decisions & positive).sum()),
        "tn": int((~decisions & ~positive).sum()),
    }


def sensitivity_at(labels: Array, scores: Array, groups: Array, specificity: float) -> dict[str, Any]:
    """Compute the sensitivity at the lowest threshold that reaches a specificity.

    The model's own threshold plays no role.

    Args:
        labels: (images,) 0 or 1; both occur.
        scores: (images,) fracture probabilities.
        groups: (images,) the group of each image.
        specificity: specificity to reach, 0 to 1.

    Returns:
        {"specificity": specificity reached, "threshold", "sensitivity": {"value", "low", "high"}}. The 95 %
        interval is a bootstrap over groups that chooses the threshold again on each draw.

    >>> found = sensitivity_at(np.array([0, 0, 1, 1]), np.array([0.1, 0.6, 0.4, 0.9]), np.arange(4), 0.5)
    >>> found["sensitivity"]["value"], found["specificity"]
    (1.0, 0.5)
    """
    drawn = [_sensitivity_at(labels[i], scores[i], specificity)[0] for i in bootstrap_indices(groups, labels, 0)]
    value, threshold = _sensitivity_at(labels, scores, specificity)
    low, high = percentile_interval(np.array(drawn))
    return {
        "specificity": round(float((scores[labels == 0] < threshold).mean()), 5),
        "threshold": threshold,
        "sensitivity": {"value": round(value, 5), "low": round(low, 5), "high": round(high, 5)},
    }


def _sensitivity_at(labels: Array, scores: Array, specificity: float) -> tuple[float, float]:
    normal = np.sort(scores[labels == 0])
    allowed = len(normal) - int(np.ceil(specificity * len(normal)))  # false positives
    below = normal[len(normal) - allowed - 1] if allowed < len(normal) else -np.inf
    threshold = float(np.nextafter(below, np.inf))
    return float((scores[labels == 1] >= threshold).mean()), threshold

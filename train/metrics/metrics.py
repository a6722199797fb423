"""Figures of a classifier with their 95 % intervals, and the curves behind them."""

from typing import Any

import numpy as np
from scipy.stats import rankdata

from .bootstrap import bootstrap_indices, bootstrap_weights, percentile_interval

Array = np.ndarray[Any, Any]

# Every figure and its name in tables, in their order; recall is sensitivity by its other name.
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
BINS = 15  # of the expected calibration error, equal in width (Guo et al., 2017)
_CHUNK = 2_000_000  # numbers in an array of some draws


def compute_metrics(labels: Array, scores: Array, threshold: float, groups: Array, seed: int = 0) -> dict[str, Any]:
    """Figures at the threshold and over all thresholds, with 95 % intervals.

    Args:
        labels: 0 or 1 for each image.
        scores: fracture probability for each image.
        threshold: from which an image counts as fractured.
        groups: of each image; the bootstrap draws whole groups, as images of one group are alike.
        seed: of the bootstrap.

    Returns:
        {"images", "fractured", "confusion": {"tp", "fp", "fn", "tn"}, and for each of `METRICS`:
        {"value", "low", "high"}}, the interval by percentile bootstrap of 1,000 draws. The interval of
        the expected calibration error lies high, as each draw adds its own noise to the bins.
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


def weighted_metrics(labels: Array, scores: Array, threshold: float | Array, weights: Array) -> dict[str, Array]:
    """All figures for many weightings of the same images at once, which a bootstrap needs.

    Args:
        labels: 0 or 1 for each image.
        scores: fracture probability for each image.
        threshold: from which an image counts as fractured; one for all, or one for each image.
        weights: (draws, images), how often each image counts in each draw.

    Returns:
        For each of `METRICS` an array (draws,); what would be 0 / 0 is 0.
    """
    step = max(1, _CHUNK // len(labels))
    chunks = [weights[i : i + step] for i in range(0, len(weights), step)]
    found = [
        {**_ranked(labels, scores, w), **_decided(labels, scores >= threshold, w), **_calibrated(labels, scores, w)}
        for w in chunks
    ]
    return {name: np.concatenate([one[name] for one in found]) for name in METRICS}


def _ranked(labels: Array, scores: Array, weights: Array) -> dict[str, Array]:
    """AUROC, ties counting half, and average precision as scikit-learn defines it, from the sorted scores."""
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))  # equal scores stand or fall together
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
    """Figures of the decisions at the threshold."""
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
    """Expected calibration error over `BINS` bins, and the Brier score (Brier, 1950)."""
    members = np.eye(BINS)[_bins(scores)]
    gaps = np.abs((weights * (labels - scores)) @ members).sum(axis=1)
    total = weights.sum(axis=1)
    return {"ece": gaps / total, "brier": weights @ (labels - scores) ** 2 / total}


def _share(part: Array, whole: Array) -> Array:
    return np.asarray(part / np.where(whole == 0, 1, whole))


def _bins(scores: Array) -> Array:
    return np.asarray(np.minimum((np.asarray(scores) * BINS).astype(int), BINS - 1))


def auroc(labels: Array, scores: Array) -> float:
    """Area under the ROC curve by the rank sum (Mann and Whitney, 1947); ties count half.

    Equal to scikit-learn's `roc_auc_score`, at a tenth of its time, which a bootstrap needs.
    """
    fractured = labels == 1
    positives = int(fractured.sum())
    ranks = rankdata(scores)[fractured].sum() - positives * (positives + 1) / 2
    return float(ranks / (positives * (len(labels) - positives)))


def confusion(labels: Array, decisions: Array) -> dict[str, int]:
    """Counts of true and false positives and negatives."""
    positive = labels == 1
    return {
        "tp": int((decisions & positive).sum()),
        "fp": int((decisions & ~positive).sum()),
        "fn": int((~decisions & positive).sum()),
        "tn": int((~decisions & ~positive).sum()),
    }


def sensitivity_at(labels: Array, scores: Array, groups: Array, specificity: float) -> dict[str, Any]:
    """The sensitivity at the lowest threshold that is at least so specific, whatever the model's own threshold.

    Args:
        labels: 0 or 1 for each image; both occur.
        scores: fracture probability for each image.
        groups: of each image.
        specificity: asked for.

    Returns:
        {"specificity": that the threshold has, "threshold", "sensitivity": {"value", "low", "high"}}, with the
        95 % interval by bootstrap over groups, the threshold chosen anew on each draw.

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
    allowed = len(normal) - int(np.ceil(specificity * len(normal)))  # normal images that may be called fractured
    below = normal[len(normal) - allowed - 1] if allowed < len(normal) else -np.inf
    threshold = float(np.nextafter(below, np.inf))
    return float((scores[labels == 1] >= threshold).mean()), threshold

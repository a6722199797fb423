"""Probability calibration: from a network's logit to a calibrated probability."""

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold

Array = np.ndarray[Any, Any]
_FOLDS = 5


@dataclass(frozen=True)
class Calibration:
    """A fitted calibration: probability = sigmoid(slope * logit + intercept)."""

    method: str  # "temperature" (intercept 0), "platt", or "none" if both would reverse the order
    slope: float  # above 0
    intercept: float
    candidates: dict[str, float] = field(default_factory=dict)  # cross-validated loss by method, nats per image

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def probabilities(logits: Array, slope: float, intercept: float) -> Array:
    """Convert logits into calibrated fracture probabilities, without overflow.

    >>> probabilities(np.array([0.0, 1e4]), 1.0, 0.0).tolist()
    [0.5, 1.0]
    """
    return 0.5 * (1.0 + np.tanh(0.5 * (slope * np.asarray(logits, np.float64) + intercept)))


def calibrate(labels: Array, logits: Array, groups: Array) -> Calibration:
    """Fit temperature scaling (Guo et al., 2017) or Platt scaling (Platt, 1999) on the validation split.

    The method with the lower negative log-likelihood in a cross-validation by group is chosen. On the sample it is
    fitted on, Platt scaling could never lose, because it has one more parameter. Both methods are fitted to
    Platt's smoothed targets, which keep the slope finite when the classes are separable.

    Args:
        labels: (images,) 0 or 1; both occur.
        logits: (images,) logits of `fractured`.
        groups: (images,) the group of each image.

    Returns:
        The calibration. With too few groups for a cross-validation it is Platt's, without candidates.
    """
    fitted = {name: _fit(labels, logits, name == "platt") for name in ("temperature", "platt")}
    usable = {name: (slope, intercept) for name, (slope, intercept) in fitted.items() if slope > 0}
    if not usable:
        return Calibration("none", 1.0, 0.0)
    losses = _cross_validated(labels, logits, groups)
    candidates = {name: round(losses[name], 6) for name in usable if name in losses}
    best = min(candidates, key=lambda name: candidates[name]) if candidates else list(usable)[-1]
    return Calibration(best, *usable[best], candidates)


def _fit(labels: Array, logits: Array, with_intercept: bool) -> tuple[float, float]:
    """Fit slope and intercept by maximum likelihood on Platt's targets, (n1 + 1) / (n1 + 2) and 1 / (n0 + 2)."""
    positives = int(np.sum(labels))
    targets = np.where(labels == 1, (positives + 1) / (positives + 2), 1 / (len(labels) - positives + 2))
    twice = np.tile(np.asarray(logits, np.float64), 2).reshape(-1, 1)
    classes = np.repeat([1, 0], len(labels))
    weights = np.concatenate([targets, 1 - targets])
    model = LogisticRegression(C=1e6, fit_intercept=with_intercept).fit(twice, classes, sample_weight=weights)
    return float(model.coef_[0, 0]), float(model.intercept_[0]) if with_intercept else 0.0


def _cross_validated(labels: Array, logits: Array, groups: Array) -> dict[str, float]:
    """Return each method's mean held-out negative log-likelihood; empty without two groups of each class."""
    folds = min(_FOLDS, *(len(np.unique(groups[labels == label])) for label in (0, 1)))
    if folds < 2:
        return {}
    losses: dict[str, list[Array]] = {"temperature": [], "platt": []}
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=0)
    for train, held_out in splitter.split(logits, labels, groups):
        if len(np.unique(labels[train])) < 2:
            continue
        for name, found in losses.items():
            slope, intercept = _fit(labels[train], logits[train], name == "platt")
            margins = np.where(labels[held_out] == 1, 1, -1) * (slope * logits[held_out] + intercept)
            found.append(np.logaddexp(0, -margins))
    return {name: float(np.concatenate(found).mean()) for name, found in losses.items() if found}

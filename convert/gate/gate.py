"""The gate: it compares a variant with the original image by image and refuses one that loses too much."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.stats import binomtest

from osteolite.edge.labels import LABELS
from osteolite.train.metrics.bootstrap import bootstrap_indices
from osteolite.train.metrics.metrics import auroc
from osteolite.train.recipe import Gate

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Interval:
    """A metric with its 95 % interval."""

    value: float
    low: float
    high: float


class Change(Interval):
    """A paired difference, variant minus reference."""


@dataclass(frozen=True)
class Flips:
    """Decisions that became wrong, and decisions that became right."""

    broken: int  # right before, wrong now
    mended: int  # wrong before, right now
    p: float  # of McNemar's exact test: the probability of so uneven a count if the variant is as good

    @classmethod
    def count(cls, right_before: Array, right_after: Array) -> "Flips":
        """Count over two masks of the same images.

        Source: Q. McNemar, Psychometrika 12, 153 (1947), with the exact binomial distribution.
        """
        broken, mended = int((right_before & ~right_after).sum()), int((~right_before & right_after).sum())
        flips = broken + mended
        return cls(broken, mended, float(binomtest(broken, flips).pvalue) if flips else 1.0)


@dataclass(frozen=True)
class Verdict:
    """The gate's findings on a variant of a fracture model, on the validation split."""

    passed: bool
    reasons: tuple[str, ...]  # of a refusal; empty when passed
    images: int
    agreement: float  # share of equal decisions at the threshold
    flips: Flips  # the decisions that differ
    own_auroc: Interval  # the variant's AUROC
    auroc: Change
    sensitivity: Change  # at the threshold
    specificity: Change  # at the threshold
    mean_difference: float  # absolute, of fracture probabilities
    largest_difference: float  # absolute, of fracture probabilities

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "reasons": list(self.reasons)}


@dataclass(frozen=True)
class MulticlassVerdict:
    """The gate's findings on a variant of a classifier of several classes, on the validation split."""

    passed: bool
    reasons: tuple[str, ...]  # of a refusal; empty when passed
    images: int
    agreement: float  # share of images with the same most probable class
    flips: Flips  # the images with another class that were right before or are right now
    balanced_accuracy: Change
    largest_difference: float  # absolute, of logits

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "reasons": list(self.reasons)}


def judge(
    labels: Array, groups: Array, reference: Array, variant: Array, threshold: float, limits: Gate, seed: int = 0
) -> Verdict:
    """Compare a variant's fracture probabilities with the original's on the same images.

    Args:
        labels: 0 or 1 for each image; both must occur.
        groups: the group of each image; the paired bootstrap draws whole groups.
        reference: the original's fracture probabilities.
        variant: the variant's fracture probabilities in the same order; may contain NaN.
        threshold: the stored decision threshold.
        limits: the largest losses allowed.
        seed: seed of the bootstrap.

    Returns:
        The verdict. A variant passes if its outputs are finite and not constant, and the losses of
        AUROC and sensitivity and the share of changed decisions are within the limits. The intervals
        (percentile bootstrap of 1,000 paired draws) show the uncertainty of the changes.
    """
    scores = np.where(np.isfinite(variant), variant, 0.5)
    draws = bootstrap_indices(groups, labels, seed)
    changes = {
        name: _change(metric, labels, reference, scores, threshold, draws)
        for name, metric in (("auroc", _auroc), ("sensitivity", _sensitivity), ("specificity", _specificity))
    }
    before, after = reference >= threshold, scores >= threshold
    agreement = float((before == after).mean())
    reasons = [*_output_faults(variant, scores), *_losses(changes, agreement, limits)]
    if len(set(after)) < len(set(before)):
        reasons.append(f"every image is called {LABELS[int(after[0])]}")
    difference = np.abs(scores - reference)
    low, high = np.percentile([auroc(labels[i], scores[i]) for i in draws], [2.5, 97.5])
    return Verdict(
        passed=not reasons,
        reasons=tuple(reasons),
        images=len(labels),
        agreement=agreement,
        flips=Flips.count(before == labels, after == labels),
        own_auroc=Interval(auroc(labels, scores), float(low), float(high)),
        mean_difference=float(difference.mean()),
        largest_difference=float(difference.max()),
        **changes,
    )


def judge_multiclass(
    targets: Array, groups: Array, reference: Array, variant: Array, limits: Gate, seed: int = 0
) -> MulticlassVerdict:
    """Compare a variant's logits of several classes with the original's on the same images.

    Args:
        targets: the index of each image's true class.
        groups: the group of each image; the paired bootstrap draws whole groups.
        reference: the original's logits (images, classes).
        variant: the variant's logits in the same order; may contain NaN.
        limits: the largest losses allowed; the limit of AUROC applies to the balanced accuracy.
        seed: seed of the bootstrap.

    Returns:
        The verdict. A variant passes if its outputs are finite and not the same for every image, and
        the loss of balanced accuracy and the share of changed classes are within the limits.
    """
    finite: Array = np.asarray(np.isfinite(variant).all(axis=1))
    logits = np.where(finite[:, None], variant, 0.0)
    before, after = reference.argmax(axis=1), logits.argmax(axis=1)
    change = _change(_balanced_accuracy, targets, before, after, 0.0, bootstrap_indices(groups, targets, seed))
    agreement = float((before == after).mean())
    reasons = []
    if not finite.all():
        reasons.append(f"{int((~finite).sum())} of {len(variant)} outputs are not finite")
    if float(np.ptp(logits, axis=0).max()) == 0.0:
        reasons.append("every image gets exactly the same logits")
    if -change.value > limits.auroc_loss:
        reasons.append(f"balanced accuracy changes by {change.value:+.4f}; at most {limits.auroc_loss} may be lost")
    if agreement < limits.agreement:
        reasons.append(f"{agreement:.1%} of the predicted classes agree; at least {limits.agreement:.1%} must")
    difference = float(np.abs(logits - reference).max())
    flips = Flips.count(before == targets, after == targets)
    return MulticlassVerdict(not reasons, tuple(reasons), len(targets), agreement, flips, change, difference)


def _output_faults(variant: Array, scores: Array) -> list[str]:
    """Faults that no limit allows: outputs that are not finite or all the same."""
    reasons = []
    infinite = int((~np.isfinite(variant)).sum())
    if infinite:
        reasons.append(f"{infinite} of {len(variant)} outputs are not finite")
    if float(scores.max() - scores.min()) == 0.0:
        reasons.append(f"every image gets the same probability, {scores[0]:.4f}")
    return reasons


def _losses(changes: dict[str, Change], agreement: float, limits: Gate) -> list[str]:
    reasons = []
    for name, title, limit in (
        ("auroc", "AUROC", limits.auroc_loss),
        ("sensitivity", "sensitivity", limits.sensitivity_loss),
    ):
        if -changes[name].value > limit:
            reasons.append(f"{title} changes by {changes[name].value:+.4f}; at most {limit} may be lost")
    if agreement < limits.agreement:
        reasons.append(f"{agreement:.1%} of the decisions agree; at least {limits.agreement:.1%} must")
    return reasons


def _change(metric: Any, labels: Array, before: Array, after: Array, threshold: float, draws: list[Array]) -> Change:
    differences = [metric(labels[i], after[i], threshold) - metric(labels[i], before[i], threshold) for i in draws]
    low, high = np.percentile(differences, [2.5, 97.5])
    value = metric(labels, after, threshold) - metric(labels, before, threshold)
    return Change(float(value), float(low), float(high))


def _balanced_accuracy(targets: Array, predicted: Array, threshold: float) -> float:
    count = np.bincount(targets)
    right = np.bincount(targets[predicted == targets], minlength=len(count))
    return float((right[count > 0] / count[count > 0]).mean())


def _auroc(labels: Array, scores: Array, threshold: float) -> float:
    return auroc(labels, scores)


def _sensitivity(labels: Array, scores: Array, threshold: float) -> float:
    return float((scores[labels == 1] >= threshold).mean())


def _specificity(labels: Array, scores: Array, threshold: float) -> float:
    return float((scores[labels == 0] < threshold).mean())

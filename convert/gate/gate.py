"""The gate: no variant leaves without proof, image by image, that quantisation lost nothing that matters."""

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
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float


class Change(Interval):
    """A paired difference, variant less reference."""


@dataclass(frozen=True)
class Flips:
    """Answers that were right before and are wrong now, and the other way round."""

    broken: int
    mended: int
    p: float  # McNemar's exact test: how likely so uneven a count is, if the variant is as good

    @classmethod
    def count(cls, right_before: Array, right_after: Array) -> "Flips":
        """Of two masks over the same images.

        Source: Q. McNemar, Psychometrika 12, 153 (1947), with the exact binomial distribution.
        """
        broken, mended = int((right_before & ~right_after).sum()), int((~right_before & right_after).sum())
        flips = broken + mended
        return cls(broken, mended, float(binomtest(broken, flips).pvalue) if flips else 1.0)


@dataclass(frozen=True)
class Verdict:
    """What the gate found about one variant of a fracture model on the validation part."""

    passed: bool
    reasons: tuple[str, ...]  # why not; empty when passed
    images: int
    agreement: float  # share of equal decisions at the threshold
    flips: Flips  # the other ones
    own_auroc: Interval  # of the variant itself
    auroc: Change
    sensitivity: Change  # at the threshold
    specificity: Change  # at the threshold
    mean_difference: float  # of fracture probabilities, absolute
    largest_difference: float

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "reasons": list(self.reasons)}


@dataclass(frozen=True)
class PartVerdict:
    """What the gate found about one variant of a classifier of several classes on the validation part."""

    passed: bool
    reasons: tuple[str, ...]  # why not; empty when passed
    images: int
    agreement: float  # share of images with the same most probable class
    flips: Flips  # of the others, those that were right before or are now
    balanced_accuracy: Change
    largest_difference: float  # of logits, absolute

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "reasons": list(self.reasons)}


def judge(
    labels: Array, groups: Array, reference: Array, variant: Array, threshold: float, limits: Gate, seed: int = 0
) -> Verdict:
    """Compare a variant's fracture probabilities with the original's on the same images.

    Args:
        labels: 0 or 1 for each image; both occur.
        groups: of each image; the paired bootstrap draws whole groups.
        reference: fracture probabilities of the original.
        variant: fracture probabilities of the variant, in the same order; may hold NaN.
        threshold: the stored decision threshold.
        limits: how much may be lost.
        seed: of the bootstrap.

    Returns:
        The verdict. A variant passes when its outputs are finite and not constant, and the losses of
        AUROC and sensitivity and the share of changed decisions are within the limits; the
        intervals (percentile bootstrap of 1,000 paired draws) say how sure that is.
    """
    scores = np.where(np.isfinite(variant), variant, 0.5)
    drawn = bootstrap_indices(groups, labels, seed)
    changes = {
        name: _change(figure, labels, reference, scores, threshold, drawn)
        for name, figure in (("auroc", _auroc), ("sensitivity", _sensitivity), ("specificity", _specificity))
    }
    before, after = reference >= threshold, scores >= threshold
    agreement = float((before == after).mean())
    reasons = [*_faults(variant, scores), *_losses(changes, agreement, limits)]
    if len(set(after)) < len(set(before)):
        reasons.append(f"every image is called {LABELS[int(after[0])]}")
    difference = np.abs(scores - reference)
    low, high = np.percentile([auroc(labels[i], scores[i]) for i in drawn], [2.5, 97.5])
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


def judge_parts(
    targets: Array, groups: Array, reference: Array, variant: Array, limits: Gate, seed: int = 0
) -> PartVerdict:
    """Compare a variant's logits of several classes with the original's on the same images.

    Args:
        targets: the index of each image's true class.
        groups: of each image; the paired bootstrap draws whole groups.
        reference: logits (images, classes) of the original.
        variant: logits of the variant, in the same order; may hold NaN.
        limits: how much may be lost; that of AUROC holds for the balanced accuracy.
        seed: of the bootstrap.

    Returns:
        The verdict. A variant passes when its outputs are finite and not the same for every image,
        and the loss of balanced accuracy and the share of changed answers are within the limits.
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
        reasons.append("every image gets the same answer, to the last digit")
    if -change.value > limits.auroc_loss:
        reasons.append(f"balanced accuracy changes by {change.value:+.4f}; at most {limits.auroc_loss} may be lost")
    if agreement < limits.agreement:
        reasons.append(f"{agreement:.1%} of the answers agree; at least {limits.agreement:.1%} must")
    difference = float(np.abs(logits - reference).max())
    flips = Flips.count(before == targets, after == targets)
    return PartVerdict(not reasons, tuple(reasons), len(targets), agreement, flips, change, difference)


def _faults(variant: Array, scores: Array) -> list[str]:
    """What no limit can allow: outputs that are not finite or all the same."""
    reasons = []
    infinite = int((~np.isfinite(variant)).sum())
    if infinite:
        reasons.append(f"{infinite} of {len(variant)} outputs are not finite")
    if float(scores.max() - scores.min()) == 0.0:
        reasons.append(f"every image gets the same probability, {scores[0]:.4f}")
    return reasons


def _losses(changes: dict[str, Change], agreement: float, limits: Gate) -> list[str]:
    reasons = []
    for name, title, most in (
        ("auroc", "AUROC", limits.auroc_loss),
        ("sensitivity", "sensitivity", limits.sensitivity_loss),
    ):
        if -changes[name].value > most:
            reasons.append(f"{title} changes by {changes[name].value:+.4f}; at most {most} may be lost")
    if agreement < limits.agreement:
        reasons.append(f"{agreement:.1%} of the decisions agree; at least {limits.agreement:.1%} must")
    return reasons


def _change(figure: Any, labels: Array, before: Array, after: Array, threshold: float, drawn: list[Array]) -> Change:
    differences = [
        figure(labels[i], after[i], threshold) - figure(labels[i], before[i], threshold) for i in drawn
    ]  # the same images in both terms: a paired interval
    low, high = np.percentile(differences, [2.5, 97.5])
    value = figure(labels, after, threshold) - figure(labels, before, threshold)
    return Change(float(value), float(low), float(high))


def _balanced_accuracy(targets: Array, answers: Array, threshold: float) -> float:
    count = np.bincount(targets)
    right = np.bincount(targets[answers == targets], minlength=len(count))
    return float((right[count > 0] / count[count > 0]).mean())


def _auroc(labels: Array, scores: Array, threshold: float) -> float:
    return auroc(labels, scores)


def _sensitivity(labels: Array, scores: Array, threshold: float) -> float:
    return float((scores[labels == 1] >= threshold).mean())


def _specificity(labels: Array, scores: Array, threshold: float) -> float:
    return float((scores[labels == 0] < threshold).mean())

"""The gate's verdicts on variants with known faults."""

from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from osteolite.convert.gate.gate import Array, Flips, MulticlassVerdict, Verdict, judge, judge_multiclass
from osteolite.train.recipe import Gate

LABELS = np.arange(200) % 2
GROUPS = np.arange(200) // 2
REFERENCE = np.clip(np.random.default_rng(0).normal(0.35 + 0.3 * LABELS, 0.15), 0.001, 0.999)


def verdict(variant: Array, limits: Gate = Gate()) -> Verdict:
    return judge(LABELS, GROUPS, REFERENCE, variant, 0.5, limits)


def test_equal_probabilities_pass_without_any_loss() -> None:
    found = verdict(REFERENCE.copy())
    assert found.passed
    assert found.reasons == ()
    assert (found.agreement, found.auroc.value, found.auroc.low, found.auroc.high) == (1.0, 0.0, 0.0, 0.0)
    assert found.largest_difference == 0.0
    assert found.own_auroc.low < found.own_auroc.value < found.own_auroc.high
    assert found.own_auroc.value == pytest.approx(roc_auc_score(LABELS, REFERENCE))


@pytest.mark.slow
@settings(max_examples=20)
@given(st.floats(0, 0.002), st.integers(0, 100))
def test_noise_of_the_size_of_quantisation_passes(size: float, seed: int) -> None:
    found = verdict(REFERENCE + np.random.default_rng(seed).uniform(-size, size, 200))
    assert found.passed
    assert found.auroc.low <= found.auroc.value <= found.auroc.high


@pytest.mark.parametrize(
    ("variant", "reason"),
    [
        (np.full(200, 0.2), "every image gets the same probability, 0.2"),
        (np.where(np.arange(200) == 7, np.nan, REFERENCE), "1 of 200 outputs are not finite"),
        (np.where(np.arange(200) == 7, np.inf, REFERENCE), "1 of 200 outputs are not finite"),
        (1 - REFERENCE, "AUROC changes by -"),
        (REFERENCE * 0.8, "sensitivity changes by -"),
        (REFERENCE * 1.2, "of the decisions agree; at least 97.0% must"),
        (REFERENCE * 0.01, "every image is called normal"),
        (0.99 + REFERENCE * 0.01, "every image is called fractured"),
    ],
)
def test_a_damaged_variant_is_refused_with_a_reason(variant: Array, reason: str) -> None:
    found = verdict(variant)
    assert not found.passed
    assert any(reason in given for given in found.reasons)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_flips_are_counted_and_tested_by_mcnemars_exact_test(answers: list[tuple[bool, bool]]) -> None:
    before, after = np.array(answers).T
    found = Flips.count(before, after)
    assert (found.broken, found.mended) == (answers.count((True, False)), answers.count((False, True)))
    flips, fewer = found.broken + found.mended, min(found.broken, found.mended)
    tail = sum(comb(flips, k) for k in range(fewer + 1)) / 2**flips
    assert found.p == pytest.approx(min(1.0, 2 * tail))


def test_a_flip_is_broken_or_mended_by_the_label() -> None:
    variant = REFERENCE.copy()
    missed, found = np.flatnonzero((LABELS == 1) & (REFERENCE < 0.5)), np.flatnonzero((LABELS == 1) & (REFERENCE > 0.5))
    variant[missed[:2]], variant[found[:5]] = 0.6, 0.4
    flips = verdict(variant).flips
    assert (flips.broken, flips.mended) == (5, 2)
    assert flips.p == pytest.approx(0.453125)
    assert verdict(variant).agreement == pytest.approx(1 - 7 / 200)


def test_the_recipe_sets_the_limits() -> None:
    damaged = REFERENCE * 0.9
    assert not verdict(damaged).passed
    assert verdict(damaged, Gate(auroc_loss=1, sensitivity_loss=1, agreement=0)).passed


def test_intervals_are_of_paired_differences() -> None:
    """A variant that loses a little on every draw gets an interval far narrower than that of the AUROC itself."""
    worse = np.where(LABELS == 1, REFERENCE - 0.01, REFERENCE)
    change = verdict(worse).auroc
    assert change.high <= 0
    assert change.high - change.low < 0.02


# Several classes

TARGETS = np.arange(150) % 3
LOGITS = np.eye(3)[TARGETS] * 4 + np.random.default_rng(1).normal(0, 1.2, (150, 3))


def multiclass_verdict(variant: Array, limits: Gate = Gate()) -> MulticlassVerdict:
    return judge_multiclass(TARGETS, np.arange(150) // 2, LOGITS, variant, limits)


def test_equal_logits_pass() -> None:
    found = multiclass_verdict(LOGITS.copy())
    assert found.passed
    assert (found.agreement, found.balanced_accuracy.value, found.largest_difference) == (1.0, 0.0, 0.0)


def test_a_common_shift_of_all_logits_passes() -> None:
    assert multiclass_verdict(LOGITS + 3.0).passed


@pytest.mark.parametrize(
    ("variant", "reason"),
    [
        (np.ones((150, 3)), "every image gets exactly the same logits"),
        (np.where(np.arange(150)[:, None] == 7, np.nan, LOGITS), "1 of 150 outputs are not finite"),
        (np.roll(LOGITS, 1, axis=1), "balanced accuracy changes by -"),
        (
            LOGITS + np.random.default_rng(2).normal(0, 1.5, (150, 3)),
            "of the predicted classes agree; at least 97.0% must",
        ),
    ],
)
def test_a_damaged_variant_of_several_classes_is_refused_with_a_reason(variant: Array, reason: str) -> None:
    found = multiclass_verdict(variant)
    assert not found.passed
    assert any(reason in given for given in found.reasons)
    assert found.to_dict()["reasons"] == list(found.reasons)


def test_the_recipe_sets_the_limits_of_several_classes() -> None:
    wrong = np.roll(LOGITS, 1, axis=1)
    assert multiclass_verdict(wrong, Gate(auroc_loss=1, agreement=0)).passed

from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from osteolite.convert.gate.gate import Flips, PartVerdict, Verdict, judge, judge_parts
from osteolite.train.recipe import Gate

LABELS = np.arange(200) % 2
GROUPS = np.arange(200) // 2
REFERENCE = np.clip(np.random.default_rng(0).normal(0.35 + 0.3 * LABELS, 0.15), 0.001, 0.999)


def verdict(variant: np.ndarray, limits: Gate = Gate()) -> Verdict:
    return judge(LABELS, GROUPS, REFERENCE, variant, 0.5, limits)


def test_the_same_answers_pass_with_nothing_lost() -> None:
    found = verdict(REFERENCE.copy())
    assert found.passed
    assert found.reasons == ()
    assert (found.agreement, found.auroc.value, found.auroc.low, found.auroc.high) == (1.0, 0.0, 0.0, 0.0)
    assert found.largest_difference == 0.0
    assert found.own_auroc.low < found.own_auroc.value < found.own_auroc.high
    assert found.own_auroc.value == pytest.approx(roc_auc_score(LABELS, REFERENCE))


@settings(max_examples=20)
@given(st.floats(0, 0.002), st.integers(0, 100))
def test_noise_like_quantisations_passes(size: float, seed: int) -> None:
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
def test_damage_is_refused_and_named(variant: np.ndarray, reason: str) -> None:
    found = verdict(variant)
    assert not found.passed
    assert any(reason in given for given in found.reasons)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_flips_are_counted_and_weighed_by_mcnemars_exact_test(answers: list[tuple[bool, bool]]) -> None:
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
    assert verdict(variant).flips == Flips(5, 2, pytest.approx(0.453125))
    assert verdict(variant).agreement == pytest.approx(1 - 7 / 200)


def test_limits_are_the_recipes() -> None:
    damaged = REFERENCE * 0.9
    assert not verdict(damaged).passed
    assert verdict(damaged, Gate(auroc_loss=1, sensitivity_loss=1, agreement=0)).passed


def test_intervals_are_paired() -> None:
    """A variant that loses a little on every draw has an interval far narrower than the AUROC's own."""
    worse = np.where(LABELS == 1, REFERENCE - 0.01, REFERENCE)
    change = verdict(worse).auroc
    assert change.high <= 0
    assert change.high - change.low < 0.02


# Body parts

PARTS = np.arange(150) % 3
SEEN = np.eye(3)[PARTS] * 4 + np.random.default_rng(1).normal(0, 1.2, (150, 3))


def part_verdict(variant: np.ndarray, limits: Gate = Gate()) -> PartVerdict:
    return judge_parts(PARTS, np.arange(150) // 2, SEEN, variant, limits)


def test_the_same_body_parts_pass() -> None:
    found = part_verdict(SEEN.copy())
    assert found.passed
    assert (found.agreement, found.balanced_accuracy.value, found.largest_difference) == (1.0, 0.0, 0.0)


def test_logits_that_all_move_alike_change_no_answer() -> None:
    assert part_verdict(SEEN + 3.0).passed


@pytest.mark.parametrize(
    ("variant", "reason"),
    [
        (np.ones((150, 3)), "every image gets the same answer"),
        (np.where(np.arange(150)[:, None] == 7, np.nan, SEEN), "1 of 150 outputs are not finite"),
        (np.roll(SEEN, 1, axis=1), "balanced accuracy changes by -"),
        (SEEN + np.random.default_rng(2).normal(0, 1.5, (150, 3)), "of the answers agree; at least 97.0% must"),
    ],
)
def test_damaged_body_parts_are_refused_and_named(variant: np.ndarray, reason: str) -> None:
    found = part_verdict(variant)
    assert not found.passed
    assert any(reason in given for given in found.reasons)
    assert found.to_dict()["reasons"] == list(found.reasons)


def test_limits_of_body_parts_are_the_recipes() -> None:
    wrong = np.roll(SEEN, 1, axis=1)
    assert part_verdict(wrong, Gate(auroc_loss=1, agreement=0)).passed

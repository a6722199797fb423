import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from osteolite.train.metrics.metrics import (
    BINS,
    METRICS,
    auroc,
    compute_metrics,
    sensitivity_at,
    weighted_metrics,
)

from .scored import scored


def calibration_error(labels: np.ndarray, scores: np.ndarray) -> float:
    """Compute the expected calibration error of Guo et al., bin by bin."""
    total = 0.0
    for index in range(BINS):
        inside = (scores >= index / BINS) & ((scores < (index + 1) / BINS) | (index == BINS - 1))
        if inside.any():
            total += inside.mean() * abs(labels[inside].mean() - scores[inside].mean())
    return float(total)


def by_scikit_learn(labels: np.ndarray, scores: np.ndarray, threshold: float) -> dict[str, float]:
    answers = scores >= threshold
    return {
        "auroc": metrics.roc_auc_score(labels, scores),
        "average_precision": metrics.average_precision_score(labels, scores),
        "sensitivity": metrics.recall_score(labels, answers),
        "specificity": metrics.recall_score(1 - labels, ~answers),
        "accuracy": metrics.accuracy_score(labels, answers),
        "precision": metrics.precision_score(labels, answers, zero_division=0),
        "recall": metrics.recall_score(labels, answers),
        "f1": metrics.f1_score(labels, answers),
        "kappa": metrics.cohen_kappa_score(labels, answers),
        "ece": calibration_error(labels, scores),
        "brier": metrics.brier_score_loss(labels, scores),
    }


def test_metrics_equal_scikit_learns_and_lie_in_their_intervals() -> None:
    labels, scores = scored()
    found = compute_metrics(labels, scores, 0.305, np.arange(400) // 2)
    expected = by_scikit_learn(labels, scores, 0.305)
    assert set(expected) == set(METRICS)
    for name, value in expected.items():
        assert found[name]["value"] == pytest.approx(value, abs=1e-5), name
        assert name == "ece" or found[name]["low"] < value < found[name]["high"], name
    assert sum(found["confusion"].values()) == found["images"] == 400
    assert found["confusion"]["tp"] + found["confusion"]["fn"] == found["fractured"]


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.floats(0.05, 0.95))
def test_a_weight_equals_that_many_copies_of_the_image(seed: int, threshold: float) -> None:
    labels, scores = scored(40, seed)
    weights = np.random.default_rng(seed).integers(0, 4, (3, 40))
    weights[:, :2] += 1  # of each class
    found = weighted_metrics(labels, scores, threshold, weights)
    for draw, copies in enumerate(weights):
        expected = by_scikit_learn(np.repeat(labels, copies), np.repeat(scores, copies), threshold)
        assert {name: found[name][draw] for name in METRICS} == pytest.approx(expected, abs=1e-9)


def test_the_chunk_size_does_not_change_the_result() -> None:
    labels, scores = scored(50)
    weights = np.random.default_rng(0).integers(1, 3, (7, 50))
    whole = weighted_metrics(labels, scores, 0.5, weights)
    stepped = weighted_metrics(labels, scores, 0.5, weights, chunk=100)
    for name in METRICS:
        np.testing.assert_allclose(stepped[name], whole[name], atol=1e-12)


def test_each_image_may_have_its_own_threshold() -> None:
    labels, scores = np.array([1, 1, 0, 0]), np.array([0.4, 0.4, 0.4, 0.4])
    found = weighted_metrics(labels, scores, np.array([0.3, 0.5, 0.3, 0.5]), np.ones((1, 4)))
    assert (found["sensitivity"][0], found["specificity"][0]) == (0.5, 0.5)


@pytest.mark.parametrize("label", [0, 1])
def test_a_single_class_gives_no_nan(label: int) -> None:
    found = compute_metrics(np.full(12, label), np.linspace(0, 1, 12), 0.5, np.arange(12))
    json.dumps(found, allow_nan=False)
    assert found["accuracy"]["value"] == 0.5


def test_auroc_of_a_perfect_a_reversed_and_a_constant_order() -> None:
    labels = np.array([0, 0, 1, 1])
    assert auroc(labels, np.array([0.1, 0.2, 0.3, 0.4])) == 1.0
    assert auroc(labels, np.array([0.4, 0.3, 0.2, 0.1])) == 0.0
    assert auroc(labels, np.full(4, 0.5)) == 0.5


def test_large_groups_widen_the_interval() -> None:
    """Copies of an image add no information; a bootstrap of single images would count them as if they did."""
    labels, scores = (np.repeat(values, 10) for values in scored(60))
    alone = compute_metrics(labels, scores, 0.5, np.arange(600))["auroc"]
    grouped = compute_metrics(labels, scores, 0.5, np.arange(600) // 10)["auroc"]
    assert grouped["high"] - grouped["low"] > 2 * (alone["high"] - alone["low"])


def test_the_interval_has_about_its_nominal_coverage() -> None:
    truth = auroc(*scored(200_000, 99))
    found = [compute_metrics(*scored(150, s), 0.5, np.arange(150))["auroc"] for s in range(20)]
    assert sum(f["low"] <= truth <= f["high"] for f in found) >= 16


@given(st.integers(0, 10_000), st.integers(0, 20).map(lambda n: n / 20))
def test_sensitivity_at_a_specificity_is_the_best_that_reaches_it(seed: int, specificity: float) -> None:
    random = np.random.default_rng(seed)
    labels = np.r_[0, 1, random.integers(0, 2, 28)]
    scores = random.integers(0, 12, 30) / 12
    found = sensitivity_at(labels, scores, np.arange(30), specificity)
    kept = [
        (scores[labels == 1] >= t).mean()
        for t in np.r_[-1, scores + 1e-9]
        if (scores[labels == 0] < t).mean() >= specificity
    ]
    assert found["specificity"] >= specificity - 1e-5
    assert found["sensitivity"]["value"] == pytest.approx(max(kept), abs=1e-5)
    assert 0 <= found["sensitivity"]["low"] <= found["sensitivity"]["high"] <= 1

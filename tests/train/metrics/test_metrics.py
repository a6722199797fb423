import itertools
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from osteolite.train.metrics.curves import curves, operating_points, reliability
from osteolite.train.metrics.metrics import (
    BINS,
    METRICS,
    auroc,
    compute_metrics,
    confusion,
    sensitivity_at,
    weighted_metrics,
)
from osteolite.train.metrics.probability_calibration import probabilities

Scored = tuple[np.ndarray, np.ndarray]


def scored(count: int = 400, seed: int = 0) -> Scored:
    """Labels and scores where P(fractured) = score; the scores are coarse, so that some are equal."""
    random = np.random.default_rng(seed)
    scores = np.round(probabilities(random.normal(-1, 2, count), 1, 0), 2)
    labels = (random.random(count) < scores).astype(int)
    labels[:2] = 0, 1
    return labels, scores


def calibration_error(labels: np.ndarray, scores: np.ndarray) -> float:
    """As Guo et al. write it, bin by bin."""
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


def test_figures_are_scikit_learns_and_lie_in_their_intervals() -> None:
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
def test_a_weight_is_so_many_copies_of_the_image(seed: int, threshold: float) -> None:
    labels, scores = scored(40, seed)
    weights = np.random.default_rng(seed).integers(0, 4, (3, 40))
    weights[:, :2] += 1  # of each class
    found = weighted_metrics(labels, scores, threshold, weights)
    for draw, copies in enumerate(weights):
        expected = by_scikit_learn(np.repeat(labels, copies), np.repeat(scores, copies), threshold)
        assert {name: found[name][draw] for name in METRICS} == pytest.approx(expected, abs=1e-9)


def test_many_images_are_computed_in_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    labels, scores = scored(50)
    weights = np.random.default_rng(0).integers(1, 3, (7, 50))
    whole = weighted_metrics(labels, scores, 0.5, weights)
    monkeypatch.setattr("osteolite.train.metrics.metrics._CHUNK", 100)
    stepped = weighted_metrics(labels, scores, 0.5, weights)
    for name in METRICS:
        np.testing.assert_allclose(stepped[name], whole[name], atol=1e-12)


def test_each_image_may_have_its_own_threshold() -> None:
    labels, scores = np.array([1, 1, 0, 0]), np.array([0.4, 0.4, 0.4, 0.4])
    found = weighted_metrics(labels, scores, np.array([0.3, 0.5, 0.3, 0.5]), np.ones((1, 4)))
    assert (found["sensitivity"][0], found["specificity"][0]) == (0.5, 0.5)


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_alone_gives_numbers_and_no_nan(label: int) -> None:
    found = compute_metrics(np.full(12, label), np.linspace(0, 1, 12), 0.5, np.arange(12))
    json.dumps(found, allow_nan=False)
    assert found["accuracy"]["value"] == 0.5


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.integers(1, 99))
def test_operating_points_are_those_of_the_confusion_and_only_trade_one_for_the_other(seed: int, percent: int) -> None:
    labels, scores = scored(60, seed)
    points = operating_points(labels, scores)
    assert [threshold for threshold, _, _ in points] == [round(number / 100, 2) for number in range(1, 100)]
    for one, next_one in itertools.pairwise(points):
        assert one[1] >= next_one[1]
        assert one[2] <= next_one[2]
    threshold, sensitivity, specificity = points[percent - 1]
    found = confusion(labels, scores >= threshold)  # the scores lie on the grid, where "from" and "above" differ
    assert sensitivity == pytest.approx(found["tp"] / (found["tp"] + found["fn"]), abs=5e-5)
    assert specificity == pytest.approx(found["tn"] / (found["tn"] + found["fp"]), abs=5e-5)


@pytest.mark.parametrize("label", [0, 1])
def test_operating_points_of_one_class_alone_are_numbers(label: int) -> None:
    assert operating_points(np.full(4, label), np.full(4, 0.5))[0] == [0.01, float(label), 0.0]


def test_a_perfect_and_a_reversed_order() -> None:
    labels = np.array([0, 0, 1, 1])
    assert auroc(labels, np.array([0.1, 0.2, 0.3, 0.4])) == 1.0
    assert auroc(labels, np.array([0.4, 0.3, 0.2, 0.1])) == 0.0
    assert auroc(labels, np.full(4, 0.5)) == 0.5


def test_large_groups_widen_the_interval() -> None:
    """Copies of an image tell nothing new; a bootstrap of single images would believe them."""
    labels, scores = (np.repeat(values, 10) for values in scored(60))
    alone = compute_metrics(labels, scores, 0.5, np.arange(600))["auroc"]
    grouped = compute_metrics(labels, scores, 0.5, np.arange(600) // 10)["auroc"]
    assert grouped["high"] - grouped["low"] > 2 * (alone["high"] - alone["low"])


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    truth = auroc(*scored(200_000, 99))
    found = [compute_metrics(*scored(150, s), 0.5, np.arange(150))["auroc"] for s in range(20)]
    assert sum(f["low"] <= truth <= f["high"] for f in found) >= 16


def test_the_reliability_diagram_is_the_calibration_error() -> None:
    labels, scores = scored()
    points = reliability(labels, scores)
    assert sum(count for _, _, count in points) == 400
    error = sum(count * abs(share - mean) for mean, share, count in points) / 400
    assert error == pytest.approx(compute_metrics(labels, scores, 0.5, np.arange(400))["ece"]["value"], abs=1e-4)


def test_curves_run_from_end_to_end() -> None:
    found = curves(*scored())
    assert (found["roc"][0], found["roc"][-1]) == ([0.0, 0.0], [1.0, 1.0])
    assert found["precision_recall"][-1] == [0.0, 1.0]
    assert found["precision_recall"][0][0] == 1.0


@given(st.integers(0, 10_000), st.integers(0, 20).map(lambda n: n / 20))
def test_the_sensitivity_at_a_specificity_is_the_best_that_keeps_it(seed: int, specificity: float) -> None:
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

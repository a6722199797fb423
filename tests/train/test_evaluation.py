import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score, roc_auc_score

from osteolite.edge.errors import UsageError
from osteolite.edge.runtime import sigmoid
from osteolite.train.evaluation import calibrate, choose_threshold, figures, probabilities
from osteolite.train.recipe import Threshold


def scored(count: int = 400, seed: int = 0, slope: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Labels and logits where P(fractured) = sigmoid(slope * logit)."""
    random = np.random.default_rng(seed)
    logits = random.normal(-1, 2, count)
    return (random.random(count) < 1 / (1 + np.exp(-slope * logits))).astype(int), logits


def test_figures_are_scikit_learns_and_lie_in_their_intervals() -> None:
    labels, logits = scored()
    scores = probabilities(logits, 1, 0)
    found = figures(labels, scores, 0.3, np.arange(400) // 2)
    expected = {
        "auroc": roc_auc_score(labels, scores),
        "accuracy": accuracy_score(labels, scores >= 0.3),
        "precision": precision_score(labels, scores >= 0.3),
        "recall": recall_score(labels, scores >= 0.3),
        "specificity": recall_score(1 - labels, scores < 0.3),
        "f1": f1_score(labels, scores >= 0.3),
    }
    for name, value in expected.items():
        assert found[name]["value"] == pytest.approx(value, abs=1e-5)
        assert found[name]["low"] < value < found[name]["high"]
    assert sum(found["confusion"].values()) == found["images"] == 400


def test_large_groups_widen_the_interval() -> None:
    """Copies of an image tell nothing new; a bootstrap of single images would believe them."""
    labels, logits = scored(60)
    labels, scores = np.repeat(labels, 10), np.repeat(probabilities(logits, 1, 0), 10)
    alone = figures(labels, scores, 0.5, np.arange(600))["auroc"]
    grouped = figures(labels, scores, 0.5, np.arange(600) // 10)["auroc"]
    assert grouped["high"] - grouped["low"] > 2 * (alone["high"] - alone["low"])


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    truth = roc_auc_score(*scored(200_000, 99))
    found = [figures(*scored(150, s), 0.5, np.arange(150))["auroc"] for s in range(20)]
    assert sum(f["low"] <= truth <= f["high"] for f in found) >= 16


def test_platt_scaling_finds_the_slope() -> None:
    labels, logits = scored(20_000, slope=0.5)
    slope, intercept = calibrate(labels, logits)
    assert slope == pytest.approx(0.5, abs=0.03)
    assert intercept == pytest.approx(0, abs=0.05)


def test_calibration_never_turns_the_order_round() -> None:
    labels, logits = scored()
    assert calibrate(1 - labels, logits) == (1.0, 0.0)


@given(st.floats(-1e6, 1e6), st.floats(0.01, 10), st.floats(-10, 10))
def test_probabilities_are_the_devices(logit: float, slope: float, intercept: float) -> None:
    on_device = sigmoid(slope * logit + intercept)
    assert probabilities(np.array([logit]), slope, intercept)[0] == pytest.approx(on_device, abs=1e-12)


@settings(max_examples=50)
@given(st.integers(0, 10_000), st.floats(0.5, 1.0))
def test_sensitivity_rule_reaches_its_value_with_the_highest_threshold(seed: int, value: float) -> None:
    labels, logits = scored(80, seed)
    scores = probabilities(logits, 1, 0)
    threshold = choose_threshold(labels, scores, np.arange(80), Threshold("sensitivity", value))
    assert (scores[labels == 1] >= threshold).mean() >= value
    higher = scores[scores >= threshold].min() + 1e-12
    assert (scores[labels == 1] >= higher).mean() < value or not (labels[scores >= threshold] == 1).any()


@settings(max_examples=10)
@given(st.integers(0, 10_000))
def test_youden_is_near_the_best_sum_and_beside_no_score(seed: int) -> None:
    labels, logits = scored(200, seed)
    scores = probabilities(logits, 1, 0)

    def total(threshold: float) -> float:
        return (scores[labels == 1] >= threshold).mean() + (scores[labels == 0] < threshold).mean()

    threshold = choose_threshold(labels, scores, np.arange(200), Threshold())
    assert total(threshold) >= max(map(total, scores)) - 0.12
    assert np.abs(scores - threshold).min() > 0


def test_unknown_rule_is_refused() -> None:
    labels, logits = scored()
    with pytest.raises(UsageError, match="known are youden, sensitivity"):
        choose_threshold(labels, logits, np.arange(400), Threshold("guess"))

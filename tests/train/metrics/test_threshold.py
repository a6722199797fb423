import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from osteolite.edge.errors import UsageError
from osteolite.train.metrics.bootstrap import bootstrap_weights
from osteolite.train.metrics.probability_calibration import probabilities
from osteolite.train.metrics.threshold import choose_threshold, expected_sensitivity
from osteolite.train.recipe import Threshold


def scored(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Labels and scores where P(fractured) = score."""
    random = np.random.default_rng(seed)
    scores = probabilities(random.normal(-1, 2, count), 1, 0)
    return (random.random(count) < scores).astype(int), scores


@settings(max_examples=50)
@given(st.integers(0, 10_000), st.floats(0.5, 1.0))
def test_sensitivity_rule_takes_the_highest_threshold_that_reaches_its_value(seed: int, value: float) -> None:
    labels, scores = scored(80, seed)
    threshold = choose_threshold(labels, scores, np.arange(80), Threshold("sensitivity", value))
    assert (scores[labels == 1] >= threshold).mean() >= value
    higher = scores[scores >= threshold].min() + 1e-12
    assert (scores[labels == 1] >= higher).mean() < value or not (labels[scores >= threshold] == 1).any()


@settings(max_examples=10)
@given(st.integers(0, 10_000))
def test_youden_threshold_is_near_the_best_sum_and_equals_no_score(seed: int) -> None:
    labels, scores = scored(200, seed)

    def total(threshold: float) -> float:
        return float((scores[labels == 1] >= threshold).mean() + (scores[labels == 0] < threshold).mean())

    threshold = choose_threshold(labels, scores, np.arange(200), Threshold())
    assert total(threshold) >= max(map(total, scores)) - 0.12
    assert np.abs(scores - threshold).min() > 0


def test_unknown_rule_is_refused() -> None:
    labels, scores = scored(400)
    with pytest.raises(UsageError, match="use youden or sensitivity"):
        choose_threshold(labels, scores, np.arange(400), Threshold("guess"))


def test_a_test_sensitivity_inside_the_interval_is_as_expected() -> None:
    labels, scores = scored(300)
    expected = expected_sensitivity(labels, scores, np.arange(300), Threshold(), 0.5)["sensitivity"]
    assert expected["low"] < expected["value"] < expected["high"]
    for found, kept in [(expected["low"] - 0.01, False), (expected["low"], True), (expected["high"] + 0.01, False)]:
        result = expected_sensitivity(labels, scores, np.arange(300), Threshold(), found)
        assert result == {"sensitivity": expected, "test": found, "kept": kept}


def test_expected_sensitivity_comes_from_groups_left_out_of_the_draw() -> None:
    labels, scores = scored(60)
    groups, rule = np.arange(60) // 3, Threshold("sensitivity", 0.9)
    out_of_bag = []
    for weights in bootstrap_weights(groups, labels, seed=0):
        drawn, left = np.repeat(np.arange(60), weights.astype(int)), (weights == 0) & (labels == 1)
        assert not set(groups[drawn]) & set(groups[left])
        if left.any():
            threshold = choose_threshold(labels[drawn], scores[drawn], groups[drawn], rule)
            out_of_bag.append((scores[left] >= threshold).mean())
    expected = expected_sensitivity(labels, scores, groups, rule, 0.5)["sensitivity"]
    assert expected["value"] == pytest.approx(np.mean(out_of_bag), abs=1e-4)
    assert (expected["low"], expected["high"]) == pytest.approx(np.percentile(out_of_bag, [2.5, 97.5]), abs=1e-4)

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from osteolite.edge.errors import UsageError
from osteolite.train.probability import probabilities
from osteolite.train.recipe import Threshold
from osteolite.train.threshold import choose_threshold, promise


def scored(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Labels and scores where P(fractured) = score."""
    random = np.random.default_rng(seed)
    scores = probabilities(random.normal(-1, 2, count), 1, 0)
    return (random.random(count) < scores).astype(int), scores


@settings(max_examples=50)
@given(st.integers(0, 10_000), st.floats(0.5, 1.0))
def test_sensitivity_rule_reaches_its_value_with_the_highest_threshold(seed: int, value: float) -> None:
    labels, scores = scored(80, seed)
    threshold = choose_threshold(labels, scores, np.arange(80), Threshold("sensitivity", value))
    assert (scores[labels == 1] >= threshold).mean() >= value
    higher = scores[scores >= threshold].min() + 1e-12
    assert (scores[labels == 1] >= higher).mean() < value or not (labels[scores >= threshold] == 1).any()


@settings(max_examples=10)
@given(st.integers(0, 10_000))
def test_youden_is_near_the_best_sum_and_beside_no_score(seed: int) -> None:
    labels, scores = scored(200, seed)

    def total(threshold: float) -> float:
        return (scores[labels == 1] >= threshold).mean() + (scores[labels == 0] < threshold).mean()

    threshold = choose_threshold(labels, scores, np.arange(200), Threshold())
    assert total(threshold) >= max(map(total, scores)) - 0.12
    assert np.abs(scores - threshold).min() > 0


def test_unknown_rule_is_refused() -> None:
    labels, scores = scored(400)
    with pytest.raises(UsageError, match="known are youden, sensitivity"):
        choose_threshold(labels, scores, np.arange(400), Threshold("guess"))


@pytest.mark.parametrize(("found", "kept"), [(0.79, False), (0.8, True), (0.95, True), (0.96, False)])
def test_a_promise_is_the_validation_interval(found: float, kept: bool) -> None:
    validation = {"sensitivity": {"value": 0.9, "low": 0.8, "high": 0.95}}
    assert promise(validation, {"sensitivity": {"value": found, "low": 0, "high": 1}}) == {
        "sensitivity": validation["sensitivity"],
        "test": found,
        "kept": kept,
    }

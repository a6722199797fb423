import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from osteolite.edge.inference.tensors import sigmoid
from osteolite.train.metrics.probability_calibration import calibrate, probabilities


def drawn(count: int, slope: float, intercept: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, logits and groups where P(fractured) = sigmoid(slope * logit + intercept)."""
    random = np.random.default_rng(seed)
    logits = random.normal(-1, 2, count)
    return (random.random(count) < probabilities(logits, slope, intercept)).astype(int), logits, np.arange(count) // 3


def test_platt_scaling_is_chosen_and_recovers_shifted_logits() -> None:
    found = calibrate(*drawn(20_000, 0.5, -1.0))
    assert found.method == "platt"
    assert found.slope == pytest.approx(0.5, abs=0.03)
    assert found.intercept == pytest.approx(-1.0, abs=0.05)
    assert found.candidates["platt"] < found.candidates["temperature"]


def test_temperature_is_chosen_when_an_intercept_would_only_fit_noise() -> None:
    """On the sample that both are fitted on, Platt scaling would win every time."""
    found = [calibrate(*drawn(60, 0.7, 0.0, seed)) for seed in range(20)]
    temperatures = [one for one in found if one.method == "temperature"]
    assert len(temperatures) >= 10
    assert {one.intercept for one in temperatures} == {0.0}
    assert all(one.candidates["temperature"] <= one.candidates["platt"] for one in temperatures)


def test_calibration_never_reverses_the_order() -> None:
    labels, logits, groups = drawn(400, 1.0, 0.0)
    found = calibrate(1 - labels, logits, groups)
    assert found.slope > 0
    assert found.method != "platt"


def test_separable_classes_give_a_finite_slope() -> None:
    logits = np.concatenate([np.linspace(-5, -4, 20), np.linspace(4, 5, 20)])
    found = calibrate((logits > 0).astype(int), logits, np.arange(40))
    assert 0 < found.slope < 5
    assert 0.9 < probabilities(np.array([4.0]), found.slope, found.intercept)[0] < 1


def test_too_few_groups_for_cross_validation_give_platt_without_candidates() -> None:
    labels = np.array([0, 0, 1, 1, 0, 1])
    found = calibrate(labels, np.array([-1.0, 0.5, 0.2, 2.0, -0.3, 1.0]), np.array(["a"] * 6))
    assert (found.method, found.candidates) == ("platt", {})


@given(st.floats(-1e6, 1e6), st.floats(0.01, 10), st.floats(-10, 10))
def test_probabilities_equal_those_of_the_device(logit: float, slope: float, intercept: float) -> None:
    on_device = sigmoid(slope * logit + intercept)
    assert probabilities(np.array([logit]), slope, intercept)[0] == pytest.approx(on_device, abs=1e-12)

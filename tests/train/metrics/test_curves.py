import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from osteolite.train.metrics.curves import curves, operating_points, reliability
from osteolite.train.metrics.metrics import compute_metrics, confusion

from .scored import scored


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.integers(1, 99))
def test_operating_points_match_the_confusion_matrix_and_are_monotonic(seed: int, percent: int) -> None:
    labels, scores = scored(60, seed)
    points = operating_points(labels, scores)
    assert [threshold for threshold, _, _ in points] == [round(number / 100, 2) for number in range(1, 100)]
    for one, next_one in itertools.pairwise(points):
        assert one[1] >= next_one[1]
        assert one[2] <= next_one[2]
    threshold, sensitivity, specificity = points[percent - 1]
    found = confusion(labels, scores >= threshold)  # scores lie on the grid, where >= and > differ
    assert sensitivity == pytest.approx(found["tp"] / (found["tp"] + found["fn"]), abs=5e-5)
    assert specificity == pytest.approx(found["tn"] / (found["tn"] + found["fp"]), abs=5e-5)


@pytest.mark.parametrize("label", [0, 1])
def test_operating_points_of_a_single_class_are_finite(label: int) -> None:
    assert operating_points(np.full(4, label), np.full(4, 0.5))[0] == [0.01, float(label), 0.0]


def test_the_reliability_diagram_gives_the_calibration_error() -> None:
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

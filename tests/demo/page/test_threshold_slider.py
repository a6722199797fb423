"""The threshold panel for any content of a model card."""

import json
from html import unescape
from typing import Any

import pytest

from osteolite.demo.page.threshold_slider import operating_points, panel
from osteolite.edge import ModelDescription, Prediction
from osteolite.edge.inference.delegation import Delegation

PREDICTION = Prediction("normal", 0.1, 0.4, "m", {}, Delegation(None, "none", 0, 9))
POINTS = [[0.2, 0.9, 0.5], [0.39, 0.7, 0.8], [0.6, 0.4, 1]]


@pytest.fixture
def described(tiny: Any) -> Any:
    def description(**details: Any) -> ModelDescription:
        values = {**tiny.description(), "schema": 1, "labels": ["normal", "fractured"], **details}
        return ModelDescription.from_dict(values)

    return description


def test_panel_states_the_nearest_point_and_the_test_set(described: Any) -> None:
    evaluation = {"part": "test", "unit": "image", "count": 1580, "fractured": 106, "operating_points": POINTS}
    html = panel(PREDICTION, described(evaluation=evaluation))
    assert "On the test split (1,580 images, 106 fractured) of its training data" in html
    assert '<span data-field="sensitivity">0.700</span>' in html
    assert '<span data-field="specificity">0.800</span>' in html
    assert '<span data-field="point">0.39</span>' in html
    assert json.loads(unescape(html.partition('data-points="')[2].partition('"')[0])) == POINTS


def test_panel_counts_studies_and_omits_missing_facts(described: Any) -> None:
    evaluation = {"unit": "study", "count": 7, "operating_points": POINTS}
    assert "On a split (7 studies) of its training data" in panel(PREDICTION, described(evaluation=evaluation))


@pytest.mark.parametrize(
    "points",
    [
        None,
        [],
        "0.5",
        [[0.5, 0.5]],
        [[0.5, 0.5, 1.5]],
        [[0.5, True, 0.5]],
        [[0.5, 0.5, 0.5], None],
        [["<b>", 0.5, 0.5]],
        [[0.5, 0.5, 0.5]] * 1001,
    ],
)
def test_invalid_points_are_ignored(described: Any, points: Any) -> None:
    description = described(evaluation={"operating_points": points})
    assert operating_points(description) == []
    assert "states no sensitivity and specificity" in panel(PREDICTION, description)


@pytest.mark.parametrize("evaluation", [None, [], "none", 3])
def test_card_without_evaluation_has_no_points(described: Any, evaluation: Any) -> None:
    assert operating_points(described(evaluation=evaluation)) == []


def test_text_of_the_evaluation_is_escaped(described: Any) -> None:
    evaluation = {"part": "<script>", "count": "<script>", "unit": "<script>", "operating_points": POINTS}
    assert "<script" not in panel(PREDICTION, described(evaluation=evaluation))

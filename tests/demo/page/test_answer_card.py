"""The card of a prediction: its texts, and escaping."""

from typing import Any

import pytest

from osteolite.demo.page import answer_card
from osteolite.edge import ModelDescription, Prediction
from osteolite.edge.inference.delegation import Delegation

DELEGATION = Delegation(None, "xnnpack", 9, 9)


def prediction(warnings: dict[str, str]) -> Prediction:
    return Prediction("normal", 0.1, 0.4, "m", {"read": 1.0}, DELEGATION, warnings)


@pytest.fixture
def description(tiny: Any) -> ModelDescription:
    return ModelDescription.from_dict({**tiny.description(), "schema": 1, "labels": ["normal", "fractured"]})


@pytest.mark.parametrize(
    ("probability", "label", "words"), [(0.25, "normal", "below"), (0.4, "fractured", "at or above")]
)
def test_card_shows_label_probability_and_threshold(probability: float, label: str, words: str) -> None:
    html = answer_card.answer(Prediction(label, probability, 0.4, "m", {"read": 1.0}, DELEGATION))
    assert f"<h2>{label.capitalize()}</h2>" in html
    assert f"<b>{probability:.3f}</b>, {words} the threshold of 0.400" in html
    assert f'<i style="width:{probability:.2%}">' in html
    assert '<b style="left:40.00%">' in html
    assert answer_card.NOTE in html


def test_details_show_model_and_time_by_step(description: ModelDescription) -> None:
    html = answer_card.details(
        Prediction("normal", 0.1, 0.4, "m", {"read": 1, "invoke": 2}, DELEGATION), "n", "int8", description
    )
    assert "<dd>n</dd>" in html
    assert "<dd>int8</dd>" in html
    assert "<dt>total</dt><dd>3.0 ms</dd>" in html


def test_card_shows_every_warning_as_escaped_text() -> None:
    shown = answer_card.answer(prediction({"coloured": "it has <b>colours</b>", "unfamiliar": "it is strange"}))
    assert "it has &lt;b&gt;colours&lt;/b&gt;" in shown
    assert "it is strange" in shown
    assert 'role="alert"' in shown


def test_card_without_warnings_has_no_alert() -> None:
    assert "alert" not in answer_card.answer(prediction({}))


def test_text_from_files_is_escaped(description: ModelDescription) -> None:
    script = "<script>alert(1)</script>"
    found = Prediction(script, 0.1, 0.4, script, {script: 1.0}, DELEGATION, {script: script}, None, script, 0.5)
    shown = (
        answer_card.answer(found)
        + answer_card.details(found, script, script, description)
        + answer_card.problem(script, script)
    )
    assert "<script" not in shown

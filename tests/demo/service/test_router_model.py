"""A router behind the page: the answer names the body part, and the stage's own card says the rest."""

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from osteolite.demo.page import answer_card
from osteolite.demo.page.model_card import model_card
from osteolite.demo.service.model_set import ModelSet


@pytest.fixture(scope="module")
def png(encode: Any) -> bytes:
    content: bytes = encode(Image.new("L", (40, 40), 255), "PNG")
    return content


def test_the_card_names_the_part(tiny_router: Path, png: bytes) -> None:
    scorer = ModelSet([str(tiny_router)])
    prediction = scorer.score(png, "tiny_router")
    assert (prediction.body_part, prediction.body_part_probability) == ("hand", pytest.approx(0.5))
    assert "Body part: <b>hand</b>, probability <b>0.500</b>" in answer_card.answer(prediction)


def test_what_is_said_of_the_threshold_is_the_stages(tiny_router: Path, png: bytes) -> None:
    scorer = ModelSet([str(tiny_router)])
    answering = scorer.answering("tiny_router", scorer.score(png, "tiny_router"))
    assert (answering.name, answering.threshold) == ("tiny_float32", 0.4)


def test_the_card_of_one_fracture_model_has_no_part(tiny_model: Path, png: bytes) -> None:
    scorer = ModelSet([str(tiny_model)])
    assert "Body part" not in answer_card.answer(scorer.score(png, "tiny_float32"))


def test_the_model_card_of_a_router_lists_its_stages(tiny_router: Path) -> None:
    scorer = ModelSet([str(tiny_router)])
    html = model_card(scorer.path("tiny_router"), scorer.description("tiny_router"))
    assert "<dd>hand, leg</dd>" in html
    assert "<dt>fracture model, leg</dt>" in html

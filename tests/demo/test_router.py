"""A router behind the page: the answer names the body part."""

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from osteolite.demo.card import answer
from osteolite.demo.scorer import Scorer


@pytest.fixture(scope="module")
def png(encode: Any) -> bytes:
    content: bytes = encode(Image.new("L", (40, 40), 255), "PNG")
    return content


def test_the_card_names_the_part(tiny_router: Path, png: bytes) -> None:
    scorer = Scorer([str(tiny_router)])
    prediction = scorer.score(png, "tiny_router")
    assert (prediction.body_part, prediction.body_part_probability) == ("hand", pytest.approx(0.5))
    card = answer(prediction, scorer.variant("tiny_router"))
    assert "<dt>found</dt><dd>hand</dd>" in card
    assert "<dd>0.500</dd>" in card


def test_the_card_of_one_fracture_model_has_no_part(tiny_model: Path, png: bytes) -> None:
    scorer = Scorer([str(tiny_model)])
    assert "Body part" not in answer(scorer.score(png, "tiny_float32"), "float32")

"""The models behind the page: names, thread safety, and routers."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from osteolite.demo.page import answer_card
from osteolite.demo.page.model_card import model_card
from osteolite.demo.service.model_set import ModelSet
from osteolite.edge.prediction.classifier import FractureClassifier


@pytest.fixture(scope="module")
def png(encode: Callable[..., bytes]) -> bytes:
    ramp = np.linspace(0, 255, 300 * 200).reshape(300, 200).astype(np.uint8)
    return encode(Image.fromarray(ramp), "PNG")


@pytest.fixture(scope="module")
def models(tiny_model: Path, tiny_int8_model: Path) -> ModelSet:
    return ModelSet([str(tiny_model), str(tiny_int8_model)])


def test_returned_radiograph_is_the_scored_one(models: ModelSet, png: bytes) -> None:
    prediction, shown = models.predict_with_image(png, "tiny_float32")
    assert (shown.mode, shown.size) == ("L", (200, 300))
    assert FractureClassifier(models.path("tiny_float32")).predict(shown).fracture_probability == pytest.approx(
        prediction.fracture_probability
    )


def test_models_with_the_same_name_are_numbered(tiny_model: Path) -> None:
    assert ModelSet([str(tiny_model)] * 3).names == ["tiny_float32", "tiny_float32 #2", "tiny_float32 #3"]


def test_scoring_is_thread_safe(models: ModelSet, encode: Any) -> None:
    images = [encode(Image.new("L", (64, 64), level), "PNG") for level in range(0, 256, 32)]
    expected = [models.score(image, "tiny_float32").fracture_probability for image in images]
    found: dict[int, set[float]] = {number: set() for number in range(len(images))}

    def score(number: int) -> None:
        for _ in range(50):
            found[number].add(models.score(images[number], "tiny_float32").fracture_probability)

    threads = [threading.Thread(target=score, args=(number,)) for number in found]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[number] for number in found] == [{probability} for probability in expected]


@pytest.fixture(scope="module")
def white_png(encode: Callable[..., bytes]) -> bytes:
    return encode(Image.new("L", (40, 40), 255), "PNG")


def test_router_prediction_names_the_body_part(tiny_router: Path, white_png: bytes) -> None:
    models = ModelSet([str(tiny_router)])
    prediction = models.score(white_png, "tiny_router")
    assert prediction.body_part == "hand"
    assert prediction.body_part_probability == pytest.approx(0.5)
    assert "Body part: <b>hand</b>, probability <b>0.500</b>" in answer_card.answer(prediction)


def test_router_gives_the_description_of_the_stage(tiny_router: Path, white_png: bytes) -> None:
    models = ModelSet([str(tiny_router)])
    description = models.fracture_description("tiny_router", models.score(white_png, "tiny_router"))
    assert (description.name, description.threshold) == ("tiny_float32", 0.4)


def test_fracture_model_has_no_body_part(tiny_model: Path, white_png: bytes) -> None:
    models = ModelSet([str(tiny_model)])
    assert "Body part" not in answer_card.answer(models.score(white_png, "tiny_float32"))


def test_model_card_of_a_router_lists_its_stages(tiny_router: Path) -> None:
    models = ModelSet([str(tiny_router)])
    html = model_card(models.path("tiny_router"), models.description("tiny_router"))
    assert "<dd>hand, leg</dd>" in html
    assert "<dt>fracture model, leg</dt>" in html

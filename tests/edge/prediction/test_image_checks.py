"""Warnings about images that may not be bone radiographs."""

import numpy as np
import pytest
from PIL import Image

from osteolite.edge.prediction.image_checks import image_warnings

PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 30), np.uint8))


def not_needed() -> float:
    raise AssertionError("the inverted image need not be scored")


@pytest.mark.parametrize("ood_score", [None, 0.0, 1.0])
def test_an_image_within_the_limit_has_no_warning(ood_score: float | None) -> None:
    assert image_warnings(PICTURE, 1.0, 0.0, ood_score, not_needed) == {}


@pytest.mark.parametrize("level", [0, 90, 255])
def test_an_image_of_one_shade_is_only_blank(level: int) -> None:
    assert list(image_warnings(Image.new("L", (9, 9), level), 9.0, 200.0, 50.0, not_needed)) == ["blank"]


def test_colour_is_warned_about_with_and_without_a_score() -> None:
    assert list(image_warnings(PICTURE, 1.0, 60.0, None, not_needed)) == ["coloured"]
    assert list(image_warnings(PICTURE, 1.0, 60.0, 3.0, not_needed)) == ["coloured", "unfamiliar"]
    assert image_warnings(PICTURE, 1.0, 3.0, None, not_needed) == {}  # a tinted film


def test_an_image_whose_negative_is_within_the_limit_is_inverted() -> None:
    assert list(image_warnings(PICTURE, 1.0, 0.0, 2.0, lambda: 0.5)) == ["inverted"]
    found = image_warnings(PICTURE, 1.0, 0.0, 2.0, lambda: 1.5)
    assert list(found) == ["unfamiliar"]
    assert "2.0 times the limit" in found["unfamiliar"]


def test_a_thumbnail_is_small_besides_other_warnings() -> None:
    assert image_warnings(PICTURE, 2.0, 0.0, None, not_needed) == {}
    found = image_warnings(PICTURE, 2.1, 0.0, 2.0, lambda: 0.5)
    assert list(found) == ["small", "inverted"]
    assert found["small"].startswith("30 x 40 pixels")

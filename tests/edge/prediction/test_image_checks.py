import numpy as np
import pytest
from PIL import Image

from osteolite.edge.prediction.image_checks import image_warnings

PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 30), np.uint8))


def never() -> float:
    raise AssertionError("the negative need not be looked at")


@pytest.mark.parametrize("ood_score", [None, 0.0, 1.0])
def test_a_familiar_picture_has_no_warning(ood_score: float | None) -> None:
    assert image_warnings(PICTURE, 1.0, 0.0, ood_score, never) == {}


@pytest.mark.parametrize("level", [0, 90, 255])
def test_one_shade_is_blank_and_nothing_else(level: int) -> None:
    assert list(image_warnings(Image.new("L", (9, 9), level), 9.0, 200.0, 50.0, never)) == ["blank"]


def test_colours_are_told_with_or_without_features() -> None:
    assert list(image_warnings(PICTURE, 1.0, 60.0, None, never)) == ["coloured"]
    assert list(image_warnings(PICTURE, 1.0, 60.0, 3.0, never)) == ["coloured", "unfamiliar"]
    assert image_warnings(PICTURE, 1.0, 3.0, None, never) == {}  # a tinted film


def test_a_picture_whose_negative_is_familiar_is_inverted() -> None:
    assert list(image_warnings(PICTURE, 1.0, 0.0, 2.0, lambda: 0.5)) == ["inverted"]
    found = image_warnings(PICTURE, 1.0, 0.0, 2.0, lambda: 1.5)
    assert list(found) == ["unfamiliar"]
    assert "2.0 times the limit" in found["unfamiliar"]


def test_a_thumbnail_is_small_whatever_else_it_is() -> None:
    assert image_warnings(PICTURE, 2.0, 0.0, None, never) == {}
    found = image_warnings(PICTURE, 2.1, 0.0, 2.0, lambda: 0.5)
    assert list(found) == ["small", "inverted"]
    assert found["small"].startswith("30 x 40 pixels")

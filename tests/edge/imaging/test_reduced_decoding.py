"""JPEG files decoded at a reduced scale."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from osteolite.edge.imaging.radiograph import read_radiograph
from osteolite.edge.preprocess import PreprocessingSpec, fit

from .pictures import FORMATS, LOSSLESS, STORED, Encode, difference, picture, with_orientation


@pytest.mark.parametrize("orientation", STORED)
def test_reduced_decoding_applies_the_orientation(orientation: int, encode: Encode) -> None:
    content = with_orientation(orientation, "JPEG", picture(1200, 800), encode)
    spec = PreprocessingSpec(64, 64)
    reduced, full = read_radiograph(content, spec), read_radiograph(content)
    assert full.size == (1200, 800)
    assert reduced.size == (150, 100)
    assert np.abs(fit(reduced, spec).astype(int) - fit(full, spec)).max() <= 4


@given(
    size=st.tuples(st.integers(1, 900), st.integers(1, 900)),
    wanted=st.tuples(st.integers(1, 300), st.integers(1, 300)),
    aspect=st.sampled_from(["pad", "squeeze"]),
    orientation=st.integers(1, 8),
)
def test_reduced_decoding_keeps_enough_pixels_and_the_size_in_the_input(
    encode: Encode, size: tuple[int, int], wanted: tuple[int, int], aspect: str, orientation: int
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encode(Image.new("L", size), "JPEG", exif=exif)
    spec = PreprocessingSpec(*wanted, aspect=aspect)
    reduced, full = read_radiograph(content, spec), read_radiograph(content)
    fitted = spec.fitted_size(*full.size)
    assert spec.fitted_size(*reduced.size) == fitted
    for needed, kept, whole in zip(fitted, reduced.size, full.size, strict=True):
        assert kept >= min(whole, 1.5 * needed)


@pytest.mark.parametrize(("size", "reduced"), [((768, 384), (96, 48)), ((767, 383), (192, 96)), ((190, 95), (190, 95))])
def test_reduced_decoding_uses_the_smallest_scale_that_is_enough(
    size: tuple[int, int], reduced: tuple[int, int], encode: Encode
) -> None:
    # At least one and a half times 64 x 32 is kept: an eighth of 768 x 384 is exactly that, of 767 x 383 a little less.
    assert read_radiograph(encode(Image.new("L", size), "JPEG"), PreprocessingSpec(64, 64)).size == reduced


@pytest.mark.parametrize("wanted", [(400, 10), (10, 400)])
def test_the_side_that_needs_more_pixels_decides_the_scale(wanted: tuple[int, int], encode: Encode) -> None:
    spec = PreprocessingSpec(*wanted, aspect="squeeze")
    assert read_radiograph(encode(Image.new("L", (1000, 1000)), "JPEG"), spec).size == (1000, 1000)


def test_reduced_decoding_differs_little_on_radiographs(shared_data: Path) -> None:
    spec = PreprocessingSpec(224, 224)
    paths = sorted((shared_data / "fracatlas" / "fullres").rglob("*.jpg"))[:3]
    assert paths
    for path in paths:
        reduced, full = read_radiograph(path, spec), read_radiograph(path)
        assert reduced.width * 2 <= full.width
        delta = np.abs(fit(reduced, spec).astype(int) - fit(full, spec))
        assert delta.mean() < 1.0
        assert np.percentile(delta, 99) <= 8


@pytest.mark.parametrize("image_format", LOSSLESS)
def test_other_formats_are_never_reduced(image_format: str, encode: Encode) -> None:
    content = encode(Image.fromarray(picture(640, 480)), image_format, **FORMATS[image_format])
    assert difference(read_radiograph(content, PreprocessingSpec(32, 32)), picture(640, 480)) == 0

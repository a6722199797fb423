"""Preprocessing: the spec, resizing, padding and the tensor."""

import json
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from osteolite.edge.errors import ModelFileError
from osteolite.edge.preprocess import PreprocessingSpec, fit, preprocess

INTERPOLATIONS = ["box", "bilinear", "bicubic", "lanczos"]
sides = st.integers(1, 80)
sizes = st.tuples(st.integers(1, 400), st.integers(1, 400))
specs = st.builds(
    PreprocessingSpec,
    width=sides,
    height=sides,
    aspect=st.sampled_from(["pad", "squeeze"]),
    interpolation=st.sampled_from(INTERPOLATIONS),
    channels=st.sampled_from(["grey", "rgb"]),
    mean=st.floats(-1e6, 1e6),
    std=st.floats(1e-6, 1e6),
)


@given(specs, sizes, st.randoms(use_true_random=False))
def test_the_tensor_has_the_shape_type_and_range_of_the_spec(
    spec: PreprocessingSpec, size: tuple[int, int], chance: Any
) -> None:
    noise = np.random.default_rng(chance.randrange(2**32)).integers(0, 256, size[::-1], np.uint8)
    tensor = preprocess(Image.fromarray(noise), spec)
    assert tensor.shape == (1, *spec.shape) == (1, spec.height, spec.width, 3 if spec.channels == "rgb" else 1)
    assert tensor.dtype == np.float32
    low, high = ((level - spec.mean) / spec.std for level in (0, 255))
    slack = 1e-5 * (abs(low) + abs(high))
    assert np.isfinite(tensor).all()
    assert low - slack <= tensor.min() <= tensor.max() <= high + slack
    assert (tensor == tensor[..., :1]).all()


@given(st.floats(-1e3, 1e3), st.floats(1e-3, 1e3), st.sampled_from(["grey", "rgb"]))
def test_grey_values_are_normalised_by_mean_and_std(mean: float, std: float, channels: str) -> None:
    levels = np.arange(256)
    image = Image.fromarray(levels.reshape(16, 16).astype(np.uint8))
    tensor = preprocess(image, PreprocessingSpec(16, 16, channels=channels, mean=mean, std=std))
    np.testing.assert_allclose(tensor[0, :, :, 0].ravel(), (levels - mean) / std, rtol=1e-5, atol=1e-4 / std)


def test_the_defaults_give_values_from_minus_one_to_one() -> None:
    black, white = (preprocess(Image.new("L", (10, 10), level), PreprocessingSpec()) for level in (0, 255))
    assert black.shape == (1, 224, 224, 3)
    assert (black == -1).all()
    assert (white == 1).all()


@given(specs, sizes)
def test_pad_keeps_the_aspect_ratio_and_centres_on_black(spec: PreprocessingSpec, size: tuple[int, int]) -> None:
    spec = PreprocessingSpec(spec.width, spec.height, "pad", spec.interpolation)
    lit = fit(Image.new("L", size, 255), spec) > 0
    rows, columns = np.flatnonzero(lit.any(axis=1)), np.flatnonzero(lit.any(axis=0))
    assert lit.sum() == rows.size * columns.size  # a full rectangle, and black elsewhere
    assert columns.size == spec.width or rows.size == spec.height
    ratio = min(spec.width / size[0], spec.height / size[1])
    assert abs(columns.size - max(1, size[0] * ratio)) <= 0.5
    assert abs(rows.size - max(1, size[1] * ratio)) <= 0.5
    for lit_places, side in ((columns, spec.width), (rows, spec.height)):
        assert lit_places[0] - (side - 1 - lit_places[-1]) in (0, -1)


@given(specs, sizes)
def test_squeeze_fills_the_input(spec: PreprocessingSpec, size: tuple[int, int]) -> None:
    spec = PreprocessingSpec(spec.width, spec.height, "squeeze", spec.interpolation)
    assert (fit(Image.new("L", size, 255), spec) == 255).all()


@pytest.mark.parametrize("aspect", ["pad", "squeeze"])
def test_the_image_is_not_flipped(aspect: str) -> None:
    quarters = np.kron(np.array([[0, 80], [160, 240]], np.uint8), np.ones((30, 60), np.uint8))
    fitted = fit(Image.fromarray(quarters), PreprocessingSpec(20, 40, aspect))
    lit = fitted[15:25] if aspect == "pad" else fitted
    corners = [lit[0, 0], lit[0, -1], lit[-1, 0], lit[-1, -1]]
    assert corners == [0, 80, 160, 240]


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_reducing_an_image_averages_fine_detail(interpolation: str) -> None:
    checks = 255 * (np.indices((256, 256)).sum(axis=0) % 2).astype(np.uint8)
    fitted = fit(Image.fromarray(checks), PreprocessingSpec(16, 16, interpolation=interpolation))
    assert np.abs(fitted - 127.5).max() < 10


def test_interpolations_give_different_results() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (50, 50), np.uint8)
    specs = [PreprocessingSpec(20, 20, interpolation=name) for name in INTERPOLATIONS]
    results = {fit(Image.fromarray(noise), spec).tobytes() for spec in specs}
    assert len(results) == len(INTERPOLATIONS)


@given(specs)
def test_a_spec_is_read_back_from_json(spec: PreprocessingSpec) -> None:
    values = json.loads(json.dumps(spec.to_dict()))
    assert list(values) == [field.name for field in fields(PreprocessingSpec)]
    assert PreprocessingSpec.from_dict(values) == spec


@pytest.mark.parametrize(
    ("values", "allowed"),
    [
        ({"width": 0}, "1 to 4096"),
        ({"height": 4097}, "1 to 4096"),
        ({"width": 224.0}, "1 to 4096"),
        ({"height": True}, "1 to 4096"),
        ({"width": "224"}, "1 to 4096"),
        ({"aspect": "crop"}, "pad, squeeze"),
        ({"aspect": ["pad"]}, "pad, squeeze"),
        ({"interpolation": "nearest"}, "box, bilinear, bicubic, lanczos"),
        ({"channels": "bgr"}, "grey, rgb"),
        ({"channels": None}, "grey, rgb"),
        ({"mean": float("nan")}, "-1e.06 to 1e.06"),
        ({"mean": float("inf")}, "-1e.06 to 1e.06"),
        ({"mean": 10**400}, "-1e.06 to 1e.06"),
        ({"mean": "0"}, "-1e.06 to 1e.06"),
        ({"mean": False}, "-1e.06 to 1e.06"),
        ({"std": 0}, "1e-06 to 1e.06"),
        ({"std": -1.0}, "1e-06 to 1e.06"),
        ({"std": 1e-40}, "1e-06 to 1e.06"),
        ({"std": [1, 1, 1]}, "1e-06 to 1e.06"),
        ({"colour": "rgb"}, "aspect, channels, height, interpolation, mean, std, width"),
        ([], "aspect, channels, height, interpolation, mean, std, width"),
        (None, "aspect, channels, height, interpolation, mean, std, width"),
    ],
    ids=lambda value: None if isinstance(value, str) else repr(value)[:40],
)
def test_an_invalid_spec_is_refused_with_what_is_allowed(values: Any, allowed: str) -> None:
    with pytest.raises(ModelFileError, match=allowed):
        PreprocessingSpec.from_dict(values)

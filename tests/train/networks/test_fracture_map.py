"""The fracture map: its targets, its loss and its place in the network."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from osteolite.convert.variants.tracing import traced
from osteolite.edge.errors import UsageError
from osteolite.edge.inference.opening import open_session
from osteolite.edge.preprocess import PreprocessingSpec, preprocess
from osteolite.train.data.boxes import BOX_FILES
from osteolite.train.data.catalogue import Catalogue, Row
from osteolite.train.keras import tf
from osteolite.train.networks.class_activation import choose_method, default_layer
from osteolite.train.networks.fracture_map import FINE, STRIDE, box_coverage, map_loss, map_targets
from osteolite.train.networks.model import build_model, set_trainable, split_layers, with_map_term
from osteolite.train.recipe import Phase, Recipe, load_recipe

SPEC = PreprocessingSpec(64, 96, channels="grey")
EIGHTH = st.integers(0, 8)


def with_map(width: int = 64, height: int = 96) -> Recipe:
    base = load_recipe("phantoms")
    return replace(
        base,
        preprocessing=replace(base.preprocessing, width=width, height=height),
        model=replace(base.model, fracture_map=True),
    )


def with_boxes(folder: Path, size: tuple[int, int], *boxes: tuple[float, float, float, float]) -> Catalogue:
    """Write data of one fractured image with these boxes (x, y, width, height in pixels) and one normal image."""
    content = {
        "images": [{"id": 7, "file_name": "a.png", "width": size[0], "height": size[1]}],
        "annotations": [{"image_id": 7, "bbox": list(box)} for box in boxes],
    }
    path = folder / BOX_FILES["fracatlas"]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    rows = (Row("a.png", 1, group="a"), Row("b.png", 0, group="b"))
    return Catalogue(folder, "fracatlas", rows)


@settings(max_examples=60)
@given(
    size=st.tuples(st.integers(60, 900), st.integers(60, 900)),
    edges=st.tuples(EIGHTH, EIGHTH, EIGHTH, EIGHTH),
    aspect=st.sampled_from(["pad", "squeeze"]),
)
def test_box_coverage_equals_that_of_the_fitted_image(
    size: tuple[int, int], edges: tuple[int, int, int, int], aspect: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    (left, right), (top, bottom) = sorted(edges[:2]), sorted(edges[2:])
    width, height = size
    box = (left / 8 * width, top / 8 * height, (right - left) / 8 * width, (bottom - top) / 8 * height)
    spec = replace(SPEC, aspect=aspect, interpolation="bilinear")
    coverage = box_coverage(with_boxes(tmp_path_factory.mktemp("data"), size, box), spec)
    assert coverage.shape == (2, 24, 16)
    assert not coverage[1].any()
    picture = Image.new("L", size, 0)
    picture.paste(255, (round(box[0]), round(box[1]), round(box[0] + box[2]), round(box[1] + box[3])))
    shown = (preprocess(picture, spec)[0, :, :, 0] + 1) / 2
    cells = shown.reshape(24, FINE, 16, FINE).mean((1, 3))
    # Resizing blurs the edges by up to one input pixel, and rounding moves them by one image pixel.
    slack = (FINE + 4) / FINE * max(1.0, 96 / min(size))
    assert abs(coverage[0].sum() / 255 - cells.sum()) < slack * (16 + 24) / 4
    clear = (cells < 0.02) | (cells > 0.98)
    assert np.abs(coverage[0] / 255 - cells)[clear].mean() < 0.05


def test_overlapping_boxes_cover_a_cell_once(tmp_path: Path) -> None:
    coverage = box_coverage(with_boxes(tmp_path, (64, 96), (0, 0, 32, 48), (16, 0, 32, 48), (62, 94, 2, 2)), SPEC)
    assert (coverage[0, :12, :12] == 255).all()
    assert (coverage[0] == 255).sum() == 144
    assert coverage[0, -1, -1] == 64  # a quarter of the last cell


@given(seed=st.integers(0, 1000), shown=st.floats(0.02, 1))
def test_the_fullest_cell_is_the_target_however_small_the_box(seed: int, shown: float) -> None:
    coverage = np.zeros((2, 24, 16, 1), np.float32)
    row, column = np.random.default_rng(seed).integers(0, (24, 16))
    coverage[0, row, column] = shown
    targets = map_targets(tf.constant(coverage)).numpy()
    assert targets.shape == (2, 12, 8, 1)
    ratio = STRIDE // FINE
    expected = 0.0 if shown / ratio**2 < 0.004 else 1.0
    assert targets[0, row // ratio, column // ratio, 0] == pytest.approx(expected)
    assert targets.sum() == pytest.approx(expected)


def test_the_loss_is_lowest_for_the_right_map() -> None:
    targets = np.zeros((3, 12, 8, 1), np.float32)
    targets[:, 2, 1] = 1
    maps = np.full((3, 12, 8, 1), -4, np.float32)
    maps[0, 2, 1], maps[1, 4, 3] = 8, 8
    right, wrong, silent = map_loss()(tf.constant(targets), tf.constant(maps)).numpy()
    assert right < silent < wrong


def test_the_pointing_term_is_the_log_of_the_softmax_inside_the_box() -> None:
    random = np.random.default_rng(4)
    targets, maps = np.zeros((3, 12, 8, 1), np.float32), random.normal(0, 3, (3, 12, 8, 1)).astype(np.float32)
    targets[0, 2, 1], targets[1, 3:9, 2:7] = 1, 1
    added = (map_loss(0.5)(targets, maps) - map_loss()(targets, maps)).numpy()
    shares = np.exp(maps) / np.exp(maps).sum((1, 2, 3), keepdims=True)
    inside = (shares * targets).sum((1, 2, 3))[:2]
    assert added[:2] == pytest.approx(-0.5 * np.log(inside), abs=1e-4)
    assert added[2] == 0  # no box


def test_a_frozen_backbone_leaves_head_and_map_trainable() -> None:
    model = build_model(with_map(), None)
    assert [tuple(one.shape) for one in model.outputs] == [(None, 1), (None, 12, 8, 1)]
    backbone, head = split_layers(model)
    assert [layer.name for layer in head] == ["features", "dropout", "logits"]
    plain, _ = split_layers(build_model(replace(with_map(), model=replace(with_map().model, fracture_map=False)), None))
    assert [layer.name for layer in backbone[1:]] == [layer.name for layer in plain[1:]]
    set_trainable(model, Phase("head", 1, 1e-3, unfrozen=0.0), keep_norm=True)
    learning = {weight.name.split("/")[0] for weight in model.trainable_weights}
    assert learning == {"logits", "map_top", "map_side2", "map_side1", "map_mixed", "map_logits"}


@pytest.mark.parametrize(("width", "height"), [(80, 96), (64, 40)])
def test_an_input_that_allows_no_map_is_refused(width: int, height: int) -> None:
    with pytest.raises(UsageError, match=f"multiples of 32 pixels.*{width} x {height} pixels mobilenetv2"):
        build_model(with_map(width, height), None)


def test_a_map_needs_a_single_logit() -> None:
    with pytest.raises(UsageError, match=r"set model\.outputs to 1"):
        build_model(replace(with_map(), model=replace(with_map().model, outputs=2)), None, outputs=2)


@pytest.mark.parametrize("weight", [0.0, 0.75])
def test_the_converted_model_gives_the_map_of_keras(weight: float) -> None:
    recipe = replace(with_map(), model=replace(with_map().model, map_weight=weight))
    model = with_map_term(build_model(recipe, None), recipe)
    tensor = np.random.default_rng(0).uniform(-1, 1, (1, 96, 64, 1)).astype(np.float32)
    logits, drawn = (np.asarray(one) for one in model(tensor, training=False))
    given = open_session(traced(model)).run(tensor)
    assert given.activation_map is not None
    np.testing.assert_allclose(given.activation_map, drawn[0, :, :, 0], atol=1e-4)
    np.testing.assert_allclose(given.values, logits, atol=1e-4)


@pytest.mark.parametrize("weight", [0.0, 0.75])
def test_the_logit_includes_the_weighted_maximum_of_the_map(weight: float) -> None:
    recipe = replace(with_map(), model=replace(with_map().model, map_weight=weight))
    trained = build_model(recipe, None)
    used = with_map_term(trained, recipe)
    assert (used is trained) == (weight == 0)
    tensors = np.random.default_rng(0).uniform(-1, 1, (5, 96, 64, 1)).astype(np.float32)
    (before, drawn), (after, again) = (
        [np.asarray(one) for one in model(tensors, training=False)] for model in (trained, used)
    )
    np.testing.assert_allclose(again, drawn, atol=1e-6)
    np.testing.assert_allclose(after, before + weight * drawn.max((1, 2, 3))[:, None], atol=1e-5)
    learning = {weight.name for weight in used.trainable_weights}
    assert learning == {weight.name for weight in trained.trainable_weights}


def test_the_map_is_the_default_explanation() -> None:
    model = build_model(with_map(), None)
    assert choose_method(model, [default_layer(model, None)], None) == "map"
    assert choose_method(model, [default_layer(model, "cam")], "cam") == "cam"
    with pytest.raises(UsageError, match="no fracture map of out_relu; use --method cam or gradcam"):
        choose_method(model, ["out_relu"], "map")

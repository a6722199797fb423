"""The fracture map: what boxes teach, and that it is learnt where a label alone cannot say it."""

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
from osteolite.train.data.layouts import read_dataset
from osteolite.train.data.phantoms import write_phantoms
from osteolite.train.evaluation.explain import Explainer, play
from osteolite.train.fitting.input_pipeline import Examples, training_batches
from osteolite.train.keras import tf
from osteolite.train.networks.class_activation import choose_method, default_layer
from osteolite.train.networks.fracture_map import FINE, STRIDE, box_coverage, map_loss, map_targets
from osteolite.train.networks.model import build_model, set_trainable, split_layers, with_map_term
from osteolite.train.recipe import Augmentation, Phase, Recipe, load_recipe
from osteolite.train.workflows.job import open_job
from osteolite.train.workflows.train import train

SPEC = PreprocessingSpec(64, 96, channels="grey")
EIGHTH = st.integers(0, 8)


def mapped(width: int = 64, height: int = 96) -> Recipe:
    base = load_recipe("phantoms")
    return replace(
        base,
        preprocessing=replace(base.preprocessing, width=width, height=height),
        model=replace(base.model, fracture_map=True),
    )


def with_boxes(folder: Path, size: tuple[int, int], *boxes: tuple[float, float, float, float]) -> Catalogue:
    """Data of one fractured image with these boxes (x, y, width, height in its pixels) and one normal image."""
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
def test_a_box_covers_what_it_covers_in_the_fitted_image(
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
    places = shown.reshape(24, FINE, 16, FINE).mean((1, 3))
    # Resizing blurs the edges by up to a pixel of the input, and rounding moves them by one of the image.
    slack = (FINE + 4) / FINE * max(1.0, 96 / min(size))
    assert abs(coverage[0].sum() / 255 - places.sum()) < slack * (16 + 24) / 4
    clear = (places < 0.02) | (places > 0.98)
    assert np.abs(coverage[0] / 255 - places)[clear].mean() < 0.05


def test_boxes_that_overlap_cover_a_place_once(tmp_path: Path) -> None:
    coverage = box_coverage(with_boxes(tmp_path, (64, 96), (0, 0, 32, 48), (16, 0, 32, 48), (62, 94, 2, 2)), SPEC)
    assert (coverage[0, :12, :12] == 255).all()
    assert (coverage[0] == 255).sum() == 144
    assert coverage[0, -1, -1] == 64  # a quarter of the last place


@given(seed=st.integers(0, 1000), shown=st.floats(0.02, 1))
def test_the_fullest_place_is_the_target_however_small_the_box(seed: int, shown: float) -> None:
    coverage = np.zeros((2, 24, 16, 1), np.float32)
    row, column = np.random.default_rng(seed).integers(0, (24, 16))
    coverage[0, row, column] = shown
    targets = map_targets(tf.constant(coverage)).numpy()
    assert targets.shape == (2, 12, 8, 1)
    ratio = STRIDE // FINE
    expected = 0.0 if shown / ratio**2 < 0.004 else 1.0
    assert targets[0, row // ratio, column // ratio, 0] == pytest.approx(expected)
    assert targets.sum() == pytest.approx(expected)


def test_the_loss_is_least_where_the_map_is_right() -> None:
    targets = np.zeros((3, 12, 8, 1), np.float32)
    targets[:, 2, 1] = 1
    maps = np.full((3, 12, 8, 1), -4, np.float32)
    maps[0, 2, 1], maps[1, 4, 3] = 8, 8
    right, wrong, silent = map_loss()(tf.constant(targets), tf.constant(maps)).numpy()
    assert right < silent < wrong


def test_pointing_is_the_share_of_the_softmax_in_a_box_whatever_its_size() -> None:
    random = np.random.default_rng(4)
    targets, maps = np.zeros((3, 12, 8, 1), np.float32), random.normal(0, 3, (3, 12, 8, 1)).astype(np.float32)
    targets[0, 2, 1], targets[1, 3:9, 2:7] = 1, 1
    added = (map_loss(0.5)(targets, maps) - map_loss()(targets, maps)).numpy()
    shares = np.exp(maps) / np.exp(maps).sum((1, 2, 3), keepdims=True)
    inside = (shares * targets).sum((1, 2, 3))[:2]
    assert added[:2] == pytest.approx(-0.5 * np.log(inside), abs=1e-4)
    assert added[2] == 0  # it shows no box


@pytest.mark.parametrize("changes", [Augmentation(), Augmentation(flip=True, rotation=40, zoom=0.3, brightness=0.1)])
def test_targets_move_with_the_image(changes: Augmentation) -> None:
    random = np.random.default_rng(3)
    pixels, coverage = np.zeros((40, 96, 64), np.uint8), np.zeros((40, 24, 16), np.uint8)
    for index in range(40):
        row, column = random.integers(6, 16), random.integers(5, 10)
        pixels[index, 4 * row : 4 * row + 8, 4 * column : 4 * column + 8] = 255
        coverage[index, row : row + 2, column : column + 2] = 255
    ones = np.ones((40, 1), np.float32)
    examples = Examples(pixels, ones, ones[:, 0], coverage)
    batches = training_batches(examples, SPEC, changes, 8, lambda: np.random.default_rng(1))
    seen = 0
    for tensors, (labels, targets), (weights, factors) in batches:
        assert labels.shape == (8, 1)
        assert weights.numpy().tolist() == factors.numpy().tolist() == [1.0] * 8
        shown = tf.nn.avg_pool2d((tensors + 1) / 2, STRIDE, STRIDE, "VALID").numpy()
        for picture, target in zip(shown[..., 0], targets.numpy()[..., 0], strict=True):
            assert target.max() == pytest.approx(1)
            brightest = np.unravel_index(picture.argmax(), picture.shape)
            assert target[brightest] > 0.7
            seen += 1
    assert seen == 40


def test_an_image_whose_fracture_is_cut_away_has_no_say_in_the_label() -> None:
    pixels, coverage = np.zeros((60, 96, 64), np.uint8), np.zeros((60, 24, 16), np.uint8)
    coverage[:30, :3, :3] = 255  # in a corner
    ones = np.ones((60, 1), np.float32)
    examples = Examples(pixels, ones, 2 * ones[:, 0], coverage)
    batches = training_batches(examples, SPEC, Augmentation(crop=0.6), 60, lambda: np.random.default_rng(1))
    ((_, (_, targets), (weights, factors)),) = list(batches)
    shown = targets.numpy().any((1, 2, 3))
    assert set(weights.numpy()) == {0.0, 2.0}
    assert (weights.numpy() == 2).sum() >= 30  # all that have no box
    assert 3 < (weights.numpy() == 0).sum() < 30
    assert not (shown & (weights.numpy() == 0) & (targets.numpy().sum((1, 2, 3)) == 0)).any()
    assert (factors.numpy() == 1).all()


def test_a_frozen_backbone_leaves_head_and_map_to_learn() -> None:
    model = build_model(mapped(), None)
    assert [tuple(one.shape) for one in model.outputs] == [(None, 1), (None, 12, 8, 1)]
    backbone, head = split_layers(model)
    assert [layer.name for layer in head] == ["features", "dropout", "logits"]
    plain, _ = split_layers(build_model(replace(mapped(), model=replace(mapped().model, fracture_map=False)), None))
    assert [layer.name for layer in backbone[1:]] == [layer.name for layer in plain[1:]]
    set_trainable(model, Phase("head", 1, 1e-3, unfrozen=0.0), keep_norm=True)
    learning = {weight.name.split("/")[0] for weight in model.trainable_weights}
    assert learning == {"logits", "map_top", "map_side2", "map_side1", "map_mixed", "map_logits"}


@pytest.mark.parametrize(("width", "height"), [(80, 96), (64, 40)])
def test_an_input_without_a_map_says_which_has_one(width: int, height: int) -> None:
    with pytest.raises(UsageError, match=f"multiples of 32 pixels.*{width} x {height} pixels in mobilenetv2"):
        build_model(mapped(width, height), None)


def test_a_map_stands_beside_one_logit_alone() -> None:
    with pytest.raises(UsageError, match=r"set model\.outputs to 1"):
        build_model(replace(mapped(), model=replace(mapped().model, outputs=2)), None, outputs=2)


@pytest.mark.parametrize("weight", [0.0, 0.75])
def test_the_file_gives_the_map_that_keras_gives(weight: float) -> None:
    recipe = replace(mapped(), model=replace(mapped().model, map_weight=weight))
    model = with_map_term(build_model(recipe, None), recipe)
    tensor = np.random.default_rng(0).uniform(-1, 1, (1, 96, 64, 1)).astype(np.float32)
    logits, drawn = (np.asarray(one) for one in model(tensor, training=False))
    given = open_session(traced(model)).run(tensor)
    assert given.activation_map is not None
    np.testing.assert_allclose(given.activation_map, drawn[0, :, :, 0], atol=1e-4)
    np.testing.assert_allclose(given.values, logits, atol=1e-4)


@pytest.mark.parametrize("weight", [0.0, 0.75])
def test_the_answer_counts_the_strongest_place_of_the_map(weight: float) -> None:
    recipe = replace(mapped(), model=replace(mapped().model, map_weight=weight))
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


def test_the_map_is_what_explains_unless_another_is_asked_for() -> None:
    model = build_model(mapped(), None)
    assert choose_method(model, [default_layer(model, None)], None) == "map"
    assert choose_method(model, [default_layer(model, "cam")], "cam") == "cam"
    with pytest.raises(UsageError, match="no fracture map of out_relu; use --method cam or gradcam"):
        choose_method(model, ["out_relu"], "map")


def test_data_without_boxes_goes_without_a_map(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mapped.toml").write_text(
        'extends = "phantoms"\n[model]\nfracture_map = true\n[training]\nbox_weight = 10.0\n'
    )
    data = write_phantoms(tmp_path / "data", 8, 1)
    job = open_job(data, str(tmp_path / "mapped.toml"), tmp_path / "run", None, 1, False)
    assert not job.recipe.model.fracture_map
    assert "no fracture boxes" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["[model]\nfracture_map = true\n", "[training]\nbox_weight = 1.0\n"])
def test_a_map_without_a_weight_or_the_reverse_is_a_mistake(tmp_path: Path, text: str) -> None:
    (tmp_path / "half.toml").write_text(f'extends = "phantoms"\n{text}')
    data = write_phantoms(tmp_path / "data", 8, 1)
    with pytest.raises(UsageError, match="a fracture map needs a weight above 0, and a weight needs a map"):
        open_job(data, str(tmp_path / "half.toml"), tmp_path / "run", None, 1, False)


@pytest.mark.parametrize(
    "text",
    [
        "[training]\npointing_weight = 0.1\n",
        "[model]\nfracture_map = true\n[training]\nbox_weight = 1.0\npointing_weight = -0.1\n",
    ],
)
def test_pointing_needs_a_map_and_no_negative_weight(tmp_path: Path, text: str) -> None:
    (tmp_path / "pointing.toml").write_text(f'extends = "phantoms"\n{text}')
    data = write_phantoms(tmp_path / "data", 8, 1)
    with pytest.raises(UsageError, match="the weight is 0 or more, and above 0 it needs a map"):
        open_job(data, str(tmp_path / "pointing.toml"), tmp_path / "run", None, 1, False)


BRIGHT = """
extends = "phantoms"
name = "bright"
description = "finds bright places"
[preprocessing]
width = 64
height = 64
[model]
fracture_map = true
[training]
box_weight = 10.0
batch = 16
keep_last = true  # the first epoch whose labels are all right may know nothing of places yet
[[training.phases]]
name = "training"
epochs = 12
learning_rate = 3e-3
unfrozen = 1.0
"""


@pytest.mark.slow
def test_training_on_boxes_finds_what_they_mark(tmp_path: Path) -> None:
    """Fractures are bright squares; every image, fractured or not, has a duller disc that boxes do not mark."""
    random, data = np.random.default_rng(5), tmp_path / "data"
    images, annotations, lines = [], [], ["image_id,hand,leg,hip,shoulder,frontal,lateral,oblique,hardware"]
    for index in range(200):
        name, fractured = f"IMG{11 * index:07d}.jpg", index % 2
        pixels = random.integers(0, 60, (64, 64)).astype(np.uint8)
        for side, level in ((20, 110), (20, 255))[: 1 + fractured]:
            x, y = random.integers(0, 64 - side, 2)
            pixels[y : y + side, x : x + side] = level
        if fractured:
            images.append({"id": index, "file_name": name, "width": 64, "height": 64})
            annotations.append({"image_id": index, "bbox": [int(x), int(y), 20, 20]})
        lines.append(f"{name},1,0,0,0,1,0,0,0")
        path = data / "images" / ("Fractured" if fractured else "Non_fractured") / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path, quality=95)
    (data / "dataset.csv").write_text("\n".join(lines) + "\n")
    boxes = data / BOX_FILES["fracatlas"]
    boxes.parent.mkdir(parents=True)
    boxes.write_text(json.dumps({"images": images, "annotations": annotations}))
    assert read_dataset(data).layout == "fracatlas"
    (tmp_path / "bright.toml").write_text(BRIGHT)
    (run,) = train(data, str(tmp_path / "bright.toml"), tmp_path / "run", None, 1)
    assert run.recipe.model.fracture_map
    explainer = Explainer(run)
    assert explainer.method == "map"
    (figures,) = play(explainer)["layers"]
    assert figures["all"]["share"]["value"] > 3 * figures["all"]["chance"]["value"]

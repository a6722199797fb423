"""Fitting: logs, progress, weights and batch norm."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from osteolite.edge.preprocess import PreprocessingSpec
from osteolite.train.fitting.fit import Fit, Progress
from osteolite.train.fitting.tasks import FractureTask
from osteolite.train.keras import keras, tf
from osteolite.train.networks.model import build_model
from osteolite.train.recipe import Recipe, parse_recipe, to_toml

from .small_recipe import small_recipe

FIRST, SECOND = ("first", 2, 1e-2), ("second", 1, 1e-3)
TEXT = small_recipe(FIRST, SECOND)
ONE_PHASE = small_recipe(FIRST)


def fit_on_brightness(recipe: Recipe, folder: Path, pretrained: bool = False) -> Progress:
    random = np.random.default_rng(0)
    labels = np.arange(48) % 2
    pixels = (random.integers(0, 100, (48, 32, 32)) + 40 * labels[:, None, None]).astype(np.uint8)
    rows = [SimpleNamespace(split="train" if i < 32 else "validation", label=int(n)) for i, n in enumerate(labels)]
    prepared: Any = SimpleNamespace(catalogue=SimpleNamespace(rows=rows), images=SimpleNamespace(pixels=pixels))
    keras.utils.set_random_seed(1)
    return Fit(build_model(recipe, None), FractureTask(), recipe, prepared, folder, pretrained, 1).run()


@pytest.mark.slow
def test_the_tensorboard_logs_agree_with_the_progress(tmp_path: Path) -> None:
    recipe = parse_recipe(TEXT, "small.toml")
    assert recipe.preprocessing == PreprocessingSpec(32, 32, channels="grey")
    progress = fit_on_brightness(recipe, tmp_path)
    events = EventAccumulator(str(tmp_path / "logs"))
    events.Reload()

    def values(tag: str) -> list[float]:
        assert [event.step for event in events.Tensors(tag)] == [1, 2, 3]
        return [float(tf.make_ndarray(event.tensor_proto)) for event in events.Tensors(tag)]

    assert values("loss") == pytest.approx([entry["loss"] for entry in progress.history], abs=1e-5)
    assert values("validation/AUROC") == pytest.approx([entry["validation"] for entry in progress.history], abs=1e-5)
    # The rate of each epoch's last step, as (initial rate, share of the phase's steps before it).
    steps = ((1e-2, 1 / 4), (1e-2, 3 / 4), (1e-3, 1 / 2))
    cosine = [rate * (0.99 * (1 + np.cos(np.pi * share)) / 2 + 0.01) for rate, share in steps]
    assert values("learning_rate") == pytest.approx(cosine, rel=1e-4)
    seconds = [entry["seconds"] for entry in progress.history]
    assert values("images_per_second") == pytest.approx([32 / s for s in seconds], rel=0.2)
    (text,) = tf.make_ndarray(events.Tensors("recipe")[0].tensor_proto).ravel()
    assert [line.removeprefix("    ") for line in text.decode().split("\n")] == to_toml(recipe).splitlines()


@pytest.mark.slow
def test_a_finished_fit_is_not_fitted_again(tmp_path: Path) -> None:
    recipe = parse_recipe(TEXT, "small.toml")
    first = fit_on_brightness(recipe, tmp_path)
    weights = (tmp_path / "weights.h5").stat().st_mtime_ns
    assert fit_on_brightness(recipe, tmp_path) == first
    assert (tmp_path / "weights.h5").stat().st_mtime_ns == weights


@pytest.mark.slow
@pytest.mark.parametrize("keep_last", [False, True])
def test_the_best_or_the_last_weights_are_saved(tmp_path: Path, keep_last: bool) -> None:
    """The second phase's learning rate is so high that the metric drops."""
    recipe = parse_recipe(small_recipe(FIRST, ("second", 1, 50.0)), "small.toml")
    recipe = replace(recipe, training=replace(recipe.training, keep_last=keep_last))
    progress = fit_on_brightness(recipe, tmp_path)
    found = [entry["validation"] for entry in progress.history]
    assert found[-1] < max(found)
    assert progress.best == pytest.approx(found[-1] if keep_last else max(found), abs=1e-5)


@pytest.mark.slow
def test_the_average_is_saved_while_training_continues_from_the_plain_weights(tmp_path: Path) -> None:
    recipe = parse_recipe(ONE_PHASE, "small.toml")
    averaged = replace(recipe, training=replace(recipe.training, averaging=0.9, keep_last=True))
    plain, smooth = (fit_on_brightness(one, tmp_path / str(i)) for i, one in enumerate((recipe, averaged)))
    assert [one["loss"] for one in smooth.history] == pytest.approx([one["loss"] for one in plain.history], rel=1e-3)
    plain_weights, saved = build_model(recipe, None), build_model(recipe, None)
    saved.load_weights(tmp_path / "1" / "weights.h5")
    tf.train.Checkpoint(model=plain_weights).restore(
        tf.train.latest_checkpoint(tmp_path / "1" / "checkpoints")
    ).expect_partial()
    assert any(not np.allclose(a, b) for a, b in zip(plain_weights.get_weights(), saved.get_weights(), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("trained", [False, True])
def test_batch_norm_of_a_pretrained_backbone_is_trained_if_the_recipe_says_so(tmp_path: Path, trained: bool) -> None:
    text = ONE_PHASE.replace("plain_cnn", "mobilenetv2").replace("epochs = 2", "epochs = 1")
    recipe = parse_recipe(text, "small.toml")
    recipe = replace(recipe, training=replace(recipe.training, batch_norm=trained))
    fit_on_brightness(recipe, tmp_path, pretrained=True)
    model = build_model(recipe, None)
    model.load_weights(tmp_path / "weights.h5")
    means = [weight.numpy() for weight in model.non_trainable_weights if "moving_mean" in weight.name]
    assert means
    assert all((mean == 0).all() for mean in means) is not trained


@pytest.mark.slow
@pytest.mark.parametrize("averaging", [0.0, 0.99])
def test_batch_norm_statistics_are_recomputed_for_averaged_weights(tmp_path: Path, averaging: float) -> None:
    """The network then behaves as in training, where the statistics are those of the batch."""
    recipe = parse_recipe(ONE_PHASE.replace("plain_cnn", "mobilenetv2"), "small.toml")
    recipe = replace(recipe, training=replace(recipe.training, averaging=averaging, keep_last=True))
    progress = fit_on_brightness(recipe, tmp_path)
    assert progress.renewed == (averaging > 0)
    model = build_model(recipe, None)
    model.load_weights(tmp_path / "weights.h5")
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    first = keras.Model(model.input, model.layers[model.layers.index(norms[0]) - 1].output)
    random = np.random.default_rng(0)
    pixels = (random.integers(0, 100, (48, 32, 32)) + 40 * (np.arange(48) % 2)[:, None, None])[:32]
    seen = first((pixels[..., None] / 127.5 - 1).astype(np.float32)).numpy()
    off = np.abs(norms[0].moving_mean.numpy() - seen.mean((0, 1, 2))) / seen.std((0, 1, 2))
    assert (off.max() < 1e-3) == (averaging > 0)
    assert fit_on_brightness(recipe, tmp_path) == progress  # not recomputed again

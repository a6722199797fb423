"""Every backbone builds, accepts its documented input and converts."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from osteolite.convert.variants.tracing import traced
from osteolite.edge.errors import UsageError
from osteolite.edge.inference.opening import open_session
from osteolite.edge.preprocess import PreprocessingSpec
from osteolite.train.networks.backbones import BACKBONES, build_backbone
from osteolite.train.networks.model import build_model
from osteolite.train.recipe import Model, Recipe, load_recipe, recipe_names

SMALLEST = {"inceptionv3": 80}  # pixels; the others accept 64


def recipe(backbone: str, channels: str = "rgb", side: int | None = None, **model: Any) -> Recipe:
    size = side or SMALLEST.get(backbone, 64)
    spec = PreprocessingSpec(size, size, channels=channels, mean=BACKBONES[backbone].mean, std=BACKBONES[backbone].std)
    base = load_recipe("phantoms")
    return replace(base, preprocessing=spec, model=Model(backbone, weights="none", **model))


@pytest.mark.slow
@pytest.mark.parametrize("name", BACKBONES)
def test_every_converted_backbone_gives_the_logits_of_keras(name: str) -> None:
    one = recipe(name)
    model = build_model(one, None)
    session = open_session(traced(model))
    image = np.random.default_rng(1).uniform(0, 255, (1, *one.preprocessing.shape)).astype(np.float32)
    image = (image - one.preprocessing.mean) / one.preprocessing.std
    expected = np.asarray(model(image, training=False))
    np.testing.assert_allclose(session.invoke(image).reshape(1, 1), expected, rtol=1e-3, atol=1e-3)
    assert np.isfinite(expected).all()


@pytest.mark.parametrize("name", ["mobilenetv2", "squeezenet", "plain_cnn"])
def test_random_weights_with_grey_input_have_one_channel(name: str) -> None:
    network = build_backbone(recipe(name, "grey"), None)
    assert network.input_shape[-1] == 1
    assert len(network.output_shape) == 4


@pytest.mark.parametrize(
    ("name", "parameters"), [("squeezenet", 722_496), pytest.param("densenet121", 7_037_504, marks=pytest.mark.slow)]
)
def test_the_networks_have_their_published_size(name: str, parameters: int) -> None:
    """SqueezeNet 1.1 has 1,235,496 parameters with its last convolution of 512 x 1000 + 1000."""
    assert build_backbone(recipe(name), None).count_params() == parameters


def test_a_shortened_backbone_loads_the_weights_of_the_whole(tmp_path: Path) -> None:
    whole = build_backbone(recipe("mobilenetv2", alpha=0.35), None)
    whole.save_weights(tmp_path / "whole.h5")
    short = build_backbone(recipe("mobilenetv2", alpha=0.35, last_layer="block_15_add"), str(tmp_path / "whole.h5"))
    assert short.output_shape == (None, 2, 2, 56)
    assert short.count_params() < 0.65 * whole.count_params()
    image = np.random.default_rng(0).uniform(-1, 1, (1, 64, 64, 3)).astype(np.float32)
    inner = whole.__class__(whole.input, whole.get_layer("block_15_add").output)
    np.testing.assert_array_equal(short(image, training=False), inner(image, training=False))


def test_an_unknown_last_layer_lists_the_last_ones() -> None:
    with pytest.raises(UsageError, match=r"no layer 'block_99_add' to end at; its last layers are .*out_relu"):
        build_backbone(recipe("mobilenetv2", last_layer="block_99_add"), None)


def test_alpha_is_refused_for_a_network_of_a_single_width() -> None:
    with pytest.raises(UsageError, match=r"alpha is 0\.5, but resnet50 has a single width.*mobilenetv2, mobilenet"):
        build_backbone(recipe("resnet50", alpha=0.5), None)
    assert build_backbone(recipe("mobilenet", alpha=0.5), None).output_shape[-1] == 512


def test_a_too_small_input_is_refused() -> None:
    with pytest.raises(UsageError, match=r"inceptionv3 cannot have an input of 32 x 32 pixels, rgb"):
        build_backbone(recipe("inceptionv3", side=32), None)


def test_an_unknown_backbone_lists_the_choices() -> None:
    with pytest.raises(UsageError, match="unknown backbone 'vgg'; choose one of mobilenetv2, mobilenet"):
        build_backbone(replace(recipe("mobilenet"), model=Model("vgg")), None)


def test_shipped_recipes_scale_their_input_as_imagenet_weights_expect() -> None:
    for name in recipe_names():
        whole = load_recipe(name)
        for one in whole.alternatives or (whole,):
            if one.model.weights == "imagenet":
                entry = BACKBONES[one.model.backbone]
                assert entry.weights_file is not None, one.name
                assert (one.preprocessing.mean, one.preprocessing.std) == (entry.mean, entry.std), one.name


@pytest.mark.slow
def test_efficientnet_from_a_weights_file_equals_keras_imagenet_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For `weights="imagenet"` alone, Keras adds a layer that divides by the root of the colours' deviation."""
    from tf_keras.src.applications import efficientnet

    deviation = np.array(efficientnet.IMAGENET_STDDEV_RGB)
    plain = efficientnet.EfficientNetB0(include_top=False, weights=None, input_shape=(64, 64, 3))
    normalisation = next(layer for layer in plain.layers if layer.name.startswith("normalization"))
    normalisation.adapt_mean.assign([0.485, 0.456, 0.406])
    normalisation.adapt_variance.assign(deviation)
    plain.save_weights(tmp_path / "efficientnetb0_notop.h5")
    monkeypatch.setattr(efficientnet.data_utils, "get_file", lambda *_, **__: str(tmp_path / "efficientnetb0_notop.h5"))
    published = efficientnet.EfficientNetB0(include_top=False, weights="imagenet", input_shape=(64, 64, 3))
    image = np.random.default_rng(2).uniform(0, 255, (1, 64, 64, 3)).astype(np.float32)
    expected = np.asarray(published(image, training=False))
    for start in ("imagenet", str(tmp_path / "efficientnetb0_notop.h5")):
        built = build_backbone(recipe("efficientnetb0"), start)
        np.testing.assert_allclose(np.asarray(built(image, training=False)), expected, rtol=1e-4, atol=1e-5)
    built.save_weights(tmp_path / "run.h5")
    again = build_backbone(recipe("efficientnetb0"), str(tmp_path / "run.h5"))
    np.testing.assert_allclose(np.asarray(again(image, training=False)), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["mobilenetv2", "mobilenet"])
def test_colour_weights_give_a_grey_network_with_the_same_features(name: str, tmp_path: Path) -> None:
    one = recipe(name, alpha=0.5)
    file_of = BACKBONES[name].weights_file
    assert file_of is not None
    weights = tmp_path / file_of(0.5)
    build_backbone(one, None).save_weights(weights)
    colour, grey = build_backbone(one, str(weights)), build_backbone(recipe(name, "grey", alpha=0.5), str(weights))
    image = np.random.default_rng(1).uniform(-1, 1, (2, 64, 64, 1)).astype(np.float32)
    expected = np.asarray(colour(np.repeat(image, 3, axis=3), training=False))
    assert np.ptp(expected) > 0
    np.testing.assert_allclose(np.asarray(grey(image, training=False)), expected, rtol=1e-3, atol=1e-6)


def test_weights_of_a_grey_network_load_unchanged(tmp_path: Path) -> None:
    network = build_backbone(recipe("mobilenetv2", "grey", alpha=0.5), None)
    network.save_weights(tmp_path / "mine.h5")
    started = build_backbone(recipe("mobilenetv2", "grey", alpha=0.5), str(tmp_path / "mine.h5"))
    for before, after in zip(network.get_weights(), started.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)

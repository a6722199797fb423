from typing import Any

import numpy as np
import pytest

from osteolite.edge.errors import UsageError
from osteolite.train.keras import keras
from osteolite.train.networks.class_activation import activation_mapper, choose_method, last_feature_map
from osteolite.train.networks.model import FEATURES, build_model
from osteolite.train.recipe import parse_recipe

RECIPE = """
name = "net"
description = "for maps"
[preprocessing]
width = 64
height = 96
channels = "grey"
[model]
backbone = "mobilenetv2"
alpha = 0.35
weights = "none"
[[training.phases]]
name = "none"
epochs = 1
learning_rate = 1e-3
unfrozen = 1.0
"""


def network(outputs: int = 1, hidden: int = 0) -> Any:
    """Build a small network with the head of `build_model`, whose untrained backbone has features of only 1e-10."""
    keras.utils.set_random_seed(3)
    picture = keras.Input((96, 64, 1))
    features = keras.layers.Conv2D(6, 5, strides=8, activation="relu", name="early")(picture)
    features = keras.layers.Conv2D(5, 3, strides=2, activation="relu", name="last")(features)
    pooling = keras.layers.Flatten if hidden else keras.layers.GlobalAveragePooling2D
    features = pooling(name=FEATURES)(features)
    if hidden:
        features = keras.layers.Dense(hidden, activation="relu", name="hidden1")(features)
    features = keras.layers.Dropout(0.5, name="dropout")(features)
    bias = keras.initializers.RandomUniform(0.5, 1.0)
    return keras.Model(picture, keras.layers.Dense(outputs, bias_initializer=bias, name="logits")(features))


def tensor() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(1, 96, 64, 1)).astype(np.float32)


def expected_logit(outputs: np.ndarray) -> float:
    return float(outputs[-1] - (outputs[0] if len(outputs) == 2 else 0))


@pytest.mark.parametrize("outputs", [1, 2])
def test_the_mean_of_a_class_activation_map_plus_the_bias_is_the_logit(outputs: int) -> None:
    model = network(outputs)
    assert last_feature_map(model) == "last"
    logit, (found,) = activation_mapper(model, ["last"], "cam")(tensor())
    assert found.shape == (5, 3)
    assert np.ptp(found) > 0.1
    assert logit == pytest.approx(expected_logit(np.asarray(model(tensor(), training=False))[0]), abs=1e-5)
    bias = expected_logit(model.layers[-1].get_weights()[1])
    assert found.mean() + bias == pytest.approx(logit, abs=1e-5)


def opposite(model: Any) -> Any:
    """Return the network with the sign of its logit reversed."""
    reversed_model = keras.models.clone_model(model)
    reversed_model.set_weights([*model.get_weights()[:-2], *(-one for one in model.get_weights()[-2:])])
    return reversed_model


@pytest.mark.parametrize("outputs", [1, 2])
def test_gradcam_of_a_linear_head_is_proportional_to_the_positive_class_activation_map(outputs: int) -> None:
    highest = 0.0
    for model in (network(outputs), opposite(network(outputs))):
        _, (cam,) = activation_mapper(model, ["last"], "cam")(tensor())
        _, (gradcam,) = activation_mapper(model, ["last"], "gradcam")(tensor())
        np.testing.assert_allclose(gradcam * cam.size, np.maximum(cam, 0), atol=1e-5)
        highest = max(highest, gradcam.max() * cam.size)
    assert highest > 0.1


@pytest.mark.parametrize("name", ["early", "last"])
def test_gradcam_follows_the_gradient_through_hidden_layers(name: str) -> None:
    """Compare with finite differences over each channel of the features."""
    highest = 0.0
    for model in (network(hidden=8), opposite(network(hidden=8))):
        _, (found,) = activation_mapper(model, [name], "gradcam")(tensor())
        features = np.asarray(keras.Model(model.input, model.get_layer(name).output)(tensor()))
        step = 1e-3 * np.eye(features.shape[-1], dtype=np.float32)[:, None, None, :]
        slopes = (
            (logits_from(model, name, features + step) - logits_from(model, name, features - step)) / 2e-3 / found.size
        )
        expected = np.maximum(features[0] @ slopes, 0)
        highest = max(highest, expected.max())
        np.testing.assert_allclose(found, expected, atol=0.02 * np.abs(features[0] @ slopes).max())
    assert highest > 0.01


def logits_from(model: Any, name: str, features: np.ndarray) -> np.ndarray:
    """Compute the logits from features of the named layer."""
    start = [layer.name for layer in model.layers].index(name) + 1
    for layer in model.layers[start:]:
        features = layer(features)
    return np.asarray(features)[:, 0].astype(np.float64)


def test_an_unknown_layer_lists_the_feature_maps() -> None:
    model = build_model(parse_recipe(RECIPE, "here"), None)
    with pytest.raises(UsageError, match=r"no feature map nothing.*block_13_expand_relu.*out_relu"):
        choose_method(model, ["nothing"], None)
    assert choose_method(model, ["out_relu"], None) == "cam"
    assert choose_method(model, ["block_13_expand_relu"], None) == "gradcam"

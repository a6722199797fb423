from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from osteolite.edge.errors import UsageError
from osteolite.train.keras import keras
from osteolite.train.networks.model import build_model, fracture_logits, set_trainable, split_layers, with_one_logit
from osteolite.train.recipe import Phase, Recipe, load_recipe


def recipe(**model: Any) -> Recipe:
    base = load_recipe("phantoms")
    spec = replace(base.preprocessing, width=32, height=32)
    changed = replace(base.model, **{"backbone": "plain_cnn", "alpha": 1.0, **model})
    return replace(base, preprocessing=spec, model=changed)


@pytest.mark.parametrize("pooling", ["average", "flatten"])
@pytest.mark.parametrize("hidden", [(), (16, 8)])
def test_two_outputs_become_one_logit_with_the_same_value(pooling: str, hidden: tuple[int, ...]) -> None:
    keras.utils.set_random_seed(1)  # with some seeds every hidden unit is dead and all outputs are equal
    two = build_model(recipe(pooling=pooling, hidden=hidden), None, outputs=2)
    images = np.random.default_rng(1).normal(size=(6, 32, 32, 1)).astype(np.float32)
    expected = fracture_logits(np.asarray(two(images, training=False)))
    assert np.ptp(expected) > 0
    single = with_one_logit(two)
    assert single.output_shape == (None, 1)
    np.testing.assert_allclose(np.asarray(single(images, training=False))[:, 0], expected, rtol=1e-4, atol=1e-6)


def test_a_model_of_one_logit_is_returned_unchanged() -> None:
    one = build_model(recipe(), None)
    assert with_one_logit(one) is one


def test_the_head_has_the_units_of_the_recipe() -> None:
    model = build_model(recipe(pooling="flatten", hidden=(7, 5)), None, outputs=2)
    shapes = [layer.output_shape[-1] for layer in split_layers(model)[1]]
    assert shapes == [2 * 2 * 128, 7, 5, 5, 2]


@pytest.mark.slow
def test_the_humerus_recipe_trains_the_top_sixty_layers() -> None:
    published = load_recipe("humerus_densenet121")
    model = build_model(replace(published, preprocessing=replace(published.preprocessing, width=32, height=32)), None)
    set_trainable(model, published.training.phases[0], keep_norm=False)
    backbone, _ = split_layers(model)
    assert [layer.trainable for layer in backbone] == [False] * 367 + [True] * 60


def test_a_frozen_backbone_leaves_the_head_trainable() -> None:
    model = build_model(recipe(hidden=(5,)), None)
    set_trainable(model, Phase("head", 1, 1e-3, unfrozen=0.0), keep_norm=True)
    assert {weight.name.split("/")[0] for weight in model.trainable_weights} == {"hidden1", "logits"}


def test_an_unknown_pooling_lists_the_choices() -> None:
    with pytest.raises(UsageError, match="unknown pooling 'max'; choose one of average, flatten"):
        build_model(recipe(pooling="max"), None)

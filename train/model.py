"""The network: backbone, global average, dropout, one logit of `fractured`."""

from typing import Any

from .backbones import build_backbone
from .keras import keras
from .recipe import Phase, Recipe


def build_model(recipe: Recipe, weights: str | None) -> Any:
    """A Keras model from float32 (batch, height, width, channels) to logits (batch, 1).

    The head is linear on averaged features, so that the class activation map is the same linear
    layer on the features before averaging (Zhou et al., CVPR 2016).
    """
    backbone = build_backbone(recipe, weights)
    features = keras.layers.GlobalAveragePooling2D(name="average")(backbone.output)
    features = keras.layers.Dropout(recipe.model.dropout, name="dropout")(features)
    logit = keras.layers.Dense(1, name="logit")(features)
    return keras.Model(backbone.input, logit, name=recipe.name)


def set_trainable(model: Any, phase: Phase, pretrained: bool) -> None:
    """Let the head and the phase's share of the backbone learn.

    Batch norm of a pretrained backbone keeps its statistics: a small radiograph set would replace
    them by worse ones.
    """
    head = {"average", "dropout", "logit"}
    backbone = [layer for layer in model.layers if layer.name not in head]
    first = round(len(backbone) * (1.0 - phase.unfrozen))
    for index, layer in enumerate(backbone):
        frozen_norm = pretrained and isinstance(layer, keras.layers.BatchNormalization)
        layer.trainable = index >= first and not frozen_norm

"""The network: backbone, pooled features, dense layers if the recipe has some, and the task's outputs."""

from typing import Any

from osteolite.edge.errors import UsageError

from .backbones import build_backbone
from .keras import keras
from .recipe import Phase, Recipe

_POOLING = {"average": keras.layers.GlobalAveragePooling2D, "flatten": keras.layers.Flatten}
FEATURES = "features"  # name of the pooling layer; what stands before it is the backbone


def build_model(recipe: Recipe, weights: str | None, outputs: int = 1) -> Any:
    """A Keras model from float32 (batch, height, width, channels) to logits (batch, outputs).

    With average pooling and no hidden layers the head is linear on averaged features, so that the
    class activation map is the same linear layer on the features before averaging (Zhou et al.,
    CVPR 2016).

    Raises:
        UsageError: an unknown backbone or pooling, or weights that cannot be had or do not fit.
    """
    if recipe.model.pooling not in _POOLING:
        raise UsageError(f"no pooling {recipe.model.pooling!r}; known are {', '.join(_POOLING)}")
    backbone = build_backbone(recipe, weights)
    features = _POOLING[recipe.model.pooling](name=FEATURES)(backbone.output)
    for number, units in enumerate(recipe.model.hidden, start=1):
        features = keras.layers.Dense(units, activation="relu", name=f"hidden{number}")(features)
    features = keras.layers.Dropout(recipe.model.dropout, name="dropout")(features)
    logits = keras.layers.Dense(outputs, name="logits")(features)
    return keras.Model(backbone.input, logits, name=recipe.name)


def split_layers(model: Any) -> tuple[list[Any], list[Any]]:
    """The layers of the backbone and those of the head, in order."""
    names = [layer.name for layer in model.layers]
    border = names.index(FEATURES)
    return model.layers[:border], model.layers[border:]


def set_trainable(model: Any, phase: Phase, pretrained: bool) -> None:
    """Let the head and the phase's share of the backbone learn.

    Batch norm of a pretrained backbone keeps its statistics: a small radiograph set would replace
    them by worse ones.
    """
    backbone, _ = split_layers(model)
    first = round(len(backbone) * (1.0 - phase.unfrozen))
    for index, layer in enumerate(backbone):
        frozen_norm = pretrained and isinstance(layer, keras.layers.BatchNormalization)
        layer.trainable = index >= first and not frozen_norm

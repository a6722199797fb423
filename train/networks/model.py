"""The network: backbone, pooling, optional dense layers, and the outputs of the task."""

from pathlib import Path
from typing import Any

from osteolite.edge.errors import UsageError

from ..keras import keras
from ..recipe import Phase, Recipe
from .backbones import build_backbone
from .fracture_map import PREFIX, fracture_map, with_map_maximum

_POOLING = {"average": keras.layers.GlobalAveragePooling2D, "flatten": keras.layers.Flatten}
FEATURES = "features"  # name of the pooling layer; the layers before it are the backbone


def build_model(recipe: Recipe, weights: str | None, outputs: int = 1) -> Any:
    """Build a Keras model from float32 (batch, height, width, channels) to logits (batch, outputs).

    If the recipe has a fracture map, the model's outputs are [logits, map] (see `fracture_map.fracture_map`).

    With average pooling and no hidden layers the head is linear in the averaged features. The class activation map
    is then the same linear layer applied before averaging (Zhou et al., CVPR 2016).

    Args:
        recipe: backbone, head and input.
        weights: None for random weights; "imagenet" or the path of an .h5 file for the backbone; or a run folder,
            whose weights the whole network takes.
        outputs: units of the last layer.

    Raises:
        UsageError: the backbone or pooling is unknown, the weights cannot be loaded or do not fit, or the network
            cannot have a fracture map.
    """
    if recipe.model.pooling not in _POOLING:
        raise UsageError(f"unknown pooling {recipe.model.pooling!r}; choose one of {', '.join(_POOLING)}")
    if recipe.model.fracture_map and recipe.model.outputs != 1:
        raise UsageError(f"recipe {recipe.name}: a fracture map needs a single logit; set model.outputs to 1")
    run = Path(weights) if weights is not None and Path(weights).is_dir() else None
    backbone = build_backbone(recipe, None if run else weights)
    features = _POOLING[recipe.model.pooling](name=FEATURES)(backbone.output)
    for number, units in enumerate(recipe.model.hidden, start=1):
        features = keras.layers.Dense(units, activation="relu", name=f"hidden{number}")(features)
    features = keras.layers.Dropout(recipe.model.dropout, name="dropout")(features)
    logits = keras.layers.Dense(outputs, name="logits")(features)
    outputs_given = [logits, fracture_map(backbone, recipe.model.alpha)] if recipe.model.fracture_map else logits
    model = keras.Model(backbone.input, outputs_given, name=recipe.name)
    if run is not None:
        _load_run(model, run)
    return model


def _load_run(model: Any, run: Path) -> None:
    try:
        model.load_weights(run / "weights.h5")
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UsageError(
            f"--weights {run}: the weights do not fit the recipe's network ({reason}); use a run of the same network"
        ) from error


def with_map_term(model: Any, recipe: Recipe) -> Any:
    """Return a trained model for inference, with the map's weighted maximum in its logit if the recipe says so."""
    if not (recipe.model.fracture_map and recipe.model.map_weight):
        return model
    logit, drawn = model.outputs
    combined = with_map_maximum(logit, drawn, recipe.model.map_weight)
    return keras.Model(model.input, [combined, drawn], name=model.name)


def with_one_logit(model: Any) -> Any:
    """Return the model with the logit of `fractured` as its only output.

    Of two sigmoid outputs the larger one decides, so their difference is the logit. Both come from one linear
    layer, so the difference does too.
    """
    last = split_layers(model)[1][-1]
    if last.units == 1:
        return model
    kernel, bias = last.get_weights()
    difference = keras.layers.Dense(1, name=last.name)
    single = keras.Model(model.input, difference(last.input), name=model.name)
    difference.set_weights([kernel[:, 1:] - kernel[:, :1], bias[1:] - bias[:1]])
    return single


def split_layers(model: Any) -> tuple[list[Any], list[Any]]:
    """Return the layers of the backbone and of the head, in order, without those of a fracture map."""
    layers = [layer for layer in model.layers if PREFIX not in layer.name]
    border = next(i for i, one in enumerate(layers) if one.name.endswith(FEATURES))  # wrappers add a prefix
    return layers[:border], layers[border:]


def logits_of(outputs: Any) -> Any:
    """Return the logits from a model's outputs, which may be [logits, map]."""
    return outputs[0] if isinstance(outputs, list | tuple) else outputs


def set_trainable(model: Any, phase: Phase, keep_norm: bool) -> None:
    """Make the head, the fracture map and the phase's share of the backbone trainable.

    Args:
        model: a model of `build_model`.
        phase: has the share of the backbone to train.
        keep_norm: freeze batch normalisation with its statistics. Statistics of radiographs let a pretrained
            backbone learn faster, and a narrow one much faster.
    """
    backbone, _ = split_layers(model)
    first = round(len(backbone) * (1.0 - phase.unfrozen))
    for index, layer in enumerate(backbone):
        inner = getattr(layer, "layer", layer)  # unwrapped
        frozen_norm = keep_norm and isinstance(inner, keras.layers.BatchNormalization)
        layer.trainable = index >= first and not frozen_norm


def fracture_logits(outputs: Any) -> Any:
    """Return the logit of `fractured`, (images,), from a network's outputs (images, 1 or 2).

    Of two sigmoid outputs the larger one decides, so their difference is the logit.

    >>> import numpy as np
    >>> fracture_logits(np.array([[0.5, 2.0]])).tolist(), fracture_logits(np.array([[3.0]])).tolist()
    ([1.5], [3.0])
    """
    return outputs[:, 0] if outputs.shape[-1] == 1 else outputs[:, 1] - outputs[:, 0]

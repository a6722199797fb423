"""The network: backbone, pooled features, dense layers if the recipe has some, and the task's outputs."""

from pathlib import Path
from typing import Any

from osteolite.edge.errors import UsageError

from ..keras import keras
from ..recipe import Phase, Recipe
from .backbones import build_backbone
from .fracture_map import LAYERS, fracture_map, with_strongest_place

_POOLING = {"average": keras.layers.GlobalAveragePooling2D, "flatten": keras.layers.Flatten}
FEATURES = "features"  # name of the pooling layer; what stands before it is the backbone


def build_model(recipe: Recipe, weights: str | None, outputs: int = 1) -> Any:
    """A Keras model from float32 (batch, height, width, channels) to logits (batch, outputs), perhaps with a map.

    Where the recipe asks for a fracture map, the model gives [logits, map], the latter as
    `localisation.fracture_map` makes it.

    With average pooling and no hidden layers the head is linear on averaged features, so that the
    class activation map is the same linear layer on the features before averaging (Zhou et al.,
    CVPR 2016).

    Args:
        recipe: backbone, head and input.
        weights: None for a random start, "imagenet" or the path of an .h5 file for the backbone, or a
            run folder, from which the whole network starts.
        outputs: of the last layer.

    Raises:
        UsageError: an unknown backbone or pooling, weights that cannot be had or do not fit, or a fracture map
            of a network that cannot have one.
    """
    if recipe.model.pooling not in _POOLING:
        raise UsageError(f"no pooling {recipe.model.pooling!r}; known are {', '.join(_POOLING)}")
    if recipe.model.fracture_map and recipe.model.outputs != 1:
        raise UsageError(f"recipe {recipe.name}: a fracture map stands beside one logit; set model.outputs to 1")
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
        raise UsageError(f"--weights {run}: its weights do not fit the recipe's network ({reason})") from error


def with_map_term(model: Any, recipe: Recipe) -> Any:
    """A trained model as it is used: its logit also counts the strongest place of its map, where the recipe says so."""
    if not (recipe.model.fracture_map and recipe.model.map_weight):
        return model
    label, drawn = model.outputs
    return keras.Model(
        model.input, [with_strongest_place(label, drawn, recipe.model.map_weight), drawn], name=model.name
    )


def with_one_logit(model: Any) -> Any:
    """The same model with the logit of `fractured` as its one output, whatever the recipe's outputs.

    Of two sigmoid outputs the larger one decides: their difference is the logit, and as both come
    from one linear layer, so does the difference.
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
    """The layers of the backbone and those of the head, in order, without those of a fracture map."""
    layers = [layer for layer in model.layers if LAYERS not in layer.name]
    border = next(i for i, one in enumerate(layers) if one.name.endswith(FEATURES))  # wrappers write before a name
    return layers[:border], layers[border:]


def logits_of(given: Any) -> Any:
    """The logits of what a model gives, which may stand before a map."""
    return given[0] if isinstance(given, list | tuple) else given


def set_trainable(model: Any, phase: Phase, keep_norm: bool) -> None:
    """Let the head, the fracture map and the phase's share of the backbone learn.

    Args:
        model: as `build_model` makes it.
        phase: says how much learns.
        keep_norm: batch norm keeps what it has, its statistics too. With statistics of radiographs a pretrained
            backbone learns faster, a narrow one by far.
    """
    backbone, _ = split_layers(model)
    first = round(len(backbone) * (1.0 - phase.unfrozen))
    for index, layer in enumerate(backbone):
        inner = getattr(layer, "layer", layer)  # of a wrapper
        frozen_norm = keep_norm and isinstance(inner, keras.layers.BatchNormalization)
        layer.trainable = index >= first and not frozen_norm


def fracture_logits(outputs: Any) -> Any:
    """The logit of `fractured`, (images,), from a network's outputs (images, 1 or 2).

    Of two sigmoid outputs the larger one decides, so their difference is the logit.

    >>> import numpy as np
    >>> fracture_logits(np.array([[0.5, 2.0]])).tolist(), fracture_logits(np.array([[3.0]])).tolist()
    ([1.5], [3.0])
    """
    return outputs[:, 0] if outputs.shape[-1] == 1 else outputs[:, 1] - outputs[:, 0]

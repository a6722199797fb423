"""Backbones: one entry of `BACKBONES` for each network that can stand under the head."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from osteolite.edge.errors import UsageError

from ..console import console
from ..keras import keras
from ..recipe import Recipe
from .plain_cnn import plain_cnn
from .squeezenet import squeezenet

_BATCH_NORM_MOMENTUM = 0.9  # where it learns on a small set; Keras's 0.999 needs thousands of steps to settle
_EFFICIENTNET_STD = np.array([0.229, 0.224, 0.225])  # of ImageNet's colours, as Keras's EfficientNet has them

Shape = tuple[int, int, int]  # height, width, channels


@dataclass(frozen=True)
class Backbone:
    """A network without its top, and the start that is published for it."""

    build: Callable[[Shape, float, str | None], Any]  # of input shape, width, and None, "imagenet" or a path
    weights_file: Callable[[float], str] | None  # Keras's name of the ImageNet weights by width; None: there are none
    mean: float = 127.5  # of the input that those weights expect, on grey values of 0 to 255
    std: float = 127.5
    widths: bool = False  # whether the recipe's `alpha` means something to it


def _application(name: str, shape: Shape, alpha: float, weights: str | None) -> Any:
    return getattr(keras.applications, name)(input_shape=shape, include_top=False, weights=weights)


def _mobilenet(name: str, shape: Shape, alpha: float, weights: str | None) -> Any:
    return getattr(keras.applications, name)(input_shape=shape, alpha=alpha, include_top=False, weights=weights)


def _efficientnet(name: str, shape: Shape, alpha: float, weights: str | None) -> Any:
    """Keras's EfficientNet, with the same layers whatever the start.

    Keras adds a layer for `weights="imagenet"` alone, which divides by the square root of the colours'
    standard deviation once more. Here that factor goes into the normalisation before it, so that a run's
    weights file fits the network that is built to read it.
    """
    network = _application(name, shape, alpha, None)
    if weights is not None:
        network.set_weights(_application(name, shape, alpha, weights).get_weights())
        for layer in network.layers:
            if isinstance(layer, keras.layers.Normalization):
                _finish_normalisation(layer)
    return network


def _finish_normalisation(layer: Any) -> None:
    if np.allclose(layer.adapt_variance, _EFFICIENTNET_STD, rtol=0.01):  # as in the published files
        layer.adapt_variance.assign(_EFFICIENTNET_STD**2)
    layer.finalize_state()


def _own(network: Callable[[Shape], Any], shape: Shape, alpha: float, weights: str | None) -> Any:
    built = network(shape)
    if weights is not None:
        built.load_weights(weights)
    return built


def _keras_file(name: str) -> Callable[[float], str]:
    return lambda alpha: f"{name}_weights_tf_dim_ordering_tf_kernels_notop.h5"


def _mobilenet_file(alpha: float) -> str:
    return f"mobilenet_{'1_0' if alpha == 1 else f'{alpha * 10:.1f}'.replace('.', '_')}_224_tf_no_top.h5"


def _mobilenetv2_file(alpha: float) -> str:
    return f"mobilenet_v2_{f'{alpha:.2f}'.rstrip('0') if alpha % 1 else f'{alpha:.1f}'}_224_no_top.h5"


# The scaling is Keras's own for each network. Some subtract a mean of each colour: on a grey image, whose
# three channels are the same, the mean over the colours comes closest.
BACKBONES = {
    "mobilenetv2": Backbone(partial(_mobilenet, "MobileNetV2"), _mobilenetv2_file, widths=True),
    "mobilenet": Backbone(partial(_mobilenet, "MobileNet"), _mobilenet_file, widths=True),
    "resnet50": Backbone(partial(_application, "ResNet50"), _keras_file("resnet50"), mean=114.8, std=1.0),
    "densenet121": Backbone(partial(_application, "DenseNet121"), _keras_file("densenet121"), mean=114.5, std=57.6),
    "efficientnetb0": Backbone(
        partial(_efficientnet, "EfficientNetB0"), lambda alpha: "efficientnetb0_notop.h5", mean=0.0, std=1.0
    ),
    "efficientnetb1": Backbone(
        partial(_efficientnet, "EfficientNetB1"), lambda alpha: "efficientnetb1_notop.h5", mean=0.0, std=1.0
    ),
    "inceptionv3": Backbone(partial(_application, "InceptionV3"), _keras_file("inception_v3")),
    "squeezenet": Backbone(partial(_own, squeezenet), None),
    "plain_cnn": Backbone(partial(_own, plain_cnn), None),
}


def backbone_of(recipe: Recipe) -> Backbone:
    """The entry that the recipe names.

    Raises:
        UsageError: no such backbone, or a width where the backbone has none.
    """
    name, alpha = recipe.model.backbone, recipe.model.alpha
    if name not in BACKBONES:
        raise UsageError(f"recipe {recipe.name}: no backbone {name!r}; known are {', '.join(BACKBONES)}")
    if alpha != 1 and not BACKBONES[name].widths:
        known = ", ".join(one for one, entry in BACKBONES.items() if entry.widths)
        raise UsageError(
            f"recipe {recipe.name}: alpha is {alpha:g}, but {name} has one width; leave it at 1, or use {known}"
        )
    return BACKBONES[name]


def _published(entry: Backbone, alpha: float, weights: str | None) -> bool:
    """Whether the start is the ImageNet weights, which are of colour images."""
    named = entry.weights_file(alpha) if entry.weights_file else None
    return weights == "imagenet" or (weights is not None and Path(weights).name == named)


def _build_grey(
    build: Callable[[Shape, float, str | None], Any], shape: Shape, alpha: float, weights: str | None
) -> Any:
    """The network of one channel that gives what the one of three gives of a grey image.

    Its first kernel is the sum over the colours: an exact saving, as a radiograph has none.
    """
    colour, grey = build((*shape[:2], 3), alpha, weights), build(shape, alpha, None)
    pairs = zip(colour.get_weights(), grey.get_weights(), strict=True)
    grey.set_weights([c if c.shape == g.shape else c.sum(axis=2, keepdims=True) for c, g in pairs])
    return grey


def _shortened(backbone: Any, last: str) -> Any:
    """The network up to the layer of that name."""
    known = [layer.name for layer in backbone.layers]
    if last not in known:
        raise UsageError(f"{backbone.name} has no layer {last!r} to end at; its last are {', '.join(known[-12:])}")
    return keras.Model(backbone.input, backbone.get_layer(last).output, name=backbone.name)


def build_backbone(recipe: Recipe, weights: str | None) -> Any:
    """The Keras model of the recipe's backbone, with its starting weights.

    Args:
        recipe: names backbone, width and input.
        weights: None for a random start, "imagenet" for Keras to fetch, or the path of an .h5 file.

    Raises:
        UsageError: unknown backbone or last layer, an input it cannot have, weights that do not fit, or a download
            that failed.
    """
    entry, name, spec = backbone_of(recipe), recipe.model.backbone, recipe.preprocessing
    try:
        grey = spec.channels == "grey" and _published(entry, recipe.model.alpha, weights)
        build = partial(_build_grey, entry.build) if grey else entry.build
        backbone = build(spec.shape, recipe.model.alpha, weights)
    except Exception as error:  # Keras raises ValueError, OSError, URLError and bare Exception here
        reason = " ".join(str(error).split())[:200]
        if weights is None:
            size = f"{spec.width} x {spec.height} pixels, {spec.channels}"
            raise UsageError(f"{name} cannot have an input of {size} ({reason}); change the recipe's input") from error
        raise UsageError(
            f"the starting weights {weights} cannot be had or do not fit {name} ({reason}); "
            "give --weights none, or the path of an .h5 file"
        ) from error
    if recipe.model.last_layer:
        backbone = _shortened(backbone, recipe.model.last_layer)
    if weights is None or recipe.training.batch_norm:
        for layer in backbone.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.momentum = _BATCH_NORM_MOMENTUM
    if weights is not None and (spec.mean, spec.std) != (entry.mean, entry.std):
        console.print(
            f"note: the ImageNet weights of {name} expect mean {entry.mean:g} and std {entry.std:g}; "
            f"the recipe's input has {spec.mean:g} and {spec.std:g}"
        )
    return backbone

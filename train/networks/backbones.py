"""Backbones: one entry in `BACKBONES` per network that the head can be put on."""

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

_BATCH_NORM_MOMENTUM = 0.9  # for small data sets; Keras's 0.999 needs thousands of steps to converge
_EFFICIENTNET_STD = np.array([0.229, 0.224, 0.225])  # ImageNet's standard deviation by colour in Keras's EfficientNet

Shape = tuple[int, int, int]  # height, width, channels


@dataclass(frozen=True)
class Backbone:
    """A network without its top, and its published weights."""

    build: Callable[
        [Shape, float, str | None], Any
    ]  # (input shape, width multiplier, weights: None, "imagenet" or a path)
    weights_file: (
        Callable[[float], str] | None
    )  # file name of Keras's ImageNet weights, by width multiplier; None: no such weights
    mean: float = 127.5  # mean that the weights expect to be subtracted from grey levels 0 to 255
    std: float = 127.5  # divisor that the weights expect after the mean, in grey levels
    widths: bool = False  # whether the network has a width multiplier, the recipe's `alpha`


def _application(name: str, shape: Shape, alpha: float, weights: str | None) -> Any:
    return getattr(keras.applications, name)(input_shape=shape, include_top=False, weights=weights)


def _mobilenet(name: str, shape: Shape, alpha: float, weights: str | None) -> Any:
    return getattr(keras.applications, name)(input_shape=shape, alpha=alpha, include_top=False, weights=weights)


def _efficientnet(name: str, shape: Shape, alpha: float, weights: str | None) -> Any:
    """Build Keras's EfficientNet with the same layers for every kind of starting weights.

    For `weights="imagenet"` alone, Keras adds a layer that divides once more by the square root of the colours'
    standard deviation. Here that factor is part of the normalisation layer before it, so that the weights file of a
    run fits the network that loads it.
    """
    network = _application(name, shape, alpha, None)
    if weights is not None:
        network.set_weights(_application(name, shape, alpha, weights).get_weights())
        for layer in network.layers:
            if isinstance(layer, keras.layers.Normalization):
                _finish_normalisation(layer)
    return network


def _finish_normalisation(layer: Any) -> None:
    if np.allclose(layer.adapt_variance, _EFFICIENTNET_STD, rtol=0.01):  # as in Keras's weights files
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


# Each network has the scaling of Keras. Where Keras subtracts one mean per colour, the mean over the colours is the
# closest value for a grey image, whose three channels are equal.
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
    """Return the entry of the recipe's backbone.

    Raises:
        UsageError: the backbone is unknown, or the recipe sets a width multiplier that it does not have.
    """
    name, alpha = recipe.model.backbone, recipe.model.alpha
    if name not in BACKBONES:
        raise UsageError(f"recipe {recipe.name}: unknown backbone {name!r}; choose one of {', '.join(BACKBONES)}")
    if alpha != 1 and not BACKBONES[name].widths:
        known = ", ".join(one for one, entry in BACKBONES.items() if entry.widths)
        raise UsageError(
            f"recipe {recipe.name}: alpha is {alpha:g}, but {name} has a single width; set alpha to 1, or use {known}"
        )
    return BACKBONES[name]


def _uses_imagenet(entry: Backbone, alpha: float, weights: str | None) -> bool:
    """Return whether the starting weights are ImageNet's, which expect colour images."""
    named = entry.weights_file(alpha) if entry.weights_file else None
    return weights == "imagenet" or (weights is not None and Path(weights).name == named)


def _build_grey(
    build: Callable[[Shape, float, str | None], Any], shape: Shape, alpha: float, weights: str | None
) -> Any:
    """Build a one-channel network with the outputs that the three-channel network gives for a grey image.

    Its first kernel is the sum over the colours. This saves arithmetic and is exact, because the channels are equal.
    """
    colour, grey = build((*shape[:2], 3), alpha, weights), build(shape, alpha, None)
    pairs = zip(colour.get_weights(), grey.get_weights(), strict=True)
    grey.set_weights([c if c.shape == g.shape else c.sum(axis=2, keepdims=True) for c, g in pairs])
    return grey


def _shortened(backbone: Any, last: str) -> Any:
    """Cut the network off after the layer `last`."""
    known = [layer.name for layer in backbone.layers]
    if last not in known:
        raise UsageError(
            f"{backbone.name} has no layer {last!r} to end at; its last layers are {', '.join(known[-12:])}"
        )
    return keras.Model(backbone.input, backbone.get_layer(last).output, name=backbone.name)


def build_backbone(recipe: Recipe, weights: str | None) -> Any:
    """Build the Keras model of the recipe's backbone with its starting weights.

    Args:
        recipe: has the backbone, its width multiplier and its input.
        weights: None for random weights, "imagenet" for Keras to download, or the path of an .h5 file.

    Raises:
        UsageError: the backbone or last layer is unknown, the input size is impossible, the weights do not fit, or
            the download failed.
    """
    entry, name, spec = backbone_of(recipe), recipe.model.backbone, recipe.preprocessing
    try:
        grey = spec.channels == "grey" and _uses_imagenet(entry, recipe.model.alpha, weights)
        build = partial(_build_grey, entry.build) if grey else entry.build
        backbone = build(spec.shape, recipe.model.alpha, weights)
    except Exception as error:  # Keras raises ValueError, OSError, URLError and bare Exception here
        reason = " ".join(str(error).split())[:200]
        if weights is None:
            size = f"{spec.width} x {spec.height} pixels, {spec.channels}"
            raise UsageError(
                f"{name} cannot have an input of {size} ({reason}); change the recipe's preprocessing"
            ) from error
        raise UsageError(
            f"the starting weights {weights} cannot be loaded or do not fit {name} ({reason}); "
            "use --weights none, or the path of an .h5 file"
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
            f"the recipe has {spec.mean:g} and {spec.std:g}"
        )
    return backbone

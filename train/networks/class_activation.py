"""Heatmaps of the evidence for a fracture: class activation maps and Grad-CAM."""

from collections.abc import Callable
from typing import Any

import numpy as np

from osteolite.edge.errors import UsageError

from ..keras import keras, tf
from .model import fracture_logits, split_layers

METHODS = {"map": "fracture map", "cam": "class activation map", "gradcam": "Grad-CAM"}

Array = np.ndarray[Any, Any]
Mapper = Callable[[Array], tuple[float, list[Array]]]  # input tensor -> logit, one heatmap per layer


def last_feature_map(model: Any) -> str:
    """Return the name of the layer whose output the head pools."""
    name: str = split_layers(model)[1][0].input.node.layer.name
    return name


def default_layer(model: Any, method: str | None) -> str:
    """Return the layer of the fracture map if the model has one and `method` allows it, else the last feature map."""
    own = fracture_map_of(model) if method in (None, "map") else None
    return own or last_feature_map(model)


def fracture_map_of(model: Any) -> str | None:
    """Return the name of the layer of the fracture map, or None."""
    return str(model.output_names[1]) if len(model.outputs) > 1 else None


def has_linear_head(model: Any) -> bool:
    """Return whether the logit is linear in the averaged features, as a class activation map requires."""
    _, head = split_layers(model)
    layers = [getattr(layer, "layer", layer) for layer in head]  # unwrapped
    kinds = [layer for layer in layers if not isinstance(layer, keras.layers.Dropout)]
    return (
        len(kinds) == 2
        and isinstance(kinds[0], keras.layers.GlobalAveragePooling2D)
        and isinstance(kinds[1], keras.layers.Dense)
    )


def choose_method(model: Any, layers: list[str], method: str | None) -> str:
    """Choose how to compute the heatmap.

    Without `method` this is the fracture map, else the class activation map where it is defined, else Grad-CAM.

    Args:
        model: a model of `build_model`.
        layers: names of the layers to explain.
        method: a key of `METHODS`, or None.

    Raises:
        UsageError: a layer is unknown, or the method is not defined for the layers.
    """
    if layers == [fracture_map_of(model)] and method in (None, "map"):
        return "map"
    if method == "map":
        raise UsageError(f"{model.name} has no fracture map of {', '.join(layers)}; use --method cam or gradcam")
    maps = {layer.name for layer in split_layers(model)[0] if _is_map(layer)}
    if unknown := [name for name in layers if name not in maps]:
        raise UsageError(
            f"{model.name} has no feature map {', '.join(unknown)}; the last feature maps of each size are "
            f"{', '.join(last_of_each_size(model))}"
        )
    last = last_feature_map(model)
    early = [name for name in layers if name != last]
    if method is None:
        return "cam" if has_linear_head(model) and not early else "gradcam"
    if method == "cam" and not has_linear_head(model):
        raise UsageError(
            f"{model.name} has no class activation map, because its head is not a single layer on averaged features; "
            "use --method gradcam"
        )
    if method == "cam" and early:
        raise UsageError(
            f"a class activation map exists only for the last feature map, {last}; "
            f"for {', '.join(early)} use --method gradcam"
        )
    return method


def _is_map(layer: Any) -> bool:
    inner = getattr(layer, "layer", layer)  # unwrapped
    return not isinstance(inner, keras.layers.InputLayer | keras.layers.ZeroPadding2D) and len(layer.output.shape) == 4


def last_of_each_size(model: Any) -> list[str]:
    """Return the names of the last feature map of each size in the backbone."""
    maps = [one for one in split_layers(model)[0] if _is_map(one)]
    sizes = {tuple(layer.output.shape[1:3]): layer.name for layer in maps}
    return [*list(sizes.values())[:-1], last_feature_map(model)]


def activation_mapper(model: Any, layers: list[str], method: str) -> Mapper:
    """Return a function from one input tensor to the logit of `fractured` and a heatmap of each layer.

    "map": the output that the network learnt from boxes (see `fracture_map.fracture_map`).
    "cam" (Zhou et al., "Learning Deep Features for Discriminative Localization", CVPR 2016): the last layer's
    weights applied to the features before averaging. It is signed, and its mean plus the bias is the logit.
    "gradcam" (Selvaraju et al., "Grad-CAM", ICCV 2017): the features weighted by the mean gradient of the logit,
    with negative values set to 0.

    Args:
        model: a model of `build_model`.
        layers: names of feature maps.
        method: a method that `choose_method` allows for them.

    Returns:
        A function that takes float32 (1, height, width, channels) and returns the logit and, for each layer, a
        float32 array (rows, columns) in the layer's resolution.
    """
    network = keras.Model(model.input, [*(model.get_layer(name).output for name in layers), model.outputs[0]])

    @tf.function(input_signature=[tf.TensorSpec((1, *model.input_shape[1:]), tf.float32)])  # type: ignore[untyped-decorator]  # TensorFlow has no types
    def compute(tensor: Any) -> Any:
        if method == "map":
            found, outputs = network(tensor, training=False)
            return fracture_logits(outputs)[0], [found[0, :, :, 0]]
        if method == "cam":
            *features, outputs = network(tensor, training=False)
            weights = fracture_logits(split_layers(model)[1][-1].kernel)
            return fracture_logits(outputs)[0], [tf.tensordot(features[0][0], weights, 1)] * len(layers)
        with tf.GradientTape() as tape:
            tape.watch(tensor)
            *features, outputs = network(tensor, training=False)
            logit = fracture_logits(outputs)[0]
        pairs = zip(features, tape.gradient(logit, features), strict=True)
        return logit, [tf.nn.relu(tf.tensordot(one[0], tf.reduce_mean(slope[0], (0, 1)), 1)) for one, slope in pairs]

    def mapper(tensor: Array) -> tuple[float, list[Array]]:
        logit, maps = compute(tf.constant(tensor))
        return float(logit), [np.asarray(one) for one in maps]

    return mapper

"""Which places of a feature map speak for a fracture: class activation maps and Grad-CAM."""

from collections.abc import Callable
from typing import Any

import numpy as np

from osteolite.edge.errors import UsageError

from ..keras import keras, tf
from .model import fracture_logits, split_layers

METHODS = {"map": "fracture map", "cam": "class activation map", "gradcam": "Grad-CAM"}

Array = np.ndarray[Any, Any]
Mapper = Callable[[Array], tuple[float, list[Array]]]


def last_feature_map(model: Any) -> str:
    """The name of the layer whose output the head pools."""
    name: str = split_layers(model)[1][0].input.node.layer.name
    return name


def default_layer(model: Any, method: str | None) -> str:
    """The fracture map where the model has one and the method does not want another, else the last feature map."""
    own = fracture_map_of(model) if method in (None, "map") else None
    return own or last_feature_map(model)


def fracture_map_of(model: Any) -> str | None:
    """The name of the layer that gives the fracture map, where there is one."""
    return str(model.output_names[1]) if len(model.outputs) > 1 else None


def has_linear_head(model: Any) -> bool:
    """Whether the logit is linear in the averaged features, which a class activation map needs."""
    _, head = split_layers(model)
    layers = [getattr(layer, "layer", layer) for layer in head]  # inside a wrapper, if there is one
    kinds = [layer for layer in layers if not isinstance(layer, keras.layers.Dropout)]
    return (
        len(kinds) == 2
        and isinstance(kinds[0], keras.layers.GlobalAveragePooling2D)
        and isinstance(kinds[1], keras.layers.Dense)
    )


def choose_method(model: Any, layers: list[str], method: str | None) -> str:
    """The method asked for; else the fracture map, the class activation map wherever it is defined, or Grad-CAM.

    Args:
        model: as `build_model` makes it.
        layers: names of the layers to look at.
        method: a key of `METHODS`, or None.

    Raises:
        UsageError: no such layer, or a map of this method where there is none.
    """
    if layers == [fracture_map_of(model)] and method in (None, "map"):
        return "map"
    if method == "map":
        raise UsageError(f"{model.name} gives no fracture map of {', '.join(layers)}; use --method cam or gradcam")
    maps = {layer.name for layer in split_layers(model)[0] if _is_map(layer)}
    if unknown := [name for name in layers if name not in maps]:
        raise UsageError(
            f"no feature map {', '.join(unknown)} in {model.name}; its last ones of each size are "
            f"{', '.join(last_of_each_size(model))}"
        )
    last = last_feature_map(model)
    early = [name for name in layers if name != last]
    if method is None:
        return "cam" if has_linear_head(model) and not early else "gradcam"
    if method == "cam" and not has_linear_head(model):
        raise UsageError(
            f"{model.name} has no class activation map, as its head is not one layer on averaged features; "
            "use --method gradcam"
        )
    if method == "cam" and early:
        raise UsageError(
            f"the class activation map is that of the last feature map, {last}, alone; "
            f"for {', '.join(early)} use --method gradcam"
        )
    return method


def _is_map(layer: Any) -> bool:
    inner = getattr(layer, "layer", layer)  # of a wrapper
    return not isinstance(inner, keras.layers.InputLayer | keras.layers.ZeroPadding2D) and len(layer.output.shape) == 4


def last_of_each_size(model: Any) -> list[str]:
    """Names of the backbone's feature maps before each reduction in size, and of the last one."""
    maps = [one for one in split_layers(model)[0] if _is_map(one)]
    sizes = {tuple(layer.output.shape[1:3]): layer.name for layer in maps}
    return [*list(sizes.values())[:-1], last_feature_map(model)]


def activation_mapper(model: Any, layers: list[str], method: str) -> Mapper:
    """A function from one input tensor to the logit of `fractured` and the map of each layer.

    "map": what the network itself learnt from boxes (see `localisation.fracture_map`).
    "cam" (Zhou et al., "Learning Deep Features for Discriminative Localization", CVPR 2016): the
    last layer's weights on the features before averaging. It is signed, and its mean plus the bias is
    the logit. "gradcam" (Selvaraju et al., "Grad-CAM", ICCV 2017): the features weighted by the mean
    gradient of the logit, what is below 0 set to 0.

    Args:
        model: as `build_model` makes it.
        layers: names of feature maps.
        method: as `choose_method` allows it for them.

    Returns:
        A function that takes float32 (1, height, width, channels) and returns the logit, and for each
        layer a float32 array (rows, columns) of the layer's own resolution.
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

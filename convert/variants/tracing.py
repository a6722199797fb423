"""From a Keras model to one float32 flatbuffer with a fixed batch of 1, from which the other variants are made."""

import tempfile
from typing import Any

from osteolite.edge.silence import quiet_stderr
from osteolite.train.keras import keras, tf
from osteolite.train.networks.class_activation import has_linear_head, last_of_each_size
from osteolite.train.networks.model import split_layers

_MAX_STRIDE = 8  # input pixels per place of the feature map that gives the out-of-distribution features


def traced(model: Any, has_ranges: bool = False) -> bytes:
    """Trace an Osteolite model and convert it to a flatbuffer.

    If the network learnt a fracture map from boxes, the map becomes an output. If not, and the head is
    one linear layer of one output on averaged features, the class activation map (Zhou et al.,
    CVPR 2016) becomes one: the same layer applied to each place of the features, so that the map's mean
    is the logit. A model of one logit also outputs features from the middle of the network, averaged
    over the image: there a photograph still differs from a radiograph, while the last features no
    longer tell the two apart.

    Args:
        model: Keras model from float32 (batch, height, width, channels) to logits (batch, outputs).
        has_ranges: whether the model was trained quantisation-aware and carries int8 ranges; the result
            is then int8.

    Returns:
        A flatbuffer with the output logit (1, outputs) and, where the model has them, activation_map
        (1, rows, columns, 1) and features (1, n).
    """
    pooling, *_, last = split_layers(model)[1]
    maps = model.outputs[1:]
    backbone = keras.Model(model.input, [pooling.input, model.get_layer(_middle(model)).output, *maps])
    head_maps = maps if model.output_names[0] != last.name else []  # maps that the logit depends on
    head = keras.Model([pooling.output, *head_maps], model.outputs[0])
    # By name, because a quantisation wrapper puts its own kernel first.
    weights = {variable.name.split("/")[-1]: variable.numpy() for variable in last.weights}
    kernel, bias = weights["kernel:0"], weights["bias:0"]
    one_logit = kernel.shape[1] == 1
    linear = one_logit and has_linear_head(model)

    def compute(image: Any) -> dict[str, Any]:
        features, middle, *fracture_map = backbone(image, training=False)
        outputs = {"logit": head([_pooled(features, pooling), *fracture_map[: len(head_maps)]], training=False)}
        if fracture_map:
            (outputs["activation_map"],) = fracture_map
        elif linear:
            outputs["activation_map"] = tf.nn.conv2d(features, kernel[None, None], 1, "VALID") + bias
        if one_logit:
            outputs["features"] = tf.reduce_mean(middle, (1, 2))
        return outputs

    return convert_function(compute, model.input_shape[1:], variable_holder(model), has_ranges)


def _pooled(features: Any, pooling: Any) -> Any:
    """Pool by AVERAGE_POOL_2D: its int8 result is the same on every CPU, and that of MEAN is not."""
    if not isinstance(getattr(pooling, "layer", pooling), keras.layers.GlobalAveragePooling2D):
        return pooling(features)
    return tf.reshape(tf.nn.avg_pool2d(features, features.shape[1:3], 1, "VALID"), (1, -1))


def _middle(model: Any) -> str:
    """The name of the last feature map with a stride of at most `_MAX_STRIDE` pixels."""
    maps = last_of_each_size(model)
    fine = [name for name in maps if model.get_layer(name).output.shape[1] * _MAX_STRIDE >= model.input_shape[1]]
    return fine[-1] if fine else maps[0]


def variable_holder(model: Any) -> Any:
    """An object with the model's variables, to save a function of the model with.

    Saving the model itself traces each of its layers again, which took four fifths of a conversion.
    """
    holder = tf.Module()
    holder.variables_held = list(model.variables)
    return holder


def convert_function(compute: Any, shape: tuple[int, ...], resources: Any, has_ranges: bool = False) -> bytes:
    """Convert a TensorFlow function of one image.

    Args:
        compute: function from float32 (1, *shape) to a dictionary of outputs.
        shape: (height, width, channels).
        resources: the object that holds the function's variables.
        has_ranges: whether the function carries int8 ranges; the result is then int8.
    """
    signature = tf.function(compute, input_signature=[tf.TensorSpec((1, *shape), tf.float32, name="image")])
    with tempfile.TemporaryDirectory() as folder, quiet_stderr():
        tf.saved_model.save(resources, folder, signatures=signature)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        if has_ranges:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        flatbuffer: bytes = converter.convert()
    return flatbuffer

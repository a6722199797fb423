"""From a Keras model to one float32 flatbuffer with a fixed batch of 1, from which the other variants are made."""

import tempfile
from typing import Any

from osteolite.edge.silence import quiet_stderr
from osteolite.train.keras import keras, tf
from osteolite.train.networks.class_activation import has_linear_head, last_of_each_size
from osteolite.train.networks.model import split_layers

_STRIDE = 8  # pixels of the input that a place of the features stands for, at most


def traced(model: Any, ranges_inside: bool = False) -> bytes:
    """Trace and convert a model of Osteolite.

    A fracture map that the network learnt from boxes is an output. Without one, where the head is one
    linear layer of one output on averaged features, the class activation map (Zhou et al., CVPR 2016) is:
    the same layer on each place of the features, so that its mean is the logit. Beside one logit stand
    features from the middle of the network, averaged over the image: there a photograph still differs
    from a radiograph, which the last features no longer tell.

    Args:
        model: of Keras, from float32 (batch, height, width, channels) to logits (batch, outputs).
        ranges_inside: whether it was trained with int8's rounding and carries its ranges; it then
            becomes int8.

    Returns:
        A flatbuffer with the outputs logit (1, outputs) and perhaps activation_map (1, rows, columns, 1)
        and features (1, n).
    """
    pooling, *_, last = split_layers(model)[1]
    drawn = model.outputs[1:]
    backbone = keras.Model(model.input, [pooling.input, model.get_layer(_middle(model)).output, *drawn])
    counted = drawn if model.output_names[0] != last.name else []  # whether the map counts in the answer
    head = keras.Model([pooling.output, *counted], model.outputs[0])
    # By name, as a wrapper puts its quantised kernel in the place of the layer's.
    weights = {variable.name.split("/")[-1]: variable.numpy() for variable in last.weights}
    kernel, bias = weights["kernel:0"], weights["bias:0"]
    one_logit = kernel.shape[1] == 1
    linear = one_logit and has_linear_head(model)

    def compute(image: Any) -> dict[str, Any]:
        features, middle, *fracture_map = backbone(image, training=False)
        outputs = {"logit": head([_pooled(features, pooling), *fracture_map[: len(counted)]], training=False)}
        if fracture_map:
            (outputs["activation_map"],) = fracture_map
        elif linear:
            outputs["activation_map"] = tf.nn.conv2d(features, kernel[None, None], 1, "VALID") + bias
        if one_logit:
            outputs["features"] = tf.reduce_mean(middle, (1, 2))
        return outputs

    return converted(compute, model.input_shape[1:], variables_of(model), ranges_inside)


def _pooled(features: Any, pooling: Any) -> Any:
    """The pooling layer's result; of int8, AVERAGE_POOL_2D is the same on every processor, which MEAN is not."""
    if not isinstance(getattr(pooling, "layer", pooling), keras.layers.GlobalAveragePooling2D):
        return pooling(features)
    return tf.reshape(tf.nn.avg_pool2d(features, features.shape[1:3], 1, "VALID"), (1, -1))


def _middle(model: Any) -> str:
    """Name of the last feature map whose places stand for `_STRIDE` pixels or fewer."""
    maps = last_of_each_size(model)
    fine = [name for name in maps if model.get_layer(name).output.shape[1] * _STRIDE >= model.input_shape[1]]
    return fine[-1] if fine else maps[0]


def variables_of(model: Any) -> Any:
    """What a function of a Keras model needs to be saved: to save the model itself traces each of its layers again.

    That took four fifths of a conversion.
    """
    holder = tf.Module()
    holder.variables_held = list(model.variables)
    return holder


def converted(compute: Any, shape: tuple[int, ...], resources: Any, ranges_inside: bool = False) -> bytes:
    """Convert a function of one image.

    Args:
        compute: of TensorFlow, from float32 (1, *shape) to a dictionary of outputs.
        shape: (height, width, channels).
        resources: what holds the variables that it uses.
        ranges_inside: whether its quantised ranges are used, which makes it int8.
    """
    signature = tf.function(compute, input_signature=[tf.TensorSpec((1, *shape), tf.float32, name="image")])
    with tempfile.TemporaryDirectory() as folder, quiet_stderr():
        tf.saved_model.save(resources, folder, signatures=signature)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        if ranges_inside:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        flatbuffer: bytes = converter.convert()
    return flatbuffer

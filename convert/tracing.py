"""From a Keras model to one float32 flatbuffer with a fixed batch of 1, from which the other variants are made."""

import tempfile
from typing import Any

from osteolite.edge.quiet import quiet_stderr
from osteolite.train.cam import has_linear_head
from osteolite.train.keras import keras, tf
from osteolite.train.model import split_layers


def traced(model: Any, ranges_inside: bool = False) -> bytes:
    """Trace and convert a model of Osteolite.

    Where the head is one linear layer of one output on averaged features, the class activation map
    (Zhou et al., CVPR 2016) is a second output: the same layer on each place of the features, so
    that its mean is the logit.

    Args:
        model: of Keras, from float32 (batch, height, width, channels) to logits (batch, outputs).
        ranges_inside: whether it was trained with int8's rounding and carries its ranges; it then
            becomes int8.

    Returns:
        A flatbuffer with the outputs logit (1, outputs) and perhaps activation_map (1, rows, columns, 1).
    """
    pooling = split_layers(model)[1][0]
    network = keras.Model(model.input, [model.output, pooling.input])
    # By name, as a wrapper puts its quantised kernel in the place of the layer's.
    last = {variable.name.split("/")[-1]: variable.numpy() for variable in model.layers[-1].weights}
    kernel, bias = last["kernel:0"], last["bias:0"]
    mapped = has_linear_head(model) and kernel.shape[1] == 1

    def compute(image: Any) -> dict[str, Any]:
        logit, features = network(image, training=False)
        if not mapped:
            return {"logit": logit}
        return {"logit": logit, "activation_map": tf.nn.conv2d(features, kernel[None, None], 1, "VALID") + bias}

    return converted(compute, model.input_shape[1:], network, ranges_inside)


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

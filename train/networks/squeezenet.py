"""SqueezeNet 1.1 without its top; Keras does not provide it."""

from typing import Any

from ..keras import keras

# Squeeze and expand filters of fire modules 2 to 9; None is a pooling layer.
_MODULES = ((16, 64), (16, 64), None, (32, 128), (32, 128), None, (48, 192), (48, 192), (64, 256), (64, 256))


def squeezenet(shape: tuple[int, int, int]) -> Any:
    """Build a Keras model from (batch, height, width, channels) to the features of the last fire module.

    Iandola et al., "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters", 2016, arXiv:1602.07360, in the
    authors' release 1.1, which has the accuracy of 1.0 with less than half of its arithmetic.
    """
    layers = keras.layers
    image = layers.Input(shape)
    x = layers.Conv2D(64, 3, strides=2, activation="relu", kernel_initializer="he_uniform", name="conv1")(image)
    x = layers.MaxPooling2D(3, strides=2, name="pool1")(x)
    number = 2
    for module in _MODULES:
        if module is None:
            x = layers.MaxPooling2D(3, strides=2, name=f"pool{number - 1}")(x)
        else:
            x = _fire(x, f"fire{number}", *module)
            number += 1
    return keras.Model(image, x, name="squeezenet")


def _fire(x: Any, name: str, squeeze: int, expand: int) -> Any:
    """Squeeze with a 1 x 1 convolution, then expand with parallel 1 x 1 and 3 x 3 convolutions."""
    x = _convolution(x, squeeze, 1, f"{name}_squeeze1x1")
    sides = [_convolution(x, expand, size, f"{name}_expand{size}x{size}") for size in (1, 3)]
    return keras.layers.Concatenate(name=f"{name}_concat")(sides)


def _convolution(x: Any, filters: int, size: int, name: str) -> Any:
    return keras.layers.Conv2D(
        filters, size, padding="same", activation="relu", kernel_initializer="he_uniform", name=name
    )(x)

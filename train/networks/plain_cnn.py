"""A plain convolutional network for training on a small data set from random weights."""

from typing import Any

from ..keras import keras

_FILTERS = (32, 64, 128, 128)


def plain_cnn(shape: tuple[int, int, int]) -> Any:
    """Build four blocks of 3 x 3 convolution, ReLU and 2 x 2 max pooling, without a top."""
    image = x = keras.layers.Input(shape)
    for number, filters in enumerate(_FILTERS, start=1):
        x = keras.layers.Conv2D(filters, 3, padding="same", activation="relu", name=f"conv{number}")(x)
        x = keras.layers.MaxPooling2D(2, name=f"pool{number}")(x)
    return keras.Model(image, x, name="plain_cnn")

"""Batch norm of averaged weights: its statistics are of the weights on the way (Izmailov et al., UAI 2018)."""

from itertools import islice
from typing import Any

from ..keras import keras

_BATCHES = 32  # enough for means and variances over all places of a thousand images


def renew_batch_norm(model: Any, batches: Any) -> None:
    """Take the statistics of each batch norm that learns anew, from what the model's weights make of some batches.

    Args:
        model: its layers say which learn; those of batch norm that do not keep their statistics.
        batches: of training, whose first element is the input.
    """
    layers = [one for one in model.layers if isinstance(one, keras.layers.BatchNormalization) and one.trainable]
    momenta = [layer.momentum for layer in layers]
    for number, (tensors, *_) in enumerate(islice(batches, _BATCHES)):
        for layer in layers:
            layer.momentum = number / (number + 1)  # so that all batches count the same
        model(tensors, training=True)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum

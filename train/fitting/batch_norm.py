"""Batch norm statistics for averaged weights (Izmailov et al., UAI 2018).

The statistics gathered in training belong to the weights before averaging, so they are computed again.
"""

from itertools import islice
from typing import Any

from ..keras import keras

_BATCHES = 32  # enough for means and variances over all places of a thousand images


def recompute_batch_norm(model: Any, batches: Any) -> None:
    """Recompute the statistics of the trainable batch norm layers from some batches.

    Args:
        model: frozen batch norm layers keep their statistics.
        batches: training batches; the first element of each is the input.
    """
    layers = [one for one in model.layers if isinstance(one, keras.layers.BatchNormalization) and one.trainable]
    momenta = [layer.momentum for layer in layers]
    for number, (tensors, *_) in enumerate(islice(batches, _BATCHES)):
        for layer in layers:
            layer.momentum = number / (number + 1)  # gives every batch the same weight
        model(tensors, training=True)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum

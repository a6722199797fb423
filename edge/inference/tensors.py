"""Tensors as a model takes and gives them: quantisation, outputs, and the logistic function."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Details = dict[str, Any]  # a tensor's index, shape, dtype and quantization, as the interpreter lists them
Tensor = np.ndarray[Any, np.dtype[np.float32]]


@dataclass(frozen=True)
class Outputs:
    """What one run of a model gives; arrays of its own, which no later run changes."""

    values: Tensor  # of the model's output_shape: the answer, one logit or one for each body part
    activation_map: Tensor | None  # (rows, columns): what at each place speaks for a fracture, above 0
    features: Tensor | None  # (n,): of the last layer, averaged over the image


def quantise(tensor: np.ndarray[Any, np.dtype[np.float32]], details: Details) -> np.ndarray[Any, Any]:
    """Quantise as the interpreter's own QUANTIZE does, ties included.

    It multiplies by the reciprocal of the scale in float32, rounds half to even, and only then adds
    the zero point. At an input scale of 2/255 all grey values lie on ties or next to them: rounding
    half away from zero gets 68 of the 256 wrong by one, rounding after the zero point 128.
    """
    if details["dtype"] == np.float32:
        return tensor
    scale, zero_point = details["quantization"]
    limits = np.iinfo(details["dtype"])
    rounded = np.rint(tensor * (np.float32(1) / np.float32(scale))) + zero_point
    quantised: np.ndarray[Any, Any] = np.clip(rounded, limits.min, limits.max).astype(details["dtype"])
    return quantised


def dequantise(values: np.ndarray[Any, Any], details: Details) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Turn the output back to real numbers; a float output is passed through."""
    if details["dtype"] == np.float32:
        return values
    scale, zero_point = details["quantization"]
    return (values.astype(np.float32) - np.float32(zero_point)) * np.float32(scale)


def sigmoid(value: float) -> float:
    """The logistic function, without overflow at either end.

    >>> sigmoid(0.0), sigmoid(-1000.0), sigmoid(1000.0)
    (0.5, 0.0, 1.0)
    """
    if value >= 0:
        return 1.0 / (1.0 + math.exp(-value))
    return math.exp(value) / (1.0 + math.exp(value))

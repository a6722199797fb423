"""Input and output tensors: quantisation, the outputs of a run, and the logistic function."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Details = dict[str, Any]  # a tensor's index, shape, dtype and quantization, as the interpreter gives them
Tensor = np.ndarray[Any, np.dtype[np.float32]]


@dataclass(frozen=True)
class Outputs:
    """The outputs of one run. The arrays are copies: later runs do not change them."""

    values: Tensor  # of the model's output_shape: one logit, or one per class
    activation_map: Tensor | None  # (rows, columns): evidence for a fracture where above 0
    features: Tensor | None  # (n,): features averaged over the image, for the out-of-distribution score


def quantise(tensor: np.ndarray[Any, np.dtype[np.float32]], details: Details) -> np.ndarray[Any, Any]:
    """Quantise bit for bit as the interpreter's QUANTIZE operator does; a float32 input is returned unchanged.

    QUANTIZE multiplies by the reciprocal of the scale in float32, rounds half to even, and then adds the zero point.
    At an input scale of 2/255 all grey values lie on or next to a tie: rounding half away from zero gets 68 of the 256
    wrong by one, and rounding after adding the zero point gets 128 wrong.
    """
    if details["dtype"] == np.float32:
        return tensor
    scale, zero_point = details["quantization"]
    limits = np.iinfo(details["dtype"])
    rounded = np.rint(tensor * (np.float32(1) / np.float32(scale))) + zero_point
    quantised: np.ndarray[Any, Any] = np.clip(rounded, limits.min, limits.max).astype(details["dtype"])
    return quantised


def dequantise(values: np.ndarray[Any, Any], details: Details) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Turn quantised values into real numbers; float32 values are returned unchanged."""
    if details["dtype"] == np.float32:
        return values
    scale, zero_point = details["quantization"]
    return (values.astype(np.float32) - np.float32(zero_point)) * np.float32(scale)


def sigmoid(value: float) -> float:
    """Compute the logistic function without overflow.

    >>> sigmoid(0.0), sigmoid(-1000.0), sigmoid(1000.0)
    (0.5, 0.0, 1.0)
    """
    if value >= 0:
        return 1.0 / (1.0 + math.exp(-value))
    return math.exp(value) / (1.0 + math.exp(value))

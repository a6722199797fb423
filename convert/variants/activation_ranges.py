"""The value range of each tensor over a set of images, from which static quantisation takes its scales."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from osteolite.edge.inference.tensors import Tensor
from osteolite.edge.silence import quiet_stderr
from osteolite.train.keras import Calibrator, tf

from .flatbuffer import unpack


def with_ranges(flatbuffer: bytes, tensors: list[Tensor]) -> bytes:
    """Store in a float32 graph the smallest and largest value of each of its tensors.

    Args:
        flatbuffer: the float32 file.
        tensors: inputs to run it on, (1, height, width, channels).

    Returns:
        The flatbuffer with the ranges.
    """
    with quiet_stderr():
        ranged: bytes = Calibrator(flatbuffer).calibrate(lambda: _as_inputs(tensors))
    return ranged


def quantise_int16x8(flatbuffer: bytes, tensors: list[Tensor]) -> bytes:
    """Quantise activations to int16 and weights to int8; input and output stay float32.

    Args:
        flatbuffer: the float32 file.
        tensors: calibration data, (1, height, width, channels).
    """
    with quiet_stderr():
        quantised: bytes = Calibrator(flatbuffer).calibrate_and_quantize(
            lambda: _as_inputs(tensors), tf.float32, tf.float32, False, tf.int16, tf.int64
        )
    return quantised


def _as_inputs(tensors: list[Tensor]) -> Iterator[list[Tensor]]:
    for tensor in tensors:
        yield [tensor]


@dataclass(frozen=True)
class RangeExcess:
    """The tensor for which some images exceed the range of the calibration data most."""

    tensor: str  # name of the tensor
    share: float  # how far the values exceed the range, relative to its width


def range_excess(calibration: bytes, other: bytes) -> RangeExcess:
    """Compare the ranges that two sets of images gave.

    Args:
        calibration: the result of `with_ranges` for the calibration data.
        other: the result of `with_ranges` for the images to compare.

    Returns:
        The largest excess of `other` over the ranges of `calibration`.
    """
    allowed, found = _ranges(calibration), _ranges(other)
    shares = {
        name: max(low - found[name][0], found[name][1] - high, 0.0) / max(high - low, 1e-9)
        for name, (low, high) in allowed.items()
        if name in found
    }
    worst = max(shares, key=lambda name: shares[name])
    return RangeExcess(worst, shares[worst])


def _ranges(flatbuffer: bytes) -> dict[str, tuple[float, float]]:
    graph = unpack(flatbuffer).subgraphs[0]
    extra_outputs = set(graph.outputs[1:])  # map and features: the logit does not depend on them
    tensors = [tensor for index, tensor in enumerate(graph.tensors) if index not in extra_outputs]
    measured = [tensor for tensor in tensors if tensor.quantization is not None and _is_single(tensor.quantization.min)]
    return {
        tensor.name.decode(): (float(tensor.quantization.min[0]), float(tensor.quantization.max[0]))
        for tensor in measured
    }


def _is_single(values: Any) -> bool:
    return values is not None and len(values) == 1

"""The range of each tensor over some images: what static quantisation is made from."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from osteolite.edge.inference.tensors import Tensor
from osteolite.edge.silence import quiet_stderr
from osteolite.train.keras import Calibrator, tf

from .flatbuffer import unpacked


def with_ranges(flatbuffer: bytes, tensors: list[Tensor]) -> bytes:
    """The float32 graph with the smallest and largest value that each of its tensors takes.

    Args:
        flatbuffer: of the float32 file.
        tensors: its inputs, (1, height, width, channels).
    """
    with quiet_stderr():
        calibrated: bytes = Calibrator(flatbuffer).calibrate(lambda: _each(tensors))
    return calibrated


def wide_activations(flatbuffer: bytes, tensors: list[Tensor]) -> bytes:
    """The graph with activations in int16, weights in int8 and float32 at both ends."""
    with quiet_stderr():
        quantised: bytes = Calibrator(flatbuffer).calibrate_and_quantize(
            lambda: _each(tensors), tf.float32, tf.float32, False, tf.int16, tf.int64
        )
    return quantised


def _each(tensors: list[Tensor]) -> Iterator[list[Tensor]]:
    for tensor in tensors:
        yield [tensor]


@dataclass(frozen=True)
class Excess:
    """How far some images leave the ranges that others set."""

    tensor: str  # where they do so most
    share: float  # of that tensor's range, that they go beyond it


def excess(calibrated: bytes, other: bytes) -> Excess:
    """Compare two results of `with_ranges`: what `other` takes beyond the ranges of `calibrated`."""
    known, found = _ranges(calibrated), _ranges(other)
    shares = {
        name: max(low - found[name][0], found[name][1] - high, 0.0) / max(high - low, 1e-9)
        for name, (low, high) in known.items()
        if name in found
    }
    worst = max(shares, key=lambda name: shares[name])
    return Excess(worst, shares[worst])


def _ranges(flatbuffer: bytes) -> dict[str, tuple[float, float]]:
    graph = unpacked(flatbuffer).subgraphs[0]
    beside = set(graph.outputs[1:])  # map and features: the answer does not depend on them
    tensors = [tensor for index, tensor in enumerate(graph.tensors) if index not in beside]
    measured = [tensor for tensor in tensors if tensor.quantization is not None and _numbers(tensor.quantization.min)]
    return {
        tensor.name.decode(): (float(tensor.quantization.min[0]), float(tensor.quantization.max[0]))
        for tensor in measured
    }


def _numbers(values: Any) -> bool:
    return values is not None and len(values) == 1

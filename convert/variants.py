"""Variants: one function of `VARIANTS` for each way to write the trained model as a .tflite file."""

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from osteolite.edge.quiet import quiet_stderr
from osteolite.train.keras import mlir_quantize, tf

Tensor = np.ndarray[Any, np.dtype[np.float32]]


@dataclass(frozen=True)
class Source:
    """A trained model, traced once with a fixed batch of 1, and what quantisation may see."""

    saved_model: Path  # folder
    calibration: list[Tensor]  # input tensors (1, height, width, channels) of training images
    float_operators: int  # the first operators of the graph, which int8 leaves in float32

    def converter(self) -> Any:
        return tf.lite.TFLiteConverter.from_saved_model(str(self.saved_model))

    def calibration_samples(self) -> Iterator[list[Tensor]]:
        for tensor in self.calibration:
            yield [tensor]


def trace(
    model: Any, shape: tuple[int, int, int], calibration: list[Tensor], float_operators: int, folder: str | Path
) -> Source:
    """Trace a Keras model with a fixed batch of 1, which browsers and phones need, into `folder`."""

    def logit(image: Any) -> dict[str, Any]:
        return {"logit": model(image, training=False)}

    signature = tf.function(logit, input_signature=[tf.TensorSpec((1, *shape), tf.float32, name="image")])
    target = Path(tempfile.mkdtemp(dir=folder))
    tf.saved_model.save(model, str(target), signatures=signature)
    return Source(target, calibration, float_operators)


def float32(source: Source) -> bytes:
    """Weights and arithmetic as trained."""
    return _convert(source.converter())


def float16(source: Source) -> bytes:
    """Weights in half precision, arithmetic in float32; half the size, made for GPUs."""
    converter = source.converter()
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_types = [tf.float16]
    return _convert(converter)


def dynamic(source: Source) -> bytes:
    """Weights in int8, activations quantised on the fly; needs no calibration data."""
    converter = source.converter()
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    return _convert(converter)


def int8(source: Source) -> bytes:
    """Weights and activations in int8, input and output in float32; ranges from the calibration data.

    In two steps, as the converter does it inside, because only the second can be told which
    operators to leave in float.
    """
    converter = source.converter()
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = source.calibration_samples
    converter._experimental_calibrate_only = True
    calibrated = _convert(converter)
    with quiet_stderr():
        flatbuffer: bytes = mlir_quantize(
            calibrated, denylisted_nodes=_first_operators(calibrated, source.float_operators)
        )
    return flatbuffer


def _first_operators(flatbuffer: bytes, count: int) -> list[str]:
    """Names of the outputs of the first operators, by which the quantiser knows them."""
    graph = schema.ModelT.InitFromPackedBuf(flatbuffer, 0).subgraphs[0]
    return [graph.tensors[operator.outputs[0]].name.decode() for operator in graph.operators[:count]]


def _convert(converter: Any) -> bytes:
    with quiet_stderr():
        flatbuffer: bytes = converter.convert()
    return flatbuffer


VARIANTS: dict[str, Callable[[Source], bytes]] = {
    "float32": float32,
    "float16": float16,
    "dynamic": dynamic,
    "int8": int8,
}

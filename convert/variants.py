"""Variants: one function of `VARIANTS` for each way to write the trained model as a .tflite file."""

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from osteolite.edge.quiet import quiet_stderr
from osteolite.train.keras import tf

Tensor = np.ndarray[Any, np.dtype[np.float32]]


@dataclass(frozen=True)
class Source:
    """A trained model, traced once with a fixed batch of 1, and what quantisation may see."""

    saved_model: Path  # folder
    calibration: list[Tensor]  # input tensors (1, height, width, channels) of training images

    def converter(self) -> Any:
        return tf.lite.TFLiteConverter.from_saved_model(str(self.saved_model))

    def calibration_samples(self) -> Iterator[list[Tensor]]:
        for tensor in self.calibration:
            yield [tensor]


def trace(model: Any, shape: tuple[int, int, int], calibration: list[Tensor], folder: str | Path) -> Source:
    """Trace a Keras model with a fixed batch of 1, which browsers and phones need, into `folder`."""

    def logit(image: Any) -> dict[str, Any]:
        return {"logit": model(image, training=False)}

    signature = tf.function(logit, input_signature=[tf.TensorSpec((1, *shape), tf.float32, name="image")])
    target = Path(tempfile.mkdtemp(dir=folder))
    tf.saved_model.save(model, str(target), signatures=signature)
    return Source(target, calibration)


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
    """Weights and activations in int8, input and output in float32; ranges from the calibration data."""
    converter = source.converter()
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = source.calibration_samples
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    return _convert(converter)


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

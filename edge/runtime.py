"""The interpreter: LiteRT where it is installed, else tflite-runtime."""

import math
import os
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from .errors import MissingExtra, ModelFileError

_PACKAGES = (("ai_edge_litert.interpreter", "ai-edge-litert"), ("tflite_runtime.interpreter", "tflite-runtime"))
_INTEGERS = (np.int8, np.uint8, np.int16)

Tensor = np.ndarray[Any, np.dtype[np.float32]]


def interpreter_class() -> tuple[Any, str]:
    """The interpreter class of the installed runtime, and the runtime's name and version."""
    for module, package in _PACKAGES:
        try:
            loaded = __import__(module, fromlist=["Interpreter"])
        except ImportError:
            continue
        try:
            return loaded.Interpreter, f"{package} {version(package)}"
        except PackageNotFoundError:
            return loaded.Interpreter, package
    raise MissingExtra(
        "no TFLite runtime is installed; pip install ai-edge-litert, "
        "or on 32-bit boards pip install 'osteolite[tflite]'"
    )


def default_threads() -> int:
    """As many threads as this process has cores, at most 4: more do not help models this small."""
    affinity = getattr(os, "sched_getaffinity", None)
    return max(1, min(4, len(affinity(0)) if affinity else os.cpu_count() or 1))


class Runtime:
    """One loaded model with its buffers; `invoke` takes and gives float32 whatever the file's types.

    Its first output is the answer. A second one, if there is one, is the class activation map: what
    each place of the image adds to the answer.

    Args:
        model: a .tflite file, or its content.
        threads: for the interpreter; default, one for each core, at most 4.

    Raises:
        ModelFileError: the interpreter refuses the file.
        MissingExtra: no runtime is installed.
    """

    def __init__(self, model: str | os.PathLike[str] | bytes, threads: int | None = None) -> None:
        interpreter, self.name = interpreter_class()
        self.threads = threads or default_threads()
        path: str | os.PathLike[str] = "the model" if isinstance(model, bytes) else model
        source = {"model_content": model} if isinstance(model, bytes) else {"model_path": os.fspath(model)}
        try:
            self._interpreter = interpreter(**source, num_threads=self.threads)
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split())
            raise ModelFileError(f"{path}: {self.name} refuses the model ({reason})") from error
        inputs, outputs = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        if len(inputs) != 1 or len(outputs) not in (1, 2):
            raise ModelFileError(
                f"{path}: {len(inputs)} inputs and {len(outputs)} outputs; one input is needed, and one output, "
                "beside which a class activation map may stand"
            )
        self._input, self._outputs = inputs[0], outputs
        for end, details in (("input", self._input), *(("output", one) for one in outputs)):
            quantised = details["dtype"] in _INTEGERS and details["quantization"][0] > 0
            if details["dtype"] != np.float32 and not quantised:
                raise ModelFileError(
                    f"{path}: its {end} is {np.dtype(details['dtype'])}; float32, or a quantised int8, uint8 or "
                    "int16 is needed"
                )
        self.input_shape, self.output_shape = _shape(self._input), _shape(outputs[0])
        self.map_shape = _map_shape(outputs[1], path) if len(outputs) == 2 else None  # (rows, columns)

    def invoke(self, tensor: np.ndarray[Any, np.dtype[np.float32]]) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Run the model once: float32 of `input_shape` in, float32 of `output_shape` out."""
        self._interpreter.set_tensor(self._input["index"], quantise(tensor, self._input))
        self._interpreter.invoke()
        return self._value(self._outputs[0])

    def activation_map(self) -> np.ndarray[Any, np.dtype[np.float32]]:
        """The class activation map of the last `invoke`, float32 of `map_shape`, whose mean is that logit.

        Raises:
            ModelFileError: the model gives none.
        """
        if self.map_shape is None:
            raise ModelFileError("the model gives no class activation map; only networks with a linear head do")
        return self._value(self._outputs[1]).reshape(self.map_shape)

    def _value(self, details: dict[str, Any]) -> np.ndarray[Any, np.dtype[np.float32]]:
        return dequantise(self._interpreter.get_tensor(details["index"]), details)


def _shape(details: dict[str, Any]) -> tuple[int, ...]:
    return tuple(int(n) for n in details["shape"])


def _map_shape(details: dict[str, Any], path: str | os.PathLike[str]) -> tuple[int, int]:
    match _shape(details):
        case (1, rows, columns, 1):
            return rows, columns
        case shape:
            raise ModelFileError(
                f"{path}: its second output is {shape}; a class activation map is (1, rows, columns, 1)"
            )


def quantise(tensor: np.ndarray[Any, np.dtype[np.float32]], details: dict[str, Any]) -> np.ndarray[Any, Any]:
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


def dequantise(values: np.ndarray[Any, Any], details: dict[str, Any]) -> np.ndarray[Any, np.dtype[np.float32]]:
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

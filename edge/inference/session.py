"""A session runs one loaded model: pixels or a float32 tensor in, float32 logits, activation map and features out."""

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ..errors import DelegateUnavailable, ModelFileError, UsageError
from .delegation import Delegation
from .engine import Engine, one_line, runtime_name
from .tensors import Array, Details, Outputs, Tensor, dequantise, quantise

_INTEGERS = (np.int8, np.uint8, np.int16)


class InferenceSession:
    """One loaded model. Inputs and outputs are float32 whatever the file's types; threads may share a session.

    Open one with `opening.open_session`.

    The model has one input. Its first output holds the logits. An activation map of shape (1, rows, columns, 1) and
    pooled features of shape (1, n) may follow, in any order. The map is either learnt from bounding boxes, or the
    class activation map, whose mean is the logit.

    Args:
        engine: the open engine.
        delegation: the delegate requested and the delegate applied.
        threads: number of CPU threads of the engine.
        path: path of the model, for error messages.

    Raises:
        ModelFileError: the model's inputs or outputs are others than these.
    """

    def __init__(self, engine: Engine, delegation: Delegation, threads: int, path: str) -> None:
        self.threads, self.delegation = threads, delegation
        if len(engine.inputs) != 1:
            raise ModelFileError(f"{path}: the model has {len(engine.inputs)} inputs; one is allowed")
        for end, details in (("input", engine.inputs[0]), *(("output", one) for one in engine.outputs)):
            _check_type(path, end, details)
        self._input, self._outputs = engine.inputs[0], engine.outputs
        self.input_shape, self.output_shape = _shape(self._input), _shape(self._outputs[0])
        self._map, self._features = _extras(path, self._outputs)
        self.map_shape: tuple[int, int] | None = None  # (rows, columns)
        if self._map:
            _, rows, columns, _ = _shape(self._outputs[self._map])
            self.map_shape = rows, columns
        self.feature_count = _shape(self._outputs[self._features])[1] if self._features else None
        self._engine: Engine | None = engine
        self._lock = threading.Lock()
        self._levels, self._table = np.empty(0, np.float32), np.empty(0)
        self._channel = np.empty(self.input_shape[1:3], self._input["dtype"])  # one channel of the input

    @property
    def name(self) -> str:
        """Package name and version of the runtime."""
        return runtime_name()

    def close(self) -> None:
        """Release the model's memory and its device. The session cannot run afterwards."""
        with self._lock:
            self._engine = None

    def invoke(self, tensor: Tensor) -> Tensor:
        """Run the model once, as `run` does, and return the logits alone, of `output_shape`."""
        return self.run(tensor).values

    def run(self, tensor: Tensor) -> Outputs:
        """Run the model once.

        Args:
            tensor: float32 of `input_shape`.

        Raises:
            UsageError: the tensor has another shape or type, or the session is closed.
            DelegateUnavailable: the delegate fails during the run.
            ModelFileError: the model fails during the run.
        """
        if tensor.shape != self.input_shape or tensor.dtype != np.float32:
            raise UsageError(
                f"the input is {tensor.dtype} of {tensor.shape}; the model takes float32 of {self.input_shape}"
            )
        return self._run(partial(np.copyto, src=quantise(tensor, self._input)))

    def run_pixels(self, pixels: np.ndarray[Any, np.dtype[np.uint8]], levels: Tensor) -> Outputs:
        """Run the model once on grey values, which are looked up directly into its input.

        The outputs are bit for bit those of `run` on the tensor that `preprocess` makes of the pixels.

        Args:
            pixels: uint8 of (height, width), the size of the input.
            levels: float32 of (256,): the tensor value of each grey value (see `grey_levels`). The quantised table is
                cached for as long as the same array is passed, so do not modify the array.

        Raises:
            UsageError: the pixels or levels have another shape or type, or the session is closed.
            DelegateUnavailable: the delegate fails during the run.
            ModelFileError: the model fails during the run.
        """
        if pixels.shape != self.input_shape[1:3] or pixels.dtype != np.uint8:
            raise UsageError(
                f"the pixels are {pixels.dtype} of {pixels.shape}; the model takes uint8 of {self.input_shape[1:3]}"
            )
        if levels.shape != (256,) or levels.dtype != np.float32:
            raise UsageError(f"the levels are {levels.dtype} of {levels.shape}; float32 of (256,) is needed")
        return self._run(partial(self._look_up, pixels, levels))

    def _look_up(self, pixels: Array, levels: Tensor, buffer: Array) -> None:
        if levels is not self._levels:
            self._levels, self._table = levels, quantise(levels, self._input)
        # One lookup copied into each channel takes half the time of looking up whole pixels. "wrap" is the fastest
        # mode of take, and no uint8 is outside a table of 256.
        np.take(self._table, pixels, out=self._channel, mode="wrap")
        for channel in range(self.input_shape[3]):
            buffer[0, :, :, channel] = self._channel

    def _run(self, fill: Callable[[Array], None]) -> Outputs:
        with self._lock:
            if self._engine is None:
                raise UsageError("the model is closed; open it again")
            fill(self._engine.input())
            try:
                results = self._engine.run()
            except RuntimeError as error:
                raise self._failure(error) from error
        found = [dequantise(result, details) for result, details in zip(results, self._outputs, strict=True)]
        return Outputs(
            values=found[0],
            activation_map=found[self._map].reshape(self.map_shape) if self._map else None,
            features=found[self._features].reshape(-1) if self._features else None,
        )

    def _failure(self, error: RuntimeError) -> DelegateUnavailable | ModelFileError:
        if self.delegation.applied in ("none", "xnnpack"):
            return ModelFileError(f"{runtime_name()} fails to run the model ({one_line(error)}); convert it again")
        return DelegateUnavailable(
            f"delegate {self.delegation.applied}: fails during a run ({one_line(error)}); run without this delegate"
        )


def _check_type(path: str, end: str, details: Details) -> None:
    quantised = details["dtype"] in _INTEGERS and details["quantization"][0] > 0
    if details["dtype"] != np.float32 and not quantised:
        raise ModelFileError(
            f"{path}: its {end} is {np.dtype(details['dtype'])}; it must be float32, or quantised int8, uint8 or int16"
        )


def _extras(path: str, outputs: list[Details]) -> tuple[int | None, int | None]:
    """Return the positions of the activation map and of the pooled features among the outputs; None if absent."""
    places: dict[str, int] = {}
    for place, details in enumerate(outputs[1:], 1):
        match _shape(details):
            case (1, _, _, 1) if "map" not in places:
                places["map"] = place
            case (1, _) if "features" not in places:
                places["features"] = place
            case shape:
                raise ModelFileError(
                    f"{path}: its output {place + 1} has shape {shape}; after the logits, one activation map of "
                    "(1, rows, columns, 1) and one feature vector of (1, n) are allowed"
                )
    return places.get("map"), places.get("features")


def _shape(details: Details) -> tuple[int, ...]:
    return tuple(int(n) for n in details["shape"])

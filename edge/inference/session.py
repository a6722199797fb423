"""A loaded model: pixels or a tensor in, the answer with its map and features out."""

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
    """One loaded model; it takes and gives float32 whatever the file's types, and threads may share it.

    Its first output is the answer. After it may come, in any order, an activation map of shape
    (1, rows, columns, 1), and the pooled features of shape (1, n). The map is one that the network
    learnt from boxes, or its class activation map, whose mean is the logit.

    Args:
        engine: the open model.
        delegation: what runs it.
        threads: that the engine was opened with.
        path: of the model, for error messages.

    Raises:
        ModelFileError: the model has other inputs or outputs.
    """

    def __init__(self, engine: Engine, delegation: Delegation, threads: int, path: str) -> None:
        self.threads, self.delegation = threads, delegation
        if len(engine.inputs) != 1:
            raise ModelFileError(f"{path}: {len(engine.inputs)} inputs; one is needed")
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
        self._grey = np.empty(self.input_shape[1:3], self._input["dtype"])  # one channel of the input

    @property
    def name(self) -> str:
        """The package of the runtime and its version."""
        return runtime_name()

    def close(self) -> None:
        """Give back the model's memory and the device that ran it; nothing runs after it."""
        with self._lock:
            self._engine = None

    def invoke(self, tensor: Tensor) -> Tensor:
        """The answer alone, of `output_shape`; otherwise `run`."""
        return self.run(tensor).values

    def run(self, tensor: Tensor) -> Outputs:
        """Run the model once.

        Args:
            tensor: float32 of `input_shape`.

        Raises:
            UsageError: a tensor of another shape or type, or a runtime that was closed.
            DelegateUnavailable: the delegate fails in the run.
            ModelFileError: the model does.
        """
        if tensor.shape != self.input_shape or tensor.dtype != np.float32:
            raise UsageError(
                f"the input is {tensor.dtype} of {tensor.shape}; the model takes float32 of {self.input_shape}"
            )
        return self._run(partial(np.copyto, src=quantise(tensor, self._input)))

    def run_pixels(self, pixels: np.ndarray[Any, np.dtype[np.uint8]], levels: Tensor) -> Outputs:
        """Run the model once on grey values, looked up straight into its input.

        It gives what `run` gives of the tensor that `preprocess` would make of them, to the bit.

        Args:
            pixels: uint8 of (height, width), the size of the input.
            levels: float32 of (256,), what each grey value is in the tensor (see `grey_levels`); kept as
                long as the same array is given, so it must not be changed in between.

        Raises:
            UsageError: an input of another size or type, or a runtime that was closed.
            DelegateUnavailable: the delegate fails in the run.
            ModelFileError: the model does.
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
        # Looking up once and writing the channels beside one another takes half the time of looking up
        # whole pixels; "wrap" is the quickest of take's modes, and no uint8 leaves a table of 256.
        np.take(self._table, pixels, out=self._grey, mode="wrap")
        for channel in range(self.input_shape[3]):
            buffer[0, :, :, channel] = self._grey

    def _run(self, fill: Callable[[Array], None]) -> Outputs:
        with self._lock:
            if self._engine is None:
                raise UsageError("the model was closed; open it again")
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
            return ModelFileError(f"{runtime_name()} fails in a run of the model ({one_line(error)}); convert it again")
        return DelegateUnavailable(
            f"delegate {self.delegation.applied}: it fails in a run ({one_line(error)}); run without this delegate"
        )


def _check_type(path: str, end: str, details: Details) -> None:
    quantised = details["dtype"] in _INTEGERS and details["quantization"][0] > 0
    if details["dtype"] != np.float32 and not quantised:
        raise ModelFileError(
            f"{path}: its {end} is {np.dtype(details['dtype'])}; float32, or a quantised int8, uint8 or int16 is needed"
        )


def _extras(path: str, outputs: list[Details]) -> tuple[int | None, int | None]:
    """Places of the activation map and of the pooled features among the outputs."""
    places: dict[str, int] = {}
    for place, details in enumerate(outputs[1:], 1):
        match _shape(details):
            case (1, _, _, 1) if "map" not in places:
                places["map"] = place
            case (1, _) if "features" not in places:
                places["features"] = place
            case shape:
                raise ModelFileError(
                    f"{path}: its output {place + 1} is {shape}; after the answer an activation map of "
                    "(1, rows, columns, 1) and features of (1, n) may come, one of each"
                )
    return places.get("map"), places.get("features")


def _shape(details: Details) -> tuple[int, ...]:
    return tuple(int(n) for n in details["shape"])

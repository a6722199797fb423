"""The graph of a .tflite file: operators, tensors, parameters, multiply-adds and bytes."""

from collections import Counter
from dataclasses import dataclass
from math import prod
from typing import Any

from ..errors import MissingExtra, ModelFileError

_WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")  # operands: activations, weights, bias


@dataclass(frozen=True)
class TensorFacts:
    """A tensor of the graph."""

    name: str
    shape: tuple[int, ...]
    dtype: str  # FLOAT32, INT8, ...
    scales: tuple[float, ...]  # none, one, or one per channel
    zero_points: tuple[int, ...]
    size: int  # bytes of its constant value; 0 if it is computed

    def to_dict(self) -> dict[str, Any]:
        about: dict[str, Any] = {"name": self.name, "shape": list(self.shape), "type": self.dtype}
        if len(self.scales) == 1:
            return {**about, "scale": self.scales[0], "zero_point": self.zero_points[0]}
        return {**about, "channels_quantised": len(self.scales)} if self.scales else about


@dataclass(frozen=True)
class Operator:
    """An operator with its operands and results."""

    name: str  # CONV_2D, ADD, ...
    inputs: tuple[TensorFacts, ...]
    outputs: tuple[TensorFacts, ...]

    @property
    def multiply_adds(self) -> int:
        """Number of multiply-adds; 0 for operators without weights."""
        if self.name not in _WEIGHTED:
            return 0
        weights, result = self.inputs[1].shape, self.outputs[0].shape
        return prod(result) * prod(weights[1:3] if self.name == "DEPTHWISE_CONV_2D" else weights[1:])


@dataclass(frozen=True)
class ModelGraph:
    """The graph of a .tflite file."""

    operators: tuple[Operator, ...]  # in order of execution
    tensors: tuple[TensorFacts, ...]
    inputs: tuple[TensorFacts, ...]
    outputs: tuple[TensorFacts, ...]
    size: int  # bytes of the flatbuffer
    metadata: tuple[str, ...]  # names of the metadata entries

    @classmethod
    def from_flatbuffer(cls, flatbuffer: bytes) -> "ModelGraph":
        """Read a flatbuffer.

        Raises:
            ModelFileError: it is damaged, or has several subgraphs.
            MissingExtra: ai-edge-litert, whose schema reads the format, is not installed.
        """
        try:
            from ai_edge_litert import schema_py_generated as schema
        except ImportError as error:
            raise MissingExtra("reading a model's graph needs ai-edge-litert; pip install ai-edge-litert") from error
        try:
            model = schema.ModelT.InitFromPackedBuf(flatbuffer, 0)
            (graph,) = model.subgraphs
            return _read(model, graph, _names(schema.TensorType), _names(schema.BuiltinOperator), len(flatbuffer))
        except Exception as error:  # struct, index, Unicode and attribute errors from a damaged file
            raise ModelFileError(f"the model's graph cannot be read ({error}); copy the file again") from error

    @property
    def parameters(self) -> int:
        """Number of learnt parameters: weights and biases."""
        learnt = {tensor.name: tensor for one in self.operators if one.name in _WEIGHTED for tensor in one.inputs[1:3]}
        return sum(prod(tensor.shape) for tensor in learnt.values())

    def to_dict(self) -> dict[str, Any]:
        constants = sum(tensor.size for tensor in self.tensors)
        quantised = [tensor for tensor in self.tensors if tensor.scales]
        return {
            "operators": dict(Counter(operator.name for operator in self.operators).most_common()),
            "parameters": self.parameters,
            "multiply_adds": sum(operator.multiply_adds for operator in self.operators),
            "tensors": {"all": len(self.tensors), "quantised": len(quantised)},
            "inputs": [tensor.to_dict() for tensor in self.inputs],
            "outputs": [tensor.to_dict() for tensor in self.outputs],
            "bytes": {"constants": constants, "graph": self.size - constants},
            "metadata": list(self.metadata),
        }


def _names(enumeration: type) -> dict[int, str]:
    return {code: name for name, code in vars(enumeration).items() if isinstance(code, int)}


def _read(model: Any, graph: Any, types: dict[int, str], operators: dict[int, str], size: int) -> ModelGraph:
    tensors = tuple(_tensor(tensor, model.buffers, types) for tensor in graph.tensors)
    codes = [operators[max(code.builtinCode, code.deprecatedBuiltinCode)] for code in model.operatorCodes]
    return ModelGraph(
        operators=tuple(
            Operator(
                codes[one.opcodeIndex],
                tuple(tensors[i] for i in one.inputs if i >= 0),
                tuple(tensors[i] for i in one.outputs),
            )
            for one in graph.operators
        ),
        tensors=tensors,
        inputs=tuple(tensors[i] for i in graph.inputs),
        outputs=tuple(tensors[i] for i in graph.outputs),
        size=size,
        metadata=tuple(one.name.decode() for one in model.metadata or ()),
    )


def _tensor(tensor: Any, buffers: list[Any], types: dict[int, str]) -> TensorFacts:
    quantisation, buffer = tensor.quantization, buffers[tensor.buffer]
    scales = tuple(float(s) for s in _list(quantisation.scale)) if quantisation else ()
    return TensorFacts(
        name=tensor.name.decode(),
        shape=tuple(int(n) for n in _list(tensor.shape)),
        dtype=types[tensor.type],
        scales=scales,
        zero_points=tuple(int(z) for z in _list(quantisation.zeroPoint)) if scales else (),
        size=buffer.size or len(_list(buffer.data)),  # large models store the content after the tables
    )


def _list(values: Any) -> Any:
    """Return a flatbuffer vector, which is None if empty, as a sequence."""
    return () if values is None else values

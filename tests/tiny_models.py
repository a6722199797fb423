"""Builds TFLite models so small that a test can compute their outputs by hand."""

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from flatbuffers import Builder

TYPES = {
    np.dtype(np.float32): schema.TensorType.FLOAT32,
    np.dtype(np.int32): schema.TensorType.INT32,
    np.dtype(np.int8): schema.TensorType.INT8,
    np.dtype(np.uint8): schema.TensorType.UINT8,
    np.dtype(np.int16): schema.TensorType.INT16,
    np.dtype(np.bool_): schema.TensorType.BOOL,
}
Quantisation = tuple[float, int]  # scale, zero point


class Graph:
    """Builds a TFLite flatbuffer operator by operator, without TensorFlow."""

    def __init__(self) -> None:
        self.model, self.subgraph = schema.ModelT(), schema.SubGraphT()
        self.model.version, self.model.subgraphs, self.model.operatorCodes = 3, [self.subgraph], []
        self.model.buffers = [schema.BufferT()]  # buffer 0 is empty, by convention
        self.subgraph.tensors, self.subgraph.operators = [], []

    def tensor(self, shape: tuple[int, ...], dtype: Any, quantisation: Quantisation | None = None) -> int:
        tensor = schema.TensorT()
        tensor.shape, tensor.type, tensor.buffer = list(shape), TYPES[np.dtype(dtype)], 0
        tensor.name = f"t{len(self.subgraph.tensors)}"
        if quantisation:
            tensor.quantization = schema.QuantizationParametersT()
            tensor.quantization.scale, tensor.quantization.zeroPoint = [quantisation[0]], [quantisation[1]]
        self.subgraph.tensors.append(tensor)
        return len(self.subgraph.tensors) - 1

    def constant(self, values: Any, dtype: Any, quantisation: Quantisation | None = None) -> int:
        array = np.asarray(values, dtype)
        index = self.tensor(array.shape, dtype, quantisation)
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(array.tobytes(), np.uint8)
        self.model.buffers.append(buffer)
        self.subgraph.tensors[index].buffer = len(self.model.buffers) - 1
        return index

    def operator(self, code: int, inputs: list[int], output: int, options: tuple[int, Any] | None = None) -> int:
        operator, known = schema.OperatorT(), schema.OperatorCodeT()
        known.builtinCode = known.deprecatedBuiltinCode = code
        # Versions high enough for int8; RESHAPE has only one.
        known.version = {schema.BuiltinOperator.FULLY_CONNECTED: 4, schema.BuiltinOperator.RESHAPE: 1}.get(code, 2)
        self.model.operatorCodes.append(known)
        operator.opcodeIndex = len(self.model.operatorCodes) - 1
        operator.inputs, operator.outputs = inputs, [output]
        if options:
            operator.builtinOptionsType, operator.builtinOptions = options
        self.subgraph.operators.append(operator)
        return output

    def to_bytes(self, inputs: list[int], outputs: list[int]) -> bytes:
        self.subgraph.inputs, self.subgraph.outputs = inputs, outputs
        builder = Builder(1024)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


def quantize_flatbuffer(dtype: Any, scale: float, zero_point: int, shape: tuple[int, ...]) -> bytes:
    """A model of one operator, QUANTIZE."""
    graph = Graph()
    given = graph.tensor(shape, np.float32)
    taken = graph.tensor(shape, dtype, (scale, zero_point))
    graph.operator(schema.BuiltinOperator.QUANTIZE, [given], taken)
    return graph.to_bytes([given], [taken])


def mean_flatbuffer(
    shape: tuple[int, int, int, int] = (1, 32, 32, 1),
    weight: float = 4.0,
    bias: float = 0.5,
    outputs: int = 1,
    twice: bool = False,
) -> bytes:
    """A float32 model: logit = weight * mean of the input + bias.

    Args:
        outputs: how often the output tensor repeats the logit.
        twice: give the mean as a second output tensor.
    """
    graph = Graph()
    picture = graph.tensor(shape, np.float32)
    mean = _mean(graph, picture, graph.tensor((1, shape[3]), np.float32))
    weights = graph.constant(np.full((outputs, shape[3]), weight / shape[3]), np.float32)
    biases = graph.constant(np.full(outputs, bias), np.float32)
    logit = _dense(graph, [mean, weights, biases], graph.tensor((1, outputs), np.float32))
    return graph.to_bytes([picture], [logit, mean] if twice else [logit])


def mean_int8_flatbuffer(weight: float = 4.0, bias: float = 0.5, float_ends: bool = False) -> bytes:
    """The same in int8. With `float_ends`, input and output are float32 and the file quantises and dequantises."""
    graph, shape = Graph(), (1, 32, 32, 1)
    pixels, unit, logits = (2 / 255, -1), weight / 127, ((weight + bias) / 120, 0)
    quantised = graph.tensor(shape, np.int8, pixels)
    mean = _mean(graph, quantised, graph.tensor((1, 1), np.int8, pixels))
    weights = graph.constant([[127]], np.int8, (unit, 0))
    biases = graph.constant([round(bias / (unit * pixels[0]))], np.int32, (unit * pixels[0], 0))
    logit = _dense(graph, [mean, weights, biases], graph.tensor((1, 1), np.int8, logits))
    if not float_ends:
        return graph.to_bytes([quantised], [logit])
    picture = graph.tensor(shape, np.float32)
    graph.operator(schema.BuiltinOperator.QUANTIZE, [picture], quantised)
    graph.subgraph.operators.insert(0, graph.subgraph.operators.pop())
    answer = graph.operator(schema.BuiltinOperator.DEQUANTIZE, [logit], graph.tensor((1, 1), np.float32))
    return graph.to_bytes([picture], [answer])


def _mean(graph: Graph, picture: int, output: int) -> int:
    options = schema.ReducerOptionsT()
    options.keepDims = False
    axes = graph.constant([1, 2], np.int32)
    return graph.operator(
        schema.BuiltinOperator.MEAN, [picture, axes], output, (schema.BuiltinOptions.ReducerOptions, options)
    )


def _dense(graph: Graph, inputs: list[int], output: int) -> int:
    options = (schema.BuiltinOptions.FullyConnectedOptions, schema.FullyConnectedOptionsT())
    return graph.operator(schema.BuiltinOperator.FULLY_CONNECTED, inputs, output, options)


def tiny_description(**changes: Any) -> dict[str, Any]:
    """The description that `write_model` needs for the tiny models, with `changes`."""
    return {
        "name": "tiny_float32",
        "variant": "float32",
        "preprocessing": {"width": 32, "height": 32, "channels": "grey"},
        "threshold": {"value": 0.4, "chosen": "by hand"},
        "probability_calibration": {"slope": 1.5, "intercept": -0.25},
        **changes,
    }


class TinyModels:
    """Flatbuffers whose logit is 4 * mean of the input + 0.5, and the tools to build unusual ones."""

    graph = Graph
    operators = schema.BuiltinOperator
    mean = staticmethod(mean_flatbuffer)
    mean_int8 = staticmethod(mean_int8_flatbuffer)
    quantize = staticmethod(quantize_flatbuffer)
    description = staticmethod(tiny_description)

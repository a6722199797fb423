"""Rounding a network's kernels so that its layers' results change least, not its weights (GPTQ, Frantar et al., 2023).

A depthwise kernel sees nine inputs that are alike and far from zero: where its weights are rounded one by one,
nine errors add up. Here the error of each weight moves into those of its kernel that are not rounded yet, by how
their inputs go together. What comes out lies on the steps that the quantiser will choose, which therefore keeps it.
"""

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from osteolite.edge.inference.tensors import Tensor
from osteolite.edge.silence import quiet_stderr

from .flatbuffer import code_of, packed, unpacked

_STEPS = 127  # from zero to the largest weight of an output channel
_IMAGES = 32  # at most, on which inputs are looked at
_PLACES = 200  # of each image and layer, at most
_DAMPING = 1e-3  # share of the inputs' mean square that is added to each, so that rare inputs do not rule
_MOST = 1536  # inputs of a kernel; of larger ones, whose errors average out, each weight is rounded alone
_KINDS = (schema.BuiltinOperator.CONV_2D, schema.BuiltinOperator.DEPTHWISE_CONV_2D)

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class _Layer:
    """A convolution: `groups` of kernels that see the same inputs, (groups, kernels, inputs)."""

    kernel: str  # name of the tensor
    source: int  # tensor that it reads
    weights: Array  # float32, as the file has them
    depthwise: bool
    strides: tuple[int, int]
    padded: bool  # with zeros, so that the result has a place for each stride

    @property
    def groups(self) -> Array:
        if self.depthwise:
            return self.weights.reshape(-1, self.weights.shape[-1]).T[:, None].astype(np.float64)
        return self.weights.reshape(1, len(self.weights), -1).astype(np.float64)

    def shaped(self, groups: Array) -> Array:
        """What `groups` gives, in the shape of the weights."""
        rows = groups[:, 0].T if self.depthwise else groups
        return np.asarray(rows.reshape(self.weights.shape), np.float32)

    def inputs(self, read: Array, random: np.random.Generator) -> Array:
        """What the kernels see at some places of one image, (groups, places, inputs)."""
        (height, width), strides = self.weights.shape[1:3], np.array(self.strides)
        sides, window = np.array(read.shape[1:3]), np.array([height, width])
        counts = -(-sides // strides) if self.padded else (sides - window) // strides + 1
        missing = np.maximum((counts - 1) * strides + window - sides, 0)
        bars = [(most // 2, most - most // 2) for most in missing]
        image = np.pad(read[0], (*bars, (0, 0))).astype(np.float64)
        places = int(counts.prod())
        chosen = random.choice(places, min(_PLACES, places), replace=False)
        rows, columns = chosen // counts[1] * strides[0], chosen % counts[1] * strides[1]
        seen = np.stack([image[rows + y, columns + x] for y in range(height) for x in range(width)], axis=1)
        return seen.transpose(2, 0, 1) if self.depthwise else seen.reshape(1, len(seen), -1)


class Rounding:
    """The rounded kernels of a network, worked out once.

    Args:
        flatbuffer: of the float32 file.
        tensors: inputs of it, (1, height, width, channels), like those that it will see.
    """

    def __init__(self, flatbuffer: bytes, tensors: list[Tensor]) -> None:
        self._flatbuffer, self._tensors = flatbuffer, tensors[:: -(-len(tensors) // _IMAGES)]

    @cached_property
    def kernels(self) -> dict[str, Array]:
        """Each rounded kernel by the name of its tensor."""
        layers = _layers(self._flatbuffer)
        squares = _squares(self._flatbuffer, layers, self._tensors)
        return {
            layer.kernel: layer.shaped(spread(layer.groups, seen)) for layer, seen in zip(layers, squares, strict=True)
        }

    def applied(self, flatbuffer: bytes, kept: list[str]) -> bytes:
        """The same network, in whose tensors nothing else may differ, with the rounded kernels.

        Args:
            flatbuffer: a float32 graph.
            kept: the results of operators whose kernels stay as they are, by name.
        """
        model = unpacked(flatbuffer)
        tensors = model.subgraphs[0].tensors
        for operator in model.subgraphs[0].operators:
            if code_of(model, operator) not in _KINDS or tensors[operator.outputs[0]].name.decode() in kept:
                continue
            tensor = tensors[operator.inputs[1]]
            rounded = self.kernels.get(tensor.name.decode())
            if rounded is not None:
                model.buffers[tensor.buffer].data = np.frombuffer(rounded.tobytes(), np.uint8)
        return packed(model)


def spread(groups: Array, squares: Array) -> Array:
    """Round weights one after the other; what each loses moves into those after it.

    Args:
        groups: float64 (groups, kernels, inputs).
        squares: for each group the mean products of its inputs, (groups, inputs, inputs).

    Returns:
        The same shape: multiples of a 127th of each kernel's largest weight, which stays as it is.
    """
    weights, count = groups.copy(), groups.shape[2]
    steps = np.abs(groups).max(axis=2) / _STEPS
    steps[steps == 0] = 1.0
    largest = np.abs(groups).argmax(axis=2)
    mean = np.trace(squares, axis1=1, axis2=2) / count
    damped = squares + (_DAMPING * np.maximum(mean, 1e-12))[:, None, None] * np.eye(count)
    flow = np.linalg.cholesky(np.linalg.inv(damped)).transpose(0, 2, 1)
    for place in range(count):
        levels = np.clip(np.rint(weights[:, :, place] / steps), -_STEPS, _STEPS)
        levels = np.where(largest == place, np.sign(groups[:, :, place]) * _STEPS, levels)
        error = (weights[:, :, place] - levels * steps) / flow[:, None, place, place]
        weights[:, :, place] = levels * steps
        weights[:, :, place + 1 :] -= error[:, :, None] * flow[:, None, place, place + 1 :]
    return weights


def _layers(flatbuffer: bytes) -> list[_Layer]:
    """The convolutions whose kernels can be rounded so."""
    model = unpacked(flatbuffer)
    graph = model.subgraphs[0]
    shared = Counter(tensor.buffer for tensor in graph.tensors)
    read = Counter(int(operator.inputs[1]) for operator in graph.operators if code_of(model, operator) in _KINDS)
    found = []
    for operator in graph.operators:
        if code_of(model, operator) not in _KINDS:
            continue
        tensor, options = graph.tensors[operator.inputs[1]], operator.builtinOptions
        depthwise = code_of(model, operator) == schema.BuiltinOperator.DEPTHWISE_CONV_2D
        channels = graph.tensors[operator.inputs[0]].shape[3]
        plain = options.dilationHFactor == options.dilationWFactor == 1 and tensor.shape[3] == channels
        alone = shared[tensor.buffer] == read[int(operator.inputs[1])] == 1
        content = model.buffers[tensor.buffer].data
        inputs = int(np.prod(tensor.shape[1:3] if depthwise else tensor.shape[1:]))
        if plain and alone and content is not None and inputs <= _MOST:
            weights = np.frombuffer(bytes(content), np.float32).reshape(tensor.shape)
            strides, padded = (options.strideH, options.strideW), options.padding == schema.Padding.SAME
            found.append(_Layer(tensor.name.decode(), int(operator.inputs[0]), weights, depthwise, strides, padded))
    return found


def _squares(flatbuffer: bytes, layers: list[_Layer], tensors: list[Tensor]) -> list[Array]:
    """Of each layer the mean products of its inputs, (groups, inputs, inputs)."""
    with quiet_stderr():
        interpreter = Interpreter(
            model_content=flatbuffer,
            experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
            experimental_preserve_all_tensors=True,
        )
        interpreter.allocate_tensors()
    random, start = np.random.default_rng(0), interpreter.get_input_details()[0]["index"]
    sums: list[Any] = [0.0] * len(layers)
    for tensor in tensors:
        interpreter.set_tensor(start, tensor)
        interpreter.invoke()
        for index, layer in enumerate(layers):
            seen = layer.inputs(interpreter.get_tensor(layer.source), random)
            sums[index] = sums[index] + seen.transpose(0, 2, 1) @ seen / (seen.shape[1] * len(tensors))
    return sums

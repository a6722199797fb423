"""GPTQ for convolutions: round weights so that the layers' outputs change least (Frantar et al., 2023).

The nine inputs of a depthwise kernel are alike and far from zero: if each weight is rounded to the nearest
step, nine errors add up. Here the error of each weight is moved into the weights of its kernel that are not
rounded yet, weighted by the correlation of their inputs. The results lie on the steps that the quantiser
chooses, so the quantiser keeps them.
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

from .flatbuffer import operator_code, pack, unpack

_STEPS = 127  # from zero to the largest weight of an output channel
_MAX_IMAGES = 32  # images that the inputs of the layers are measured on
_MAX_PLACES = 200  # places sampled per image and layer
_DAMPING = 1e-3  # share of the inputs' mean square added to each input's, so that rare inputs do not dominate
_MAX_INPUTS = 1536  # inputs per kernel; errors of larger kernels average out, so their weights are rounded singly
_KINDS = (schema.BuiltinOperator.CONV_2D, schema.BuiltinOperator.DEPTHWISE_CONV_2D)

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class _Layer:
    """A convolution, seen as groups of kernels with the same inputs."""

    kernel: str  # name of the kernel's tensor
    source: int  # index of the input tensor
    weights: Array  # float32, in the file's layout
    depthwise: bool
    strides: tuple[int, int]
    padded: bool  # whether padding is SAME

    @property
    def groups(self) -> Array:
        """The weights as float64 (groups, kernels, inputs)."""
        if self.depthwise:
            return self.weights.reshape(-1, self.weights.shape[-1]).T[:, None].astype(np.float64)
        return self.weights.reshape(1, len(self.weights), -1).astype(np.float64)

    def from_groups(self, groups: Array) -> Array:
        """Undo `groups`: float32 in the shape of the weights."""
        rows = groups[:, 0].T if self.depthwise else groups
        return np.asarray(rows.reshape(self.weights.shape), np.float32)

    def inputs(self, source: Array, random: np.random.Generator) -> Array:
        """Sample the kernels' inputs at some places of one image, (groups, places, inputs)."""
        (height, width), strides = self.weights.shape[1:3], np.array(self.strides)
        sides, window = np.array(source.shape[1:3]), np.array([height, width])
        counts = -(-sides // strides) if self.padded else (sides - window) // strides + 1
        missing = np.maximum((counts - 1) * strides + window - sides, 0)
        padding = [(total // 2, total - total // 2) for total in missing]
        image = np.pad(source[0], (*padding, (0, 0))).astype(np.float64)
        places = int(counts.prod())
        chosen = random.choice(places, min(_MAX_PLACES, places), replace=False)
        rows, columns = chosen // counts[1] * strides[0], chosen % counts[1] * strides[1]
        sampled = np.stack([image[rows + y, columns + x] for y in range(height) for x in range(width)], axis=1)
        return sampled.transpose(2, 0, 1) if self.depthwise else sampled.reshape(1, len(sampled), -1)


class Gptq:
    """The rounded kernels of one network, computed once.

    Args:
        flatbuffer: the float32 file.
        tensors: calibration data, (1, height, width, channels).
    """

    def __init__(self, flatbuffer: bytes, tensors: list[Tensor]) -> None:
        self._flatbuffer, self._tensors = flatbuffer, tensors[:: -(-len(tensors) // _MAX_IMAGES)]

    @cached_property
    def kernels(self) -> dict[str, Array]:
        """The rounded kernels by the names of their tensors."""
        layers = _layers(self._flatbuffer)
        moments = _input_moments(self._flatbuffer, layers, self._tensors)
        return {
            layer.kernel: layer.from_groups(round_kernels(layer.groups, one))
            for layer, one in zip(layers, moments, strict=True)
        }

    def applied(self, flatbuffer: bytes, kept: list[str]) -> bytes:
        """Put the rounded kernels into a float32 graph.

        Args:
            flatbuffer: the network's float32 graph; its tensors may differ in their ranges alone.
            kept: names of the outputs of operators whose kernels stay unchanged.
        """
        model = unpack(flatbuffer)
        tensors = model.subgraphs[0].tensors
        for operator in model.subgraphs[0].operators:
            if operator_code(model, operator) not in _KINDS or tensors[operator.outputs[0]].name.decode() in kept:
                continue
            tensor = tensors[operator.inputs[1]]
            rounded = self.kernels.get(tensor.name.decode())
            if rounded is not None:
                model.buffers[tensor.buffer].data = np.frombuffer(rounded.tobytes(), np.uint8)
        return pack(model)


def round_kernels(groups: Array, moments: Array) -> Array:
    """Round the weights one after the other and move each weight's error into the weights after it.

    Args:
        groups: float64 weights (groups, kernels, inputs).
        moments: the mean products of each group's inputs, (groups, inputs, inputs).

    Returns:
        Weights of the same shape: multiples of 1/127 of each kernel's largest weight, which stays unchanged.
    """
    weights, count = groups.copy(), groups.shape[2]
    steps = np.abs(groups).max(axis=2) / _STEPS
    steps[steps == 0] = 1.0
    largest = np.abs(groups).argmax(axis=2)
    mean = np.trace(moments, axis1=1, axis2=2) / count
    damped = moments + (_DAMPING * np.maximum(mean, 1e-12))[:, None, None] * np.eye(count)
    flow = np.linalg.cholesky(np.linalg.inv(damped)).transpose(0, 2, 1)
    for place in range(count):
        levels = np.clip(np.rint(weights[:, :, place] / steps), -_STEPS, _STEPS)
        levels = np.where(largest == place, np.sign(groups[:, :, place]) * _STEPS, levels)
        error = (weights[:, :, place] - levels * steps) / flow[:, None, place, place]
        weights[:, :, place] = levels * steps
        weights[:, :, place + 1 :] -= error[:, :, None] * flow[:, None, place, place + 1 :]
    return weights


def _layers(flatbuffer: bytes) -> list[_Layer]:
    """The convolutions that GPTQ can round: undilated, ungrouped, with a kernel that nothing else uses."""
    model = unpack(flatbuffer)
    graph = model.subgraphs[0]
    shared = Counter(tensor.buffer for tensor in graph.tensors)
    readers = Counter(
        int(operator.inputs[1]) for operator in graph.operators if operator_code(model, operator) in _KINDS
    )
    found = []
    for operator in graph.operators:
        if operator_code(model, operator) not in _KINDS:
            continue
        tensor, options = graph.tensors[operator.inputs[1]], operator.builtinOptions
        depthwise = operator_code(model, operator) == schema.BuiltinOperator.DEPTHWISE_CONV_2D
        channels = graph.tensors[operator.inputs[0]].shape[3]
        plain = options.dilationHFactor == options.dilationWFactor == 1 and tensor.shape[3] == channels
        alone = shared[tensor.buffer] == readers[int(operator.inputs[1])] == 1
        content = model.buffers[tensor.buffer].data
        inputs = int(np.prod(tensor.shape[1:3] if depthwise else tensor.shape[1:]))
        if plain and alone and content is not None and inputs <= _MAX_INPUTS:
            weights = np.frombuffer(bytes(content), np.float32).reshape(tensor.shape)
            strides, padded = (options.strideH, options.strideW), options.padding == schema.Padding.SAME
            found.append(_Layer(tensor.name.decode(), int(operator.inputs[0]), weights, depthwise, strides, padded))
    return found


def _input_moments(flatbuffer: bytes, layers: list[_Layer], tensors: list[Tensor]) -> list[Array]:
    """The mean products of each layer's inputs, (groups, inputs, inputs)."""
    with quiet_stderr():
        interpreter = Interpreter(
            model_content=flatbuffer,
            experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
            experimental_preserve_all_tensors=True,
        )
        interpreter.allocate_tensors()
    random, input_index = np.random.default_rng(0), interpreter.get_input_details()[0]["index"]
    sums: list[Any] = [0.0] * len(layers)
    for tensor in tensors:
        interpreter.set_tensor(input_index, tensor)
        interpreter.invoke()
        for index, layer in enumerate(layers):
            inputs = layer.inputs(interpreter.get_tensor(layer.source), random)
            sums[index] = sums[index] + inputs.transpose(0, 2, 1) @ inputs / (inputs.shape[1] * len(tensors))
    return sums

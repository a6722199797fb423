"""An int8 network of the operators of MobileNetV2, with random weights and int8 input and output."""

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from ..tiny_models import Graph

SIDE, WIDTH = 96, 24  # pixels of the input, channels of the convolutions

_OPTIONS, _OPERATORS = schema.BuiltinOptions, schema.BuiltinOperator
_SHAPE = (1, SIDE // 2, SIDE // 2, WIDTH)
_HIDDEN = (6 / 255, -128)  # scale and zero point of the activations after RELU6


class RandomNetwork:
    """Builds the network layer by layer.

    It pools with AVERAGE_POOL_2D, because the kernels of MEAN round ties differently on x86 and on ARM.
    """

    def __init__(self) -> None:
        self.graph, self.random = Graph(), np.random.default_rng(2)

    def to_bytes(self) -> bytes:
        picture = self.graph.tensor((1, SIDE, SIDE, 1), np.int8, (2 / 255, -1))
        first = self._convolution(picture)
        second = self._depthwise_convolution(first)
        third = self._projection(second)
        total = self.graph.tensor(_SHAPE, np.int8, (0.06, -7))
        self.graph.operator(_OPERATORS.ADD, [first, third], total, (_OPTIONS.AddOptions, schema.AddOptionsT()))
        return self.graph.to_bytes([picture], [self._logit(self._average(total))])

    def _weights(self, shape: tuple[int, ...], inputs: int, scale: float) -> list[int]:
        """Make random weights and biases whose sums stay within the range of int8."""
        unit = 1 / (127 * inputs**0.5)
        outputs = shape[3] if shape[0] == 1 and len(shape) == 4 else shape[0]
        weights = self.graph.constant(self.random.integers(-127, 128, shape), np.int8, (4 * unit, 0))
        biases = self.graph.constant(self.random.integers(-3000, 9000, outputs), np.int32, (4 * unit * scale, 0))
        return [weights, biases]

    def _operator(self, code: int, inputs: list[int], output: int, kind: int, options: Any) -> int:
        return self.graph.operator(code, inputs, output, (kind, options))

    def _convolution(self, picture: int) -> int:
        options = schema.Conv2DOptionsT()
        options.strideH = options.strideW = 2
        options.fusedActivationFunction = schema.ActivationFunctionType.RELU6
        output = self.graph.tensor(_SHAPE, np.int8, _HIDDEN)
        inputs = [picture, *self._weights((WIDTH, 3, 3, 1), 9, 2 / 255)]
        return self._operator(_OPERATORS.CONV_2D, inputs, output, _OPTIONS.Conv2DOptions, options)

    def _depthwise_convolution(self, first: int) -> int:
        options = schema.DepthwiseConv2DOptionsT()
        options.strideH = options.strideW = options.depthMultiplier = 1
        options.fusedActivationFunction = schema.ActivationFunctionType.RELU6
        output = self.graph.tensor(_SHAPE, np.int8, _HIDDEN)
        inputs = [first, *self._weights((1, 3, 3, WIDTH), 9, _HIDDEN[0])]
        return self._operator(_OPERATORS.DEPTHWISE_CONV_2D, inputs, output, _OPTIONS.DepthwiseConv2DOptions, options)

    def _projection(self, second: int) -> int:
        options = schema.Conv2DOptionsT()
        options.strideH = options.strideW = 1
        output = self.graph.tensor(_SHAPE, np.int8, (0.05, 3))
        inputs = [second, *self._weights((WIDTH, 1, 1, WIDTH), WIDTH, _HIDDEN[0])]
        return self._operator(_OPERATORS.CONV_2D, inputs, output, _OPTIONS.Conv2DOptions, options)

    def _average(self, total: int) -> int:
        options = schema.Pool2DOptionsT()
        options.filterHeight = options.filterWidth = options.strideH = options.strideW = SIDE // 2
        options.padding = schema.Padding.VALID
        output = self.graph.tensor((1, 1, 1, WIDTH), np.int8, (0.06, -7))
        return self._operator(_OPERATORS.AVERAGE_POOL_2D, [total], output, _OPTIONS.Pool2DOptions, options)

    def _logit(self, mean: int) -> int:
        output = self.graph.tensor((1, 1), np.int8, (0.01, 0))
        inputs = [mean, *self._weights((1, WIDTH), WIDTH, 0.06)]
        options = schema.FullyConnectedOptionsT()
        return self._operator(_OPERATORS.FULLY_CONNECTED, inputs, output, _OPTIONS.FullyConnectedOptions, options)

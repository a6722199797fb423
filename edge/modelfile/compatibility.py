"""Which operators of a model the accelerators and the browser support, by the makers' published lists.

Only a device itself shows what it really runs. Sources: for the GPU delegate and XNNPACK, TensorFlow Lite's guides to
the delegates; for NNAPI, Android's operation codes and TensorFlow Lite's mapping; for the Edge TPU, Coral's guide to
compatible models.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .graph import ModelGraph, Operator

_COMMON = (
    "ADD AVERAGE_POOL_2D CONCATENATION CONV_2D DEPTHWISE_CONV_2D FULLY_CONNECTED LOGISTIC MAX_POOL_2D MAXIMUM MEAN "
    "MINIMUM MUL PAD RELU RELU6 RESHAPE RESIZE_BILINEAR SOFTMAX STRIDED_SLICE SUB TRANSPOSE_CONV "
)
_GPU = "DEQUANTIZE EXP HARD_SWISH PRELU QUANTIZE SLICE SPLIT SQUARED_DIFFERENCE TANH"
_NNAPI = "DEQUANTIZE HARD_SWISH PRELU QUANTIZE SLICE SPLIT SQUEEZE TANH TRANSPOSE"
_XNNPACK = "DEQUANTIZE DIV ELU HARD_SWISH LEAKY_RELU PRELU QUANTIZE RSQRT SLICE SPLIT SQUARED_DIFFERENCE TANH TRANSPOSE"
_EDGE_TPU = "QUANTIZE SLICE SPLIT SQUEEZE TANH TRANSPOSE"


@dataclass(frozen=True)
class Target:
    """An accelerator or runtime, and the operators that it supports."""

    title: str
    operators: str  # supported operators beyond `_COMMON`; empty: all operators
    unsupported: Callable[[Operator], str]  # why it does not run an operator of its list; empty: it does


def _types(operator: Operator) -> set[str]:
    return {tensor.dtype for tensor in (*operator.inputs, *operator.outputs)} - {"INT32", "INT64", "BOOL"}


def _none(operator: Operator) -> str:
    return ""


def _narrow(operator: Operator) -> str:
    types = _types(operator)
    if "INT16" in types:
        return "16-bit activations"
    return "4-bit weights" if "INT4" in types else ""


def _hybrid(operator: Operator) -> str:
    """Reject float activations on int8 or int4 weights, and what `_narrow` rejects."""
    weighted = operator.name in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
    hybrid = weighted and operator.inputs[0].dtype == "FLOAT32" and operator.inputs[1].dtype in ("INT8", "INT4")
    return "int8 weights on float activations" if hybrid else _narrow(operator)


def _integers(operator: Operator) -> str:
    floats = _types(operator) & {"FLOAT32", "FLOAT16"}
    return "float arithmetic; only int8 is supported" if floats else _narrow(operator)


TARGETS = {
    "xnnpack": Target("XNNPACK, on CPUs", _XNNPACK, _narrow),
    "gpu": Target("GPU delegate", _GPU, _hybrid),
    "nnapi": Target("NNAPI, Android to 14", _NNAPI, _hybrid),
    "edge_tpu": Target("Edge TPU, by its compiler", _EDGE_TPU, _integers),
    "browser": Target("LiteRT.js, wasm", "", _none),
}


def operator_support(graph: ModelGraph) -> dict[str, dict[str, Any]]:
    """Count the operators that each target supports.

    Returns:
        By target: "target" (title), "taken" and "of" (numbers of operators), and "left": the number of operators left
        to the CPU, by operator and reason.
    """
    return {name: {"target": target.title, **_operator_support(graph, target)} for name, target in TARGETS.items()}


def _operator_support(graph: ModelGraph, target: Target) -> dict[str, Any]:
    left: Counter[str] = Counter()
    for operator in graph.operators:
        listed = not target.operators or operator.name in (_COMMON + target.operators).split()
        if reason := target.unsupported(operator) if listed else "not among its operators":
            left[f"{operator.name}: {reason}"] += 1
    return {"taken": len(graph.operators) - left.total(), "of": len(graph.operators), "left": dict(left)}

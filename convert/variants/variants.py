"""The variants: one entry of `VARIANTS` for each way to write a trained model as a .tflite file."""

from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from functools import cached_property
from io import StringIO
from typing import Any

import numpy as np
from ai_edge_quantizer import qtyping
from ai_edge_quantizer import quantizer as ai_edge
from ai_edge_quantizer import recipe as ai_edge_recipe
from ai_edge_quantizer.recipe_manager import RecipeManager

from osteolite.edge.inference.opening import open_session
from osteolite.edge.inference.tensors import Tensor
from osteolite.edge.silence import quiet_stderr
from osteolite.train.keras import mlir_quantize, tf

from .activation_ranges import quantise_int16x8, with_ranges
from .flatbuffer import operator_outputs
from .gptq import Gptq

_SELECTED_OPERATORS = 6  # that selective_int8 leaves in float32
_SELECTION_IMAGES = 12  # at least, that selective_int8 chooses these operators by


@dataclass(frozen=True)
class Source:
    """A trained network as one float32 flatbuffer, and what its variants are made from."""

    float32: bytes  # flatbuffer
    calibration: list[Tensor]  # calibration data, tensors (1, height, width, channels)
    float_operators: int  # number of operators at the start of the graph that int8 leaves in float32
    finetune: Callable[[str], bytes]  # a name of `finetuning.METHODS` to the flatbuffer of the fine-tuned network
    measure_ranges: Callable[[bytes, list[Tensor]], bytes] = with_ranges

    @cached_property
    def float32_with_ranges(self) -> bytes:
        """The float32 graph with each tensor's range over the calibration data, measured once for all variants."""
        return self.measure_ranges(self.float32, self.calibration)

    @cached_property
    def gptq(self) -> Gptq:
        """The kernels rounded to int8, computed once for all variants."""
        return Gptq(self.float32, self.calibration)


def float32(source: Source) -> bytes:
    """Weights and arithmetic in float32, as trained."""
    return source.float32


def float16(source: Source) -> bytes:
    """Weights in float16, arithmetic in float32: half the size, meant for GPUs."""
    weights = qtyping.TensorQuantizationConfig(16, dtype=qtyping.TensorDataType.FLOAT)
    recipe = RecipeManager()
    recipe.add_quantization_config(
        ".*",
        qtyping.TFLOperationName.ALL_SUPPORTED,
        qtyping.OpQuantizationConfig(None, weights, qtyping.ComputePrecision.FLOAT, explicit_dequantize=True),
        "float_casting",
    )
    return _ai_edge_quantise(source, recipe.get_quantization_recipe())


def dynamic(source: Source) -> bytes:
    """Weights in int8, activations quantised at run time; needs no calibration data."""
    return _ai_edge_quantise(source, ai_edge_recipe.dynamic_legacy_wi8_afp32())


def int8(source: Source) -> bytes:
    """Weights and activations in int8, input and output in float32; needs calibration data."""
    return quantise_int8(source, tf.float32)


def int8_int8(source: Source) -> bytes:
    """int8 with int8 input and output, for integer accelerators."""
    return quantise_int8(source, tf.int8)


def int8_uint8(source: Source) -> bytes:
    """int8 with uint8 input and output, for pixels straight from a camera."""
    return quantise_int8(source, tf.uint8)


def selective_int8(source: Source) -> bytes:
    """int8, with the operators whose quantisation changes the logits most in float32."""
    return quantise_int8(source, tf.float32, _most_sensitive(source))


def _most_sensitive(source: Source) -> list[str]:
    """Quantise each operator alone and compare the logits: so errors of earlier operators are not blamed on it.

    Returns:
        The names of the outputs of the `_SELECTED_OPERATORS` operators that change the logits most.
    """
    inputs = source.calibration[:: max(1, len(source.calibration) // _SELECTION_IMAGES)]
    operators = operator_outputs(source.float32_with_ranges)
    expected = _logits(source.float32, inputs)
    errors = {}
    for name in operators:
        alone = quantise_int8(source, tf.float32, [other for other in operators if other != name])
        errors[name] = float(np.square(_logits(alone, inputs) - expected).mean())
    return sorted(operators, key=lambda name: errors[name], reverse=True)[:_SELECTED_OPERATORS]


def _logits(flatbuffer: bytes, inputs: list[Tensor]) -> Tensor:
    with quiet_stderr():
        session = open_session(flatbuffer)
    return np.concatenate([session.invoke(tensor) for tensor in inputs])


def qat_int8(source: Source) -> bytes:
    """int8 after quantisation-aware training, which also learns the ranges."""
    return source.finetune("quantisation_aware")


def pruned_int8(source: Source) -> bytes:
    """int8 after pruning: a share of the weights is zero, so the file compresses better."""
    return _int8_without_gptq(source, source.finetune("pruned"))


def clustered_int8(source: Source) -> bytes:
    """int8 after clustering: each layer has few different weights, so the file compresses better."""
    return _int8_without_gptq(source, source.finetune("clustered"))


def pqat_int8(source: Source) -> bytes:
    """int8 after pruning and then quantisation-aware training that keeps the zeros."""
    return source.finetune("pruned_quantisation_aware")


def weight_only_int8(source: Source) -> bytes:
    """Weights in int8, dequantised at run time; arithmetic in float32."""
    return _ai_edge_quantise(source, ai_edge_recipe.weight_only_wi8_afp32())


def weight_only_int4(source: Source) -> bytes:
    """Weights in int4, dequantised at run time; arithmetic in float32."""
    return _ai_edge_quantise(source, ai_edge_recipe.weight_only_wi4_afp32())


def int16x8(source: Source) -> bytes:
    """Weights in int8, activations in int16, input and output in float32; slow on most CPUs."""
    return quantise_int16x8(source.gptq.applied(source.float32, []), source.calibration)


def quantise_int8(source: Source, ends: Any, kept: list[str] | None = None) -> bytes:
    """Quantise a network to int8 with GPTQ.

    Args:
        source: the network.
        ends: TensorFlow type of input and output.
        kept: names of the outputs of the operators that stay in float32; None, the first
            `source.float_operators` ones.
    """
    names = _first_operators(source) if kept is None else kept
    return _mlir_quantise(source.gptq.applied(source.float32_with_ranges, names), names, ends)


def _int8_without_gptq(source: Source, float32: bytes) -> bytes:
    """Quantise another network with each weight rounded to the nearest step, so that zeros and equal weights stay."""
    other = replace(source, float32=float32)
    return _mlir_quantise(other.float32_with_ranges, _first_operators(other), tf.float32)


def _first_operators(source: Source) -> list[str]:
    return operator_outputs(source.float32_with_ranges)[: source.float_operators]


def _mlir_quantise(ranged: bytes, kept: list[str], ends: Any) -> bytes:
    """Run the second of the converter's two quantisation steps: only there can operators be kept in float32.

    Args:
        ranged: the result of the first step, the float32 graph with its ranges.
        kept: names of the outputs of the operators to keep.
        ends: TensorFlow type of input and output.
    """
    with quiet_stderr():
        flatbuffer: bytes = mlir_quantize(ranged, denylisted_nodes=kept, input_data_type=ends, output_data_type=ends)
    return flatbuffer


def _ai_edge_quantise(source: Source, recipe: Any) -> bytes:
    with quiet_stderr(), redirect_stdout(StringIO()):  # it prints sizes and times
        quantizer = ai_edge.Quantizer(source.float32)
        quantizer.load_quantization_recipe(recipe)
        return bytes(quantizer.quantize().quantized_model)


@dataclass(frozen=True)
class Variant:
    """A way to write a model."""

    write: Callable[[Source], bytes]
    advice: str  # what to do when the gate refuses the variant
    uses_calibration: bool = False  # whether it needs calibration data
    keeps_first: bool = False  # whether it leaves the recipe's first `float_operators` operators in float32
    changes_features: bool = False  # whether its features differ from float32's: they are int8, or fine-tuned


_FOR_INT8 = "take selective_int8 or qat_int8, or raise conversion.calibration_images in the recipe"
_FOR_INTEGER_ENDS = "take int8, whose output has a finer resolution"
VARIANTS: dict[str, Variant] = {
    "float32": Variant(float32, "even float32 exceeds these limits: widen them"),
    "float16": Variant(float16, "take float32"),
    "dynamic": Variant(dynamic, "take float16"),
    "int8": Variant(int8, _FOR_INT8, uses_calibration=True, keeps_first=True, changes_features=True),
    "int8_int8": Variant(int8_int8, _FOR_INTEGER_ENDS, uses_calibration=True, keeps_first=True, changes_features=True),
    "int8_uint8": Variant(
        int8_uint8, _FOR_INTEGER_ENDS, uses_calibration=True, keeps_first=True, changes_features=True
    ),
    "selective_int8": Variant(selective_int8, "take qat_int8 or float16", uses_calibration=True, changes_features=True),
    "qat_int8": Variant(
        qat_int8, "raise conversion.retraining_epochs or retraining_rate in the recipe", changes_features=True
    ),
    "pruned_int8": Variant(
        pruned_int8,
        "lower conversion.sparsity in the recipe",
        uses_calibration=True,
        keeps_first=True,
        changes_features=True,
    ),
    "clustered_int8": Variant(
        clustered_int8,
        "raise conversion.clusters in the recipe",
        uses_calibration=True,
        keeps_first=True,
        changes_features=True,
    ),
    "pqat_int8": Variant(pqat_int8, "lower conversion.sparsity in the recipe", changes_features=True),
    "weight_only_int8": Variant(weight_only_int8, "take float16"),
    "weight_only_int4": Variant(weight_only_int4, "take weight_only_int8"),
    "int16x8": Variant(
        int16x8, "raise conversion.calibration_images in the recipe, or take float16", uses_calibration=True
    ),
}

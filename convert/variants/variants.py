"""Variants: one function of `VARIANTS` for each way to write the trained model as a .tflite file."""

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

from .activation_ranges import wide_activations, with_ranges
from .flatbuffer import unpacked
from .gptq import Rounding

_SELECTED = 6  # operators that the selective int8 leaves in float32
_LOOKED_AT = 12  # images, at least, that it chooses them by


@dataclass(frozen=True)
class Source:
    """A trained network as one float32 flatbuffer, from which every variant is made, and what they may see."""

    float32: bytes
    calibration: list[Tensor]  # input tensors (1, height, width, channels) that quantisation sees
    float_operators: int  # the first operators of the graph, which int8 leaves in float32
    retrain: Callable[[str], bytes]  # a name of `retraining.KINDS` to the flatbuffer of the network fine-tuned so

    @cached_property
    def calibrated(self) -> bytes:
        """The float32 graph with each tensor's range over the calibration data, measured once for all who ask."""
        return with_ranges(self.float32, self.calibration)

    @cached_property
    def rounding(self) -> Rounding:
        """Its kernels as int8 keeps them."""
        return Rounding(self.float32, self.calibration)


def float32(source: Source) -> bytes:
    """Weights and arithmetic as trained."""
    return source.float32


def float16(source: Source) -> bytes:
    """Weights in half precision, arithmetic in float32; half the size, made for GPUs."""
    weights = qtyping.TensorQuantizationConfig(16, dtype=qtyping.TensorDataType.FLOAT)
    recipe = RecipeManager()
    recipe.add_quantization_config(
        ".*",
        qtyping.TFLOperationName.ALL_SUPPORTED,
        qtyping.OpQuantizationConfig(None, weights, qtyping.ComputePrecision.FLOAT, explicit_dequantize=True),
        "float_casting",
    )
    return _ai_edge(source, recipe.get_quantization_recipe())


def dynamic(source: Source) -> bytes:
    """Weights in int8, activations quantised on the fly; needs no calibration data."""
    return _ai_edge(source, ai_edge_recipe.dynamic_legacy_wi8_afp32())


def int8(source: Source) -> bytes:
    """Weights and activations in int8, input and output in float32; ranges from the calibration data."""
    return _int8(source, tf.float32)


def int8_int8(source: Source) -> bytes:
    """int8 whose input and output are int8 too, as accelerators for integers want them."""
    return _int8(source, tf.int8)


def int8_uint8(source: Source) -> bytes:
    """int8 whose input and output are uint8, as cameras give them."""
    return _int8(source, tf.uint8)


def selective_int8(source: Source) -> bytes:
    """int8 but for those operators that cost the answer most, wherever in the network they are."""
    return _int8(source, tf.float32, _costliest(source))


def _costliest(source: Source) -> list[str]:
    """Each operator is quantised alone, and the answers are compared: what comes in with its inputs is not its fault.

    Returns:
        The names of the results of those `_SELECTED` operators after which the answers differ most.
    """
    inputs = source.calibration[:: max(1, len(source.calibration) // _LOOKED_AT)]
    operators = _results(source.calibrated)
    expected = _answers(source.float32, inputs)
    costs = {}
    for name in operators:
        alone = _int8(source, tf.float32, [other for other in operators if other != name])
        costs[name] = float(np.square(_answers(alone, inputs) - expected).mean())
    return sorted(operators, key=lambda name: costs[name], reverse=True)[:_SELECTED]


def _answers(flatbuffer: bytes, inputs: list[Tensor]) -> Tensor:
    with quiet_stderr():
        session = open_session(flatbuffer)
    return np.concatenate([session.invoke(tensor) for tensor in inputs])


def qat_int8(source: Source) -> bytes:
    """int8 of the network fine-tuned with int8's rounding in its forward pass, which also learns the ranges."""
    return source.retrain("quantisation_aware")


def pruned_int8(source: Source) -> bytes:
    """int8 of the network fine-tuned with a share of its weights at zero, which packs better."""
    return _as_it_is(source, source.retrain("pruned"))


def clustered_int8(source: Source) -> bytes:
    """int8 of the network fine-tuned with few different weights in each layer, which packs better."""
    return _as_it_is(source, source.retrain("clustered"))


def pqat_int8(source: Source) -> bytes:
    """The pruned network, fine-tuned once more with int8's rounding and its zeros kept."""
    return source.retrain("pruned_quantisation_aware")


def weight_only_int8(source: Source) -> bytes:
    """Weights in int8, turned to float32 as they are needed; arithmetic in float32."""
    return _ai_edge(source, ai_edge_recipe.weight_only_wi8_afp32())


def weight_only_int4(source: Source) -> bytes:
    """Weights in 4 bits, turned to float32 as they are needed; arithmetic in float32."""
    return _ai_edge(source, ai_edge_recipe.weight_only_wi4_afp32())


def int16x8(source: Source) -> bytes:
    """Weights in int8, activations in int16, input and output in float32; slow on most processors."""
    return wide_activations(source.rounding.applied(source.float32, []), source.calibration)


def _int8(source: Source, ends: Any, kept: list[str] | None = None) -> bytes:
    """Quantised with the source's rounding; what is kept in float32 is by default what the source says."""
    names = _first(source) if kept is None else kept
    return _quantise(source.rounding.applied(source.calibrated, names), names, ends)


def _as_it_is(source: Source, float32: bytes) -> bytes:
    """int8 of another network of the source's, each weight rounded alone: zeros and equal weights stay so."""
    other = replace(source, float32=float32)
    return _quantise(other.calibrated, _first(other), tf.float32)


def _first(source: Source) -> list[str]:
    return _results(source.calibrated)[: source.float_operators]


def _quantise(calibrated: bytes, kept: list[str], ends: Any) -> bytes:
    """In two steps, as the converter does it inside, because only the second can be told what to keep in float32.

    Args:
        calibrated: the result of the first, the graph with its ranges.
        kept: the results of the operators to keep, by name.
        ends: type of input and output.
    """
    with quiet_stderr():
        flatbuffer: bytes = mlir_quantize(
            calibrated, denylisted_nodes=kept, input_data_type=ends, output_data_type=ends
        )
    return flatbuffer


def _ai_edge(source: Source, recipe: Any) -> bytes:
    with quiet_stderr(), redirect_stdout(StringIO()):  # it prints sizes and times
        quantizer = ai_edge.Quantizer(source.float32)
        quantizer.load_quantization_recipe(recipe)
        return bytes(quantizer.quantize().quantized_model)


def _results(flatbuffer: bytes) -> list[str]:
    """Names of the operators' outputs in order, by which the quantiser knows them."""
    graph = unpacked(flatbuffer).subgraphs[0]
    return [graph.tensors[operator.outputs[0]].name.decode() for operator in graph.operators]


@dataclass(frozen=True)
class Variant:
    """A way to write a model, and what to try where the gate refuses it."""

    write: Callable[[Source], bytes]
    advice: str
    calibrated: bool = False  # whether it sees the calibration data
    mixed: bool = False  # whether it leaves the recipe's first operators in float32
    other_features: bool = False  # whether its features differ from float32's: rounded to 8 bits, or retrained


_LESS = "take selective_int8 or qat_int8, or raise conversion.calibration_images in the recipe"
VARIANTS: dict[str, Variant] = {
    "float32": Variant(float32, "the limits are narrower than float32 itself: widen them"),
    "float16": Variant(float16, "take float32"),
    "dynamic": Variant(dynamic, "take float16"),
    "int8": Variant(int8, _LESS, calibrated=True, mixed=True, other_features=True),
    "int8_int8": Variant(
        int8_int8, "take int8, whose output is finer", calibrated=True, mixed=True, other_features=True
    ),
    "int8_uint8": Variant(
        int8_uint8, "take int8, whose output is finer", calibrated=True, mixed=True, other_features=True
    ),
    "selective_int8": Variant(selective_int8, "take qat_int8 or float16", calibrated=True, other_features=True),
    "qat_int8": Variant(
        qat_int8, "raise conversion.retraining_epochs or retraining_rate in the recipe", other_features=True
    ),
    "pruned_int8": Variant(
        pruned_int8, "lower conversion.sparsity in the recipe", calibrated=True, mixed=True, other_features=True
    ),
    "clustered_int8": Variant(
        clustered_int8, "raise conversion.clusters in the recipe", calibrated=True, mixed=True, other_features=True
    ),
    "pqat_int8": Variant(pqat_int8, "lower conversion.sparsity in the recipe", other_features=True),
    "weight_only_int8": Variant(weight_only_int8, "take float16"),
    "weight_only_int4": Variant(weight_only_int4, "take weight_only_int8"),
    "int16x8": Variant(int16x8, "raise conversion.calibration_images in the recipe, or take float16", calibrated=True),
}

"""The operators at which a variant's error starts: their outputs compared with those of the float32 file."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from osteolite.edge.inference.tensors import Tensor, dequantise, quantise
from osteolite.edge.silence import quiet_stderr

Array = np.ndarray[Any, Any]
_OPERATORS = {code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)}


@dataclass(frozen=True)
class OperatorError:
    """The error of one operator's output against the float32 file."""

    operator: str  # TFLite's name: CONV_2D, ADD, ...
    tensor: str  # name of the output
    error: float  # root mean square of the difference, over the standard deviation of the float32 output
    added: float  # the part of it that the operator's inputs did not bring in

    def __str__(self) -> str:
        layer = self.tensor.split(";")[-1]  # the converter joins the names of the layers that it merged
        return f"{self.operator} {layer} ({self.added:.0%} of its signal)"

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def operator_errors(reference: bytes, variant: bytes, inputs: list[Tensor]) -> list[OperatorError]:
    """Measure the error of each operator that both files have.

    Args:
        reference: the float32 flatbuffer.
        variant: a flatbuffer made from the same trace, so that its tensors have the same names.
        inputs: input tensors; a few are enough.

    Returns:
        The errors in the order of the variant's operators.
    """
    before, after = OperatorOutputs(reference), OperatorOutputs(variant)
    shared = [name for name in after.outputs if after.shape(name) == before.shape(name)]
    # For each output: mean of the squared difference, of the float32 value, and of its square.
    moments = {name: np.zeros(3) for name in shared}
    for tensor in inputs:
        before.run(tensor)
        after.run(tensor)
        for name, sums in moments.items():
            expected, found = before.value(name), after.value(name)
            sums += np.array([np.square(found - expected).mean(), expected.mean(), np.square(expected).mean()])
    result: list[OperatorError] = []
    errors: dict[str, float] = {}
    for number, name in enumerate(after.outputs):
        inherited = max((errors.get(source, 0.0) for source in after.inputs[number]), default=0.0)
        if name not in moments:
            errors[name] = inherited
            continue
        squared, mean, square = moments[name] / len(inputs)
        errors[name] = float(np.sqrt(squared / max(square - mean**2, 1e-12)))
        added = float(np.sqrt(max(errors[name] ** 2 - inherited**2, 0.0)))
        result.append(OperatorError(after.operators[number], name, errors[name], added))
    return result


def largest_errors(errors: list[OperatorError], count: int = 3) -> list[OperatorError]:
    """The operators that add most to the error, in the graph's order."""
    chosen = sorted(errors, key=lambda one: one.added, reverse=True)[:count]
    return [one for one in errors if one in chosen]


class OperatorOutputs:
    """An interpreter in which the output of every operator can be read.

    It runs without delegates, which would not keep the outputs in between.

    Args:
        flatbuffer: the model.
    """

    def __init__(self, flatbuffer: bytes) -> None:
        model = schema.ModelT.InitFromPackedBuf(flatbuffer, 0)
        graph = model.subgraphs[0]
        names = [tensor.name.decode() for tensor in graph.tensors]
        codes = [max(code.builtinCode, code.deprecatedBuiltinCode) for code in model.operatorCodes]
        self.operators = [_OPERATORS[codes[operator.opcodeIndex]] for operator in graph.operators]
        self.outputs = [names[operator.outputs[0]] for operator in graph.operators]
        self.inputs = [[names[i] for i in operator.inputs if i >= 0] for operator in graph.operators]
        with quiet_stderr():
            self.interpreter = Interpreter(
                model_content=flatbuffer,
                experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
                experimental_preserve_all_tensors=True,
            )
            self.interpreter.allocate_tensors()
        self.tensors = {one["name"]: one for one in self.interpreter.get_tensor_details() if one["name"]}

    def shape(self, name: str) -> tuple[int, ...] | None:
        return tuple(self.tensors[name]["shape"]) if name in self.tensors else None

    def run(self, tensor: Tensor) -> None:
        details = self.interpreter.get_input_details()[0]
        self.interpreter.set_tensor(details["index"], quantise(tensor, details))
        self.interpreter.invoke()

    def raw_value(self, name: str) -> Array:
        """The tensor as stored, integers where it is quantised."""
        return np.asarray(self.interpreter.get_tensor(self.tensors[name]["index"]))

    def value(self, name: str) -> Array:
        """The tensor as float64."""
        return dequantise(self.raw_value(name), self.tensors[name]).astype(np.float64)

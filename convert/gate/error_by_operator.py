"""Where a variant's error starts: the result of each operator beside that of the float32 file."""

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
    """How far an operator's result is from the float32 file's."""

    operator: str  # TFLite's name of it: CONV_2D, ADD, ...
    tensor: str  # its result
    error: float  # root mean square of the difference, over the standard deviation of the float32 result
    added: float  # of that, what did not come in with the operator's inputs

    def __str__(self) -> str:
        layer = self.tensor.split(";")[-1]  # the converter joins the names of what it merged
        return f"{self.operator} {layer} ({self.added:.0%} of its signal)"

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def operator_errors(reference: bytes, variant: bytes, inputs: list[Tensor]) -> list[OperatorError]:
    """The error of each operator that both files have, in the variant's order.

    Args:
        reference: the flatbuffer of the float32 file.
        variant: of one made from the same trace, whose tensors keep their names.
        inputs: some input tensors; a few tell enough.
    """
    before, after = _Layers(reference), _Layers(variant)
    shared = [name for name in after.results if after.shape(name) == before.shape(name)]
    # For each result: mean of the squared difference, of the float32 value, and of its square.
    moments = {name: np.zeros(3) for name in shared}
    for tensor in inputs:
        before.run(tensor)
        after.run(tensor)
        for name, sums in moments.items():
            expected, got = before.value(name), after.value(name)
            sums += np.array([np.square(got - expected).mean(), expected.mean(), np.square(expected).mean()])
    found: list[OperatorError] = []
    errors: dict[str, float] = {}
    for number, name in enumerate(after.results):
        brought = max((errors.get(source, 0.0) for source in after.sources[number]), default=0.0)
        if name not in moments:
            errors[name] = brought
            continue
        squared, mean, square = moments[name] / len(inputs)
        errors[name] = float(np.sqrt(squared / max(square - mean**2, 1e-12)))
        added = float(np.sqrt(max(errors[name] ** 2 - brought**2, 0.0)))
        found.append(OperatorError(after.operators[number], name, errors[name], added))
    return found


def worst(errors: list[OperatorError], count: int = 3) -> list[OperatorError]:
    """Those operators that add most, the first of them first."""
    chosen = sorted(errors, key=lambda one: one.added, reverse=True)[:count]
    return [one for one in errors if one in chosen]


class _Layers:
    """A file whose tensors can all be looked at; without delegates, which would keep them to themselves."""

    def __init__(self, flatbuffer: bytes) -> None:
        model = schema.ModelT.InitFromPackedBuf(flatbuffer, 0)
        graph = model.subgraphs[0]
        names = [tensor.name.decode() for tensor in graph.tensors]
        codes = [max(code.builtinCode, code.deprecatedBuiltinCode) for code in model.operatorCodes]
        self.operators = [_OPERATORS[codes[operator.opcodeIndex]] for operator in graph.operators]
        self.results = [names[operator.outputs[0]] for operator in graph.operators]
        self.sources = [[names[i] for i in operator.inputs if i >= 0] for operator in graph.operators]
        with quiet_stderr():
            self._interpreter = Interpreter(
                model_content=flatbuffer,
                experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
                experimental_preserve_all_tensors=True,
            )
            self._interpreter.allocate_tensors()
        self.tensors = {one["name"]: one for one in self._interpreter.get_tensor_details() if one["name"]}

    def shape(self, name: str) -> tuple[int, ...] | None:
        return tuple(self.tensors[name]["shape"]) if name in self.tensors else None

    def run(self, tensor: Tensor) -> None:
        details = self._interpreter.get_input_details()[0]
        self._interpreter.set_tensor(details["index"], quantise(tensor, details))
        self._interpreter.invoke()

    def value(self, name: str) -> Array:
        details = self.tensors[name]
        return dequantise(self._interpreter.get_tensor(details["index"]), details).astype(np.float64)

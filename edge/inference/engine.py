"""The interpreter of the installed runtime: LiteRT where it is installed, else tflite-runtime."""

import os
from collections.abc import Iterator
from types import ModuleType
from typing import Any, NamedTuple, Protocol

from ..errors import MissingExtra, ModelFileError
from .tensors import Array, Details

_PACKAGES = (("ai_edge_litert.interpreter", "ai-edge-litert"), ("tflite_runtime.interpreter", "tflite-runtime"))

Source = str | os.PathLike[str] | bytes


class Engine(Protocol):
    """A loaded network with its buffers, whatever runs it; for one thread at a time."""

    inputs: list[Details]
    outputs: list[Details]

    def input(self) -> Array:
        """The buffer of the first input, to be written in place; no reference to it may outlive the call of `run`."""

    def run(self) -> list[Array]:
        """One run on what the input holds: copies of the outputs, in the order of `outputs`."""


class Node(NamedTuple):
    """An operator, or what stands for all that a delegate took; tensors by their index."""

    name: str  # CONV_2D, ADD, ...
    inputs: frozenset[int]
    outputs: frozenset[int]


def runtime_module() -> tuple[ModuleType, str]:
    """The interpreter's module of the installed runtime, and the package that it is from.

    Raises:
        MissingExtra: no runtime is installed.
    """
    for module, package in _PACKAGES:
        try:
            return __import__(module, fromlist=["Interpreter"]), package
        except ImportError:
            continue
    raise MissingExtra(
        "no TFLite runtime is installed; pip install ai-edge-litert, "
        "or on 32-bit boards pip install 'osteolite[tflite]'"
    )


def runtime_name() -> str:
    """The package of the installed runtime and its version.

    Raises:
        MissingExtra: no runtime is installed.
    """
    from importlib.metadata import PackageNotFoundError, version  # a tenth of the start of a prediction

    _, package = runtime_module()
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return package


def one_line(error: Exception) -> str:
    """What a library says of a failure, in one line."""
    return " ".join(str(error).split())


def parse_model(model: Source, **options: Any) -> Any:
    """An interpreter that has read the model and allocated nothing yet.

    Raises:
        ModelFileError: no model that the runtime reads.
        MissingExtra: no runtime is installed.
    """
    module, _ = runtime_module()
    try:
        return module.Interpreter(**_content(model), **options)
    except (ValueError, RuntimeError) as error:
        raise refusal(model, error) from error


def refusal(model: Source, error: Exception) -> ModelFileError:
    """The error of a model that the runtime does not take."""
    return ModelFileError(f"{name_of_source(model)}: {runtime_name()} refuses the model ({one_line(error)})")


def name_of_source(model: Source) -> str:
    """The model's path as error messages quote it."""
    return "the model" if isinstance(model, bytes) else os.fspath(model)


def nodes(interpreter: Any) -> list[Node]:
    """The operators of the graph, and after them one node for each piece that a delegate took."""
    graph = interpreter._interpreter  # the public class builds a dictionary for every tensor, ten times slower
    return [
        Node(
            graph.NodeName(index),
            frozenset(graph.NodeInputs(index).tolist()),
            frozenset(graph.NodeOutputs(index).tolist()),
        )
        for index in range(graph.NumNodes())
    ]


class InterpreterEngine:
    """The runtime's interpreter, whose own delegate, XNNPACK, takes what an asked-for one left.

    Args:
        model: a .tflite file, or its content.
        threads: for the kernels of the processor.
        delegate: a loaded one, which is offered the operators first.
        kernels_only: keep XNNPACK away.

    Raises:
        ModelFileError: the runtime refuses the model.
        RuntimeError, ValueError: it refuses the model with this delegate.
        MissingExtra: no runtime is installed.
    """

    def __init__(self, model: Source, threads: int, delegate: Any = None, kernels_only: bool = False) -> None:
        module, _ = runtime_module()
        types = module.OpResolverType
        options = {
            "num_threads": threads,
            "experimental_op_resolver_type": types.BUILTIN_WITHOUT_DEFAULT_DELEGATES if kernels_only else types.AUTO,
        }
        self._interpreter = parse_model(model, **options)
        self.operators = nodes(self._interpreter)
        if delegate is None:
            try:
                self._interpreter.allocate_tensors()
            except (ValueError, RuntimeError) as error:
                raise refusal(model, error) from error
            given = nodes(self._interpreter)[len(self.operators) :]
        else:
            self._interpreter = module.Interpreter(**_content(model), **options, experimental_delegates=[delegate])
            given = nodes(self._interpreter)[len(self.operators) :]  # XNNPACK's come when tensors are allocated
            self._interpreter.allocate_tensors()
        self.taken = {index for piece in given for index in _piece(piece, self.operators)}  # indices of operators
        self.inputs, self.outputs = self._interpreter.get_input_details(), self._interpreter.get_output_details()

    def input(self) -> Array:
        buffer: Array = self._interpreter.tensor(self.inputs[0]["index"])()
        return buffer

    def run(self) -> list[Array]:
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(details["index"]) for details in self.outputs]


def _content(model: Source) -> dict[str, Any]:
    return {"model_content": model} if isinstance(model, bytes) else {"model_path": os.fspath(model)}


def _piece(piece: Node, operators: list[Node]) -> Iterator[int]:
    """The operators that a delegate's node stands for: all between its outputs and its inputs."""
    makers = {tensor: index for index, operator in enumerate(operators) for tensor in operator.outputs}
    wanted, seen = set(piece.outputs), set(piece.inputs)
    while wanted:
        tensor = wanted.pop()
        seen.add(tensor)
        if tensor in makers:
            yield makers[tensor]
            wanted |= operators[makers[tensor]].inputs - seen

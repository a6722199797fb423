"""Engines run a loaded network: here the interpreter of LiteRT or, where that is not installed, of tflite-runtime.

An engine is the lowest level of the package: it works on the file's own types and on one thread at a time.
`session.InferenceSession` adds quantisation, checks and locking.
"""

import os
from collections.abc import Iterator
from types import ModuleType
from typing import Any, NamedTuple, Protocol

from ..errors import MissingExtra, ModelFileError
from .tensors import Array, Details

_PACKAGES = (("ai_edge_litert.interpreter", "ai-edge-litert"), ("tflite_runtime.interpreter", "tflite-runtime"))

Source = str | os.PathLike[str] | bytes


class Engine(Protocol):
    """A loaded network with its buffers. Only one thread may use it at a time."""

    inputs: list[Details]  # in the order of the graph
    outputs: list[Details]  # in the order of the graph

    def input(self) -> Array:
        """Return the buffer of the first input, to write into. Drop all references to it before calling `run`."""

    def run(self) -> list[Array]:
        """Run once on the content of the input buffer; return copies of the outputs, in the order of `outputs`."""


class Node(NamedTuple):
    """An operator, or a node that replaces the operators a delegate took."""

    name: str  # CONV_2D, ADD, ...
    inputs: frozenset[int]  # indices of tensors
    outputs: frozenset[int]  # indices of tensors


def runtime_module() -> tuple[ModuleType, str]:
    """Return the interpreter module of the installed runtime, and the name of its package.

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
    """Return the package name and version of the installed runtime.

    Raises:
        MissingExtra: no runtime is installed.
    """
    from importlib.metadata import PackageNotFoundError, version  # slow: a tenth of the start-up time of a prediction

    _, package = runtime_module()
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return package


def one_line(error: Exception) -> str:
    """Return the message of an exception as one line."""
    return " ".join(str(error).split())


def parse_model(model: Source, **options: Any) -> Any:
    """Load a model into an interpreter without allocating its tensors.

    Raises:
        ModelFileError: the runtime cannot read the model.
        MissingExtra: no runtime is installed.
    """
    module, _ = runtime_module()
    try:
        return module.Interpreter(**_content(model), **options)
    except (ValueError, RuntimeError) as error:
        raise load_error(model, error) from error


def load_error(model: Source, error: Exception) -> ModelFileError:
    """Build the error for a model that the runtime refuses."""
    return ModelFileError(f"{name_of_source(model)}: {runtime_name()} refuses the model ({one_line(error)})")


def name_of_source(model: Source) -> str:
    """Return the model's path, or "the model" for content, for error messages."""
    return "the model" if isinstance(model, bytes) else os.fspath(model)


def nodes(interpreter: Any) -> list[Node]:
    """List the operators of the graph, followed by one node per group of operators that a delegate took."""
    graph = interpreter._interpreter  # the public class builds a dictionary per tensor and is ten times slower
    return [
        Node(
            graph.NodeName(index),
            frozenset(graph.NodeInputs(index).tolist()),
            frozenset(graph.NodeOutputs(index).tolist()),
        )
        for index in range(graph.NumNodes())
    ]


class InterpreterEngine:
    """The runtime's interpreter. Its own delegate, XNNPACK, takes operators that `delegate` leaves.

    Args:
        model: a .tflite file, or its content.
        threads: number of CPU threads.
        delegate: a loaded delegate, which is offered the operators first.
        kernels_only: do not use XNNPACK.

    Raises:
        ModelFileError: the runtime refuses the model.
        RuntimeError, ValueError: the runtime refuses the model with this delegate.
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
                raise load_error(model, error) from error
            delegated = nodes(self._interpreter)[len(self.operators) :]
        else:
            self._interpreter = module.Interpreter(**_content(model), **options, experimental_delegates=[delegate])
            delegated = nodes(self._interpreter)[
                len(self.operators) :
            ]  # before XNNPACK adds its nodes, which it does on allocation
            self._interpreter.allocate_tensors()
        # indices of the operators that run on a delegate
        self.taken = {index for node in delegated for index in _replaced(node, self.operators)}
        self.inputs, self.outputs = self._interpreter.get_input_details(), self._interpreter.get_output_details()

    def input(self) -> Array:
        buffer: Array = self._interpreter.tensor(self.inputs[0]["index"])()
        return buffer

    def run(self) -> list[Array]:
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(details["index"]) for details in self.outputs]


def _content(model: Source) -> dict[str, Any]:
    return {"model_content": model} if isinstance(model, bytes) else {"model_path": os.fspath(model)}


def _replaced(node: Node, operators: list[Node]) -> Iterator[int]:
    """Yield the operators that a delegate's node replaces: all between its outputs and its inputs."""
    makers = {tensor: index for index, operator in enumerate(operators) for tensor in operator.outputs}
    wanted, seen = set(node.outputs), set(node.inputs)
    while wanted:
        tensor = wanted.pop()
        seen.add(tensor)
        if tensor in makers:
            yield makers[tensor]
            wanted |= operators[makers[tensor]].inputs - seen

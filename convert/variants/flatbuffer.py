"""A flatbuffer's graph: taken apart, changed, and put together again."""

from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from osteolite.edge.errors import ModelFileError

_MODEL = b"TFL3"  # file identifier
_ACTIVATIONS = {schema.BuiltinOperator.LOGISTIC: "LOGISTIC", schema.BuiltinOperator.SOFTMAX: "SOFTMAX"}


def unpacked(flatbuffer: bytes) -> Any:
    """The model as the schema's objects.

    Raises:
        ModelFileError: it is damaged.
    """
    try:
        model = schema.ModelT.InitFromPackedBuf(flatbuffer, 0)
        for buffer in model.buffers:
            if buffer.offset > 1:  # its content stands behind the tables, as large models need it
                buffer.data = np.frombuffer(flatbuffer, np.uint8, buffer.size, buffer.offset)
                buffer.offset = buffer.size = 0
        return model
    except Exception as error:  # struct, index, unicode and attribute errors of a damaged file
        raise ModelFileError(f"the model's graph cannot be read ({error}); copy the file again") from error


def packed(model: Any) -> bytes:
    """The flatbuffer of such objects, with every buffer at a multiple of 16 bytes."""
    builder = _Aligned(65536)
    builder.Finish(model.Pack(builder), _MODEL)
    return bytes(builder.Output())


class _Aligned(flatbuffers.Builder):  # type: ignore[misc]  # flatbuffers has no types
    """Keeps the schema's promise that buffers start at multiples of 16, which the generated classes forget."""

    def StartVector(self, elemSize: int, numElems: int, alignment: int) -> Any:
        return super().StartVector(elemSize, numElems, 16 if elemSize == 1 else alignment)


def with_fixed_batch(model: Any) -> None:
    """Let no size be open any more: it is 1, as the graph already says where it says nothing else."""
    for tensor in model.subgraphs[0].tensors:
        tensor.shapeSignature = None


def cut_activation(model: Any) -> str:
    """Take away a last LOGISTIC or SOFTMAX, whose saturated ends leave quantisation few steps.

    Returns:
        The name of what was cut; empty where the graph ends in something else.
    """
    graph = model.subgraphs[0]
    last = graph.operators[-1]
    name = _ACTIVATIONS.get(code_of(model, last), "")
    if name and list(last.outputs) == list(graph.outputs):
        graph.operators.pop()
        _replace_output(model, int(last.inputs[0]))
        _drop_unused_codes(model)
        return name
    return ""


def join_outputs(model: Any, positive: int) -> bool:
    """Make one logit of two outputs: their difference, which decides between them.

    Args:
        model: one that ends in a layer of two outputs.
        positive: the index of the output that speaks for a fracture.

    Returns:
        Whether it does end so; if not, it is as it was.
    """
    graph = model.subgraphs[0]
    last = graph.operators[-1]
    if code_of(model, last) != schema.BuiltinOperator.FULLY_CONNECTED or list(last.outputs) != list(graph.outputs):
        return False
    for index in (int(i) for i in last.inputs[1:] if i >= 0):  # weights (2, features) and bias (2,)
        tensor = graph.tensors[index]
        values = np.frombuffer(bytes(model.buffers[tensor.buffer].data), np.float32).reshape(2, -1)
        buffer = schema.BufferT()
        buffer.data = np.frombuffer((values[positive] - values[1 - positive]).tobytes(), np.uint8)
        model.buffers.append(buffer)  # another tensor may share the old one
        tensor.shape, tensor.buffer = [1, *list(tensor.shape)[1:]], len(model.buffers) - 1
    graph.tensors[int(last.outputs[0])].shape = [1, 1]
    return True


def code_of(model: Any, operator: Any) -> int:
    """The kind of an operator, one of `schema.BuiltinOperator`."""
    code = model.operatorCodes[operator.opcodeIndex]
    return int(max(code.builtinCode, code.deprecatedBuiltinCode))


def _drop_unused_codes(model: Any) -> None:
    """An interpreter that knows just what a graph needs refuses kinds of operators that no operator is of."""
    used = sorted({operator.opcodeIndex for operator in model.subgraphs[0].operators})
    model.operatorCodes = [model.operatorCodes[index] for index in used]
    for operator in model.subgraphs[0].operators:
        operator.opcodeIndex = used.index(operator.opcodeIndex)


def _replace_output(model: Any, index: int) -> None:
    model.subgraphs[0].outputs = [index]
    for signature in model.signatureDefs or ():
        for output in signature.outputs:
            output.tensorIndex = index

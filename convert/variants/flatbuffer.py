"""Reading, changing and writing the graph of a TFLite flatbuffer."""

from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from osteolite.edge.errors import ModelFileError

_FILE_IDENTIFIER = b"TFL3"
_ACTIVATIONS = {schema.BuiltinOperator.LOGISTIC: "LOGISTIC", schema.BuiltinOperator.SOFTMAX: "SOFTMAX"}


def unpack(flatbuffer: bytes) -> Any:
    """Read a flatbuffer into the schema's objects.

    Raises:
        ModelFileError: the flatbuffer is damaged.
    """
    try:
        model = schema.ModelT.InitFromPackedBuf(flatbuffer, 0)
        for buffer in model.buffers:
            if buffer.offset > 1:  # large models keep the content of buffers behind the tables
                buffer.data = np.frombuffer(flatbuffer, np.uint8, buffer.size, buffer.offset)
                buffer.offset = buffer.size = 0
        return model
    except Exception as error:  # struct, index, unicode and attribute errors of a damaged file
        raise ModelFileError(f"the model's graph cannot be read ({error}); copy the file again") from error


def pack(model: Any) -> bytes:
    """Write the schema's objects as a flatbuffer, with every buffer aligned to 16 bytes."""
    builder = _AlignedBuilder(65536)
    builder.Finish(model.Pack(builder), _FILE_IDENTIFIER)
    return bytes(builder.Output())


class _AlignedBuilder(flatbuffers.Builder):  # type: ignore[misc]  # flatbuffers has no types
    """A builder that aligns buffers to 16 bytes: the schema demands it, and the generated classes do not do it."""

    def StartVector(self, elemSize: int, numElems: int, alignment: int) -> Any:
        return super().StartVector(elemSize, numElems, 16 if elemSize == 1 else alignment)


def operator_code(model: Any, operator: Any) -> int:
    """The kind of an operator, one of `schema.BuiltinOperator`."""
    code = model.operatorCodes[operator.opcodeIndex]
    return int(max(code.builtinCode, code.deprecatedBuiltinCode))


def operator_outputs(flatbuffer: bytes) -> list[str]:
    """The name of each operator's first output, in the graph's order."""
    graph = unpack(flatbuffer).subgraphs[0]
    return [graph.tensors[operator.outputs[0]].name.decode() for operator in graph.operators]


def fix_batch(model: Any) -> None:
    """Fix the open dimensions of all tensors to 1, the size that their shapes already state."""
    for tensor in model.subgraphs[0].tensors:
        tensor.shapeSignature = None


def remove_last_activation(model: Any) -> str:
    """Remove a LOGISTIC or SOFTMAX at the end: its saturated ends leave quantisation few steps.

    Returns:
        The name of the removed operator; empty if the graph ends in another one.
    """
    graph = model.subgraphs[0]
    last = graph.operators[-1]
    name = _ACTIVATIONS.get(operator_code(model, last), "")
    if name and list(last.outputs) == list(graph.outputs):
        graph.operators.pop()
        _replace_output(model, int(last.inputs[0]))
        _drop_unused_codes(model)
        return name
    return ""


def merge_two_outputs(model: Any, positive: int) -> bool:
    """Replace two outputs by one logit, their difference.

    Args:
        model: a model that ends in a dense layer of two outputs.
        positive: the index of the output for a fracture, 0 or 1.

    Returns:
        Whether the model ends in such a layer; if not, it is left unchanged.
    """
    graph = model.subgraphs[0]
    last = graph.operators[-1]
    if operator_code(model, last) != schema.BuiltinOperator.FULLY_CONNECTED or list(last.outputs) != list(
        graph.outputs
    ):
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


def _drop_unused_codes(model: Any) -> None:
    """Remove operator codes without an operator: an interpreter with a reduced set of kernels refuses unknown codes."""
    used = sorted({operator.opcodeIndex for operator in model.subgraphs[0].operators})
    model.operatorCodes = [model.operatorCodes[index] for index in used]
    for operator in model.subgraphs[0].operators:
        operator.opcodeIndex = used.index(operator.opcodeIndex)


def _replace_output(model: Any, index: int) -> None:
    model.subgraphs[0].outputs = [index]
    for signature in model.signatureDefs or ():
        for output in signature.outputs:
            output.tensorIndex = index

"""TFLite's standard metadata, from which other tools read normalisation, labels and score calibration.

Source: the schema `metadata_schema.fbs` of TFLite Support. The tables are built slot by slot because no
maintained package writes them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from osteolite.edge.modelfile.archive import LABELS_FILE, SCORES_FILE
from osteolite.edge.preprocess import PreprocessingSpec, grey_levels

from .flatbuffer import pack, unpack

_IDENTIFIER = b"M001"
_FEATURE, _IMAGE, _NORMALISATION, _SCORES = 1, 2, 1, 2  # union members
_RGB, _GREY = 1, 2
_AXIS_LABELS, _AXIS_SCORES = 2, 4  # types of associated files
_PARSER = "1.2.0"  # a parser version that knows all fields used here
_IDENTITY = 0  # score transformation before calibration: none, since the output is a logit
EXTRAS = {
    "activation_map": "Evidence for a fracture at each place of the image; above 0 speaks for one",
    "features": "Averaged features from the middle of the network, which tell radiographs from other images",
}


@dataclass(frozen=True)
class _Byte:
    value: int


@dataclass(frozen=True)
class _Table:
    """A flatbuffer table, by slot; values are text, bytes, numbers, tables, or lists of floats or tables."""

    slots: dict[int, Any]

    def build(self, builder: Any) -> int:
        made = {slot: _build(builder, value) for slot, value in self.slots.items() if _is_reference(value)}
        builder.StartObject(max(self.slots, default=-1) + 1)
        for slot, value in self.slots.items():
            if isinstance(value, _Byte):
                builder.PrependUint8Slot(slot, value.value, 0)
            elif isinstance(value, int):
                builder.PrependUint32Slot(slot, value, 0)
            elif isinstance(value, float):
                builder.PrependFloat32Slot(slot, value, 0.0)
            else:
                builder.PrependUOffsetTRelativeSlot(slot, made[slot], 0)
        return int(builder.EndObject())


def _is_reference(value: Any) -> bool:
    return isinstance(value, str | list | _Table)


def _build(builder: Any, value: Any) -> int:
    if isinstance(value, str):
        return int(builder.CreateString(value))
    if isinstance(value, _Table):
        return value.build(builder)
    if isinstance(value[0], float):
        return int(builder.CreateNumpyVector(np.array(value, np.float32)))
    offsets = [one.build(builder) for one in value]
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return int(builder.EndVector())


def metadata(name: str, spec: PreprocessingSpec, calibrated: bool, extras: Sequence[str]) -> bytes:
    """Build the metadata of an image classifier: its input, and the names of its outputs.

    Args:
        name: the model's name.
        spec: size, channels and scaling of the input.
        calibrated: whether the file `SCORES_FILE` maps each logit to a probability.
        extras: names of the outputs after the first, keys of `EXTRAS`.

    Returns:
        A flatbuffer for the model's metadata entry `TFLITE_METADATA`.
    """
    height, width, channels = spec.shape
    size = _Table({0: width, 1: height})
    image = _Table({0: _Byte(_GREY if channels == 1 else _RGB), 1: size})
    scaling = _Table({0: [float(spec.mean)] * channels, 1: [float(spec.std)] * channels})
    levels = grey_levels(spec)
    input_table = _Table(
        {
            0: "image",
            1: f"A radiograph, fitted to {width} x {height} pixels ({spec.aspect})",
            3: _Table({0: _Byte(_IMAGE), 1: image}),
            4: [_Table({0: _Byte(_NORMALISATION), 1: scaling})],
            5: _Table({0: [float(levels.max())] * channels, 1: [float(levels.min())] * channels}),
        }
    )
    files = [_Table({0: LABELS_FILE, 1: "The name of each output", 2: _Byte(_AXIS_LABELS)})]
    logits = {0: "logits", 1: "One logit for each label", 3: _Table({0: _Byte(_FEATURE), 1: _Table({})}), 6: files}
    if calibrated:
        files.append(_Table({0: SCORES_FILE, 1: "Logits to probabilities", 2: _Byte(_AXIS_SCORES)}))
        logits[4] = [_Table({0: _Byte(_SCORES), 1: _Table({0: _Byte(_IDENTITY)})})]
    outputs = [_Table(logits)]
    feature = _Table({0: _Byte(_FEATURE), 1: _Table({})})
    outputs += [_Table({0: extra, 1: EXTRAS[extra], 3: feature}) for extra in extras]
    subgraph = _Table({2: [input_table], 3: outputs})
    about = {0: name, 1: "Research use only: no medical device", 3: [subgraph], 7: _PARSER}
    builder = flatbuffers.Builder(1024)
    builder.Finish(_Table(about).build(builder), _IDENTIFIER)
    return bytes(builder.Output())


def with_metadata(flatbuffer: bytes, content: bytes) -> bytes:
    """Put metadata into a model, in place of any that it has."""
    model = unpack(flatbuffer)
    entry, buffer = schema.MetadataT(), schema.BufferT()
    buffer.data = np.frombuffer(content, np.uint8)
    entry.name, entry.buffer = "TFLITE_METADATA", len(model.buffers)
    model.buffers.append(buffer)
    model.metadata = [one for one in model.metadata or [] if one.name != b"TFLITE_METADATA"] + [entry]
    return pack(model)

"""The one file that is the contract: a .tflite flatbuffer with `osteolite.json` in an appended zip.

A flatbuffer reader ignores what follows it and a zip reader looks from the end, so one file is
both. Any tool reads the description with nothing but `zipfile` and `json`. Beside it lie the two
files that the flatbuffer's standard metadata names, and nothing is packed, as TFLite's own readers
ask: `labels.txt`, the name of each output, and `score_calibration.csv`, which turns a fracture
model's logit into its probability.

A router's flatbuffer names the body part, and its zip also holds one whole model file for each
part, `stages/PART.tflite`, stored as it is: reading one takes no more memory than its listed size.
"""

import hashlib
import io
import json
import os
import stat
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import ModelFileError, UndescribedModel
from ..labels import FRACTURED, LABELS
from .description import (
    DESCRIPTION,
    FRACTURE,
    SCHEMA,
    Description,
    ModelDescription,
    Stage,
    describe,
)

__all__ = [
    "LABELS_FILE",
    "SCORES_FILE",
    "Description",
    "ModelDescription",
    "ModelSource",
    "read_description",
    "read_flatbuffer",
    "read_stage",
    "write_model",
]

LABELS_FILE, SCORES_FILE = "labels.txt", "score_calibration.csv"

_IDENTIFIER = b"TFL3"  # bytes 4 to 8 of a TFLite flatbuffer
_MAX_BYTES = 1024 * 1024 * 1024
_MAX_DESCRIPTION = 4 * 1024 * 1024

ModelSource = str | os.PathLike[str] | bytes


def read_description(model: ModelSource) -> Description:
    """Read and check a model file's description, and that the flatbuffer is the one described.

    Args:
        model: the path of a model file, or its content.

    Raises:
        ModelFileError: no .tflite file, no description in it, or a flatbuffer that was changed.
    """
    where = name_of(model)
    try:
        with _open(model, where) as stream:
            return _read(stream, where)
    except OSError as error:
        raise ModelFileError(f"{where}: cannot be opened: {error.strerror or error}") from error


def read_flatbuffer(path: str | os.PathLike[str]) -> bytes:
    """The network of a .tflite file, without what is appended to it; also of one that another tool wrote.

    Raises:
        ModelFileError: no .tflite file, or a damaged one.
    """
    try:
        length = read_description(path).details["flatbuffer"]["bytes"]
    except UndescribedModel:
        length = -1
    with Path(path).open("rb") as stream:
        return stream.read(length)


def name_of(model: ModelSource) -> str:
    """What errors call a model: its path, or for its mere content "the model"."""
    return "the model" if isinstance(model, bytes) else os.fspath(model).replace("\0", "\\0")


def _open(model: ModelSource, where: str) -> BinaryIO:
    if isinstance(model, bytes):
        return io.BytesIO(model)
    try:
        status = Path(model).stat()
    except ValueError as error:  # a name with a null character
        raise ModelFileError(f"{where}: cannot be opened: {error}") from error
    if not stat.S_ISREG(status.st_mode):
        raise ModelFileError(f"{where}: not a regular file; give a .tflite file that `osteolite convert` wrote")
    return Path(model).open("rb")


def _read(stream: BinaryIO, where: str) -> Description:
    size = stream.seek(0, os.SEEK_END)
    if size > _MAX_BYTES:
        raise ModelFileError(f"{where}: {size:,} bytes; a model file has at most {_MAX_BYTES:,}")
    stream.seek(4)
    if stream.read(4) != _IDENTIFIER:
        raise ModelFileError(f"{where}: not a TFLite model; give a .tflite file that `osteolite convert` wrote")
    values = _read_json(stream, where)
    description = describe(values)
    match values.get("flatbuffer"):
        case {"bytes": int(length), "sha256": str(digest)} if 8 <= length < size:
            whole = _sha256(stream, length) == digest
        case _:
            whole = False
    if not whole:
        raise ModelFileError(f"{where}: the model is damaged (its SHA-256 differs from the one written); copy it again")
    return description


def _sha256(stream: BinaryIO, length: int) -> str:
    """Of the first `length` bytes, piece by piece: a router of large networks need not fit into memory."""
    digest = hashlib.sha256()
    stream.seek(0)
    while length and (piece := stream.read(min(length, 1 << 20))):
        digest.update(piece)
        length -= len(piece)
    return digest.hexdigest()


def _read_json(stream: BinaryIO, where: str) -> Any:
    try:
        with zipfile.ZipFile(stream) as archive:
            entry = archive.getinfo(DESCRIPTION)
            if entry.file_size > _MAX_DESCRIPTION:
                raise ModelFileError(
                    f"{where}: {DESCRIPTION} has {entry.file_size:,} bytes; at most {_MAX_DESCRIPTION:,}"
                )
            with archive.open(entry) as content:
                values = json.loads(content.read(_MAX_DESCRIPTION))
        json.dumps(values, allow_nan=False)  # Python reads NaN and infinity, which are no JSON
        return values
    except (zipfile.BadZipFile, KeyError) as error:
        raise UndescribedModel(
            f"{where}: a TFLite model without {DESCRIPTION}; `osteolite convert` writes one"
        ) from error
    except ModelFileError:
        raise
    except Exception as error:  # zlib, unicode, JSON and recursion errors of a damaged archive
        raise ModelFileError(f"{where}: {DESCRIPTION} cannot be read ({error}); copy the file again") from error


def read_stage(path: str | os.PathLike[str], part: str, listed: Stage) -> bytes:
    """The model file of a body part out of a router's file: never more than the bytes listed, and exactly those.

    Raises:
        ModelFileError: it is missing, packed in another way, or not the one listed.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entry = archive.getinfo(_entry_name(part))
            if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != listed.bytes:
                raise ModelFileError(
                    f"{path}: its stage {part} is packed, or not of the {listed.bytes:,} bytes listed; copy it again"
                )
            with archive.open(entry) as stream:
                content = stream.read(listed.bytes)
    except ModelFileError:
        raise
    except KeyError as error:
        raise ModelFileError(f"{path}: its stage {part} is missing; convert the run again") from error
    except Exception as error:  # of a damaged archive, or a file that is gone
        raise ModelFileError(f"{path}: its stage {part} cannot be read ({error}); copy the file again") from error
    if hashlib.sha256(content).hexdigest() != listed.sha256:
        raise ModelFileError(f"{path}: its stage {part} is damaged (its SHA-256 differs); copy the file again")
    return content


def write_model(
    path: str | os.PathLike[str], flatbuffer: bytes, values: dict[str, Any], stages: Mapping[str, bytes] | None = None
) -> Description:
    """Write flatbuffer and description as one file, whole or not at all.

    The same input gives the same bytes: the archive carries no time of writing.

    Args:
        path: the file to write.
        flatbuffer: the network, with nothing after it.
        values: the description; `labels` is only the caller's where the outputs are body parts.
        stages: of a router, the content of each body part's model file.

    Raises:
        ModelFileError: a description that no reader would take, or a flatbuffer that carries an archive.
    """
    from ..atomic import atomic_path

    if zipfile.is_zipfile(io.BytesIO(flatbuffer)):
        raise ModelFileError(f"{path}: the flatbuffer to write has an archive at its end; give the flatbuffer alone")
    values = {
        **values,
        "schema": SCHEMA,
        "labels": values["labels"] if values.get("kind", FRACTURE) != FRACTURE else list(LABELS),
        "flatbuffer": _listed(flatbuffer),
    }
    if stages:
        values["stages"] = {part: _listed(content) for part, content in stages.items()}
    description = describe(values)
    with atomic_path(path) as temporary:
        temporary.write_bytes(flatbuffer)
        with zipfile.ZipFile(temporary, "a", zipfile.ZIP_STORED) as archive:
            for part, content in (stages or {}).items():
                archive.writestr(zipfile.ZipInfo(_entry_name(part)), content)
            for name, text in _associated(description).items():
                archive.writestr(zipfile.ZipInfo(name), text)
            archive.writestr(zipfile.ZipInfo(DESCRIPTION), json.dumps(values, allow_nan=False, separators=(",", ":")))
        if temporary.stat().st_size > _MAX_BYTES:
            raise ModelFileError(f"{path}: a model file has at most {_MAX_BYTES:,} bytes; take a smaller variant")
    return description


def _associated(description: Description) -> dict[str, str]:
    """The files of TFLite's standard metadata: one line an output, the last without an end."""
    if isinstance(description, ModelDescription):
        return {LABELS_FILE: FRACTURED, SCORES_FILE: f"1.0,{description.slope!r},{description.intercept!r}"}
    return {LABELS_FILE: "\n".join(description.parts)}


def _entry_name(part: str) -> str:
    return f"stages/{part}.tflite"


def _listed(content: bytes) -> dict[str, Any]:
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}

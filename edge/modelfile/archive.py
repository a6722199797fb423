"""A model file: a .tflite flatbuffer with a zip archive appended, which holds `osteolite.json`.

A flatbuffer reader ignores what follows the flatbuffer, and a zip reader starts at the end, so one file is both. Any
tool reads the description with `zipfile` and `json`. The archive also holds the two files that the flatbuffer's
standard metadata names: `labels.txt`, the name of each output, and `score_calibration.csv`, which turns a fracture
model's logit into its probability. All entries are stored uncompressed, as TFLite's own readers require.

The flatbuffer of a router names the body part. Its archive also holds a complete model file for each body part,
`stages/PART.tflite`, uncompressed, so that reading one needs no more memory than its listed size.
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
    parse_description,
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
    """Read a model file's description and check it, and check the flatbuffer's SHA-256.

    Args:
        model: the path of a model file, or its content.

    Raises:
        ModelFileError: not a .tflite file, no description in it, or the flatbuffer was changed.
    """
    where = name_of(model)
    try:
        with _open(model, where) as stream:
            return _read(stream, where)
    except OSError as error:
        raise ModelFileError(f"{where}: cannot be opened: {error.strerror or error}") from error


def read_flatbuffer(path: str | os.PathLike[str]) -> bytes:
    """Read the flatbuffer of a model file without the archive, or a whole .tflite file without a description.

    Raises:
        ModelFileError: not a .tflite file, or a damaged one.
    """
    try:
        length = read_description(path).details["flatbuffer"]["bytes"]
    except UndescribedModel:
        length = -1
    with Path(path).open("rb") as stream:
        return stream.read(length)


def name_of(model: ModelSource) -> str:
    """Return the model's path, or "the model" for content, for error messages."""
    return "the model" if isinstance(model, bytes) else os.fspath(model).replace("\0", "\\0")


def _open(model: ModelSource, where: str) -> BinaryIO:
    if isinstance(model, bytes):
        return io.BytesIO(model)
    try:
        status = Path(model).stat()
    except ValueError as error:  # a null character in the path
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
    description = parse_description(values)
    match values.get("flatbuffer"):
        case {"bytes": int(length), "sha256": str(digest)} if 8 <= length < size:
            whole = _sha256(stream, length) == digest
        case _:
            whole = False
    if not whole:
        raise ModelFileError(f"{where}: the model is damaged (its SHA-256 differs from the one written); copy it again")
    return description


def _sha256(stream: BinaryIO, length: int) -> str:
    """Hash the first `length` bytes in pieces: a router of large networks may not fit into memory."""
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
        json.dumps(values, allow_nan=False)  # Python's parser accepts NaN and infinity, which JSON does not have
        return values
    except (zipfile.BadZipFile, KeyError) as error:
        raise UndescribedModel(
            f"{where}: a TFLite model without {DESCRIPTION}; use a file that `osteolite convert` wrote"
        ) from error
    except ModelFileError:
        raise
    except Exception as error:  # zlib, Unicode, JSON and recursion errors from a damaged archive
        raise ModelFileError(f"{where}: {DESCRIPTION} cannot be read ({error}); copy the file again") from error


def read_stage(path: str | os.PathLike[str], body_part: str, listed: Stage) -> bytes:
    """Read the model file of a body part from a router's file.

    Args:
        path: the router's file.
        body_part: one of its labels.
        listed: size and SHA-256 from the description; no more bytes are read.

    Raises:
        ModelFileError: the stage is missing, compressed, or not the one listed.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entry = archive.getinfo(_entry_name(body_part))
            if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != listed.bytes:
                raise ModelFileError(
                    f"{path}: its stage {body_part} is compressed, or not {listed.bytes:,} bytes long; copy it again"
                )
            with archive.open(entry) as stream:
                content = stream.read(listed.bytes)
    except ModelFileError:
        raise
    except KeyError as error:
        raise ModelFileError(f"{path}: its stage {body_part} is missing; convert the run again") from error
    except Exception as error:  # a damaged archive, or a missing file
        raise ModelFileError(f"{path}: its stage {body_part} cannot be read ({error}); copy the file again") from error
    if hashlib.sha256(content).hexdigest() != listed.sha256:
        raise ModelFileError(f"{path}: its stage {body_part} is damaged (its SHA-256 differs); copy the file again")
    return content


def write_model(
    path: str | os.PathLike[str], flatbuffer: bytes, values: dict[str, Any], stages: Mapping[str, bytes] | None = None
) -> Description:
    """Write flatbuffer and description as one file, atomically.

    The same input gives the same bytes: the archive holds no timestamps.

    Args:
        path: the file to write.
        flatbuffer: the network, without an archive.
        values: the description. `labels` is ignored for a fracture model, whose labels are fixed.
        stages: for a router, the content of each body part's model file.

    Raises:
        ModelFileError: the description is not valid, or an archive is appended to the flatbuffer.
    """
    from ..atomic import atomic_path

    if zipfile.is_zipfile(io.BytesIO(flatbuffer)):
        raise ModelFileError(f"{path}: the flatbuffer has an archive appended; give the flatbuffer alone")
    values = {
        **values,
        "schema": SCHEMA,
        "labels": values["labels"] if values.get("kind", FRACTURE) != FRACTURE else list(LABELS),
        "flatbuffer": _listed(flatbuffer),
    }
    if stages:
        values["stages"] = {body_part: _listed(content) for body_part, content in stages.items()}
    description = parse_description(values)
    with atomic_path(path) as temporary:
        temporary.write_bytes(flatbuffer)
        with zipfile.ZipFile(temporary, "a", zipfile.ZIP_STORED) as archive:
            for body_part, content in (stages or {}).items():
                archive.writestr(zipfile.ZipInfo(_entry_name(body_part)), content)
            for name, text in _metadata_files(description).items():
                archive.writestr(zipfile.ZipInfo(name), text)
            archive.writestr(zipfile.ZipInfo(DESCRIPTION), json.dumps(values, allow_nan=False, separators=(",", ":")))
        if temporary.stat().st_size > _MAX_BYTES:
            raise ModelFileError(f"{path}: a model file has at most {_MAX_BYTES:,} bytes; take a smaller variant")
    return description


def _metadata_files(description: Description) -> dict[str, str]:
    """Return the files of TFLite's standard metadata: one line per output, the last without a line end."""
    if isinstance(description, ModelDescription):
        return {LABELS_FILE: FRACTURED, SCORES_FILE: f"1.0,{description.slope!r},{description.intercept!r}"}
    return {LABELS_FILE: "\n".join(description.labels)}


def _entry_name(body_part: str) -> str:
    return f"stages/{body_part}.tflite"


def _listed(content: bytes) -> dict[str, Any]:
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}

"""The one file that is the contract: a .tflite flatbuffer with `osteolite.json` in an appended zip.

A flatbuffer reader ignores what follows it and a zip reader looks from the end, so one file is
both. Any tool reads the description with nothing but `zipfile` and `json`.
"""

import hashlib
import json
import os
import stat
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .errors import ModelFileError
from .labels import LABELS
from .preprocess import PreprocessingSpec

DESCRIPTION = "osteolite.json"
SCHEMA = 1
_IDENTIFIER = b"TFL3"  # bytes 4 to 8 of a TFLite flatbuffer
_MAX_BYTES = 512 * 1024 * 1024
_MAX_DESCRIPTION = 4 * 1024 * 1024


@dataclass(frozen=True)
class ModelDescription:
    """What a model file says of itself."""

    name: str  # of the model: recipe and variant
    variant: str  # float32, float16, dynamic, int8, ...
    preprocessing: PreprocessingSpec
    threshold: float  # fracture probability from which the label is `fractured`
    slope: float = 1.0  # probability calibration: probability = sigmoid(slope * logit + intercept)
    intercept: float = 0.0
    details: dict[str, Any] = field(default_factory=dict)  # all of osteolite.json

    @classmethod
    def from_dict(cls, values: Any) -> "ModelDescription":
        """Check and read the content of `osteolite.json`.

        Raises:
            ModelFileError: a field is missing or outside its range.
        """
        try:
            if values["schema"] != SCHEMA:
                raise ModelFileError(f"{DESCRIPTION} has schema {values['schema']!r}; this version reads {SCHEMA}")
            if values["labels"] != list(LABELS):
                raise ModelFileError(f"{DESCRIPTION} has labels {values['labels']!r}; {list(LABELS)} are needed")
            calibration = values["probability_calibration"]
            description = cls(
                name=str(values["name"]),
                variant=str(values["variant"]),
                preprocessing=PreprocessingSpec.from_dict(values["preprocessing"]),
                threshold=float(values["threshold"]["value"]),
                slope=float(calibration["slope"]),
                intercept=float(calibration["intercept"]),
                details=values,
            )
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ModelFileError(
                f"{DESCRIPTION} is incomplete or malformed at {error}; convert the run again"
            ) from error
        finite = all(abs(v) < 1e6 for v in (description.slope, description.intercept))
        if not (0.0 < description.threshold < 1.0 and finite):
            raise ModelFileError(
                f"{DESCRIPTION} has a threshold or calibration outside its range; convert the run again"
            )
        return description


def read_description(path: str | os.PathLike[str]) -> ModelDescription:
    """Read and check a model file's description, and that the flatbuffer is the one described.

    Raises:
        ModelFileError: no .tflite file, no description in it, or a flatbuffer that was changed.
    """
    path = Path(path)
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise ModelFileError(f"{path}: not a regular file; give a .tflite file that `osteolite convert` wrote")
        if status.st_size > _MAX_BYTES:
            raise ModelFileError(f"{path}: {status.st_size:,} bytes; a model file has at most {_MAX_BYTES:,}")
        content = path.read_bytes()
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be opened: {error.strerror or error}") from error
    except ValueError as error:  # a name with a null character
        raise ModelFileError(f"{os.fspath(path)!r}: cannot be opened: {error}") from error
    if content[4:8] != _IDENTIFIER:
        raise ModelFileError(f"{path}: not a TFLite model; give a .tflite file that `osteolite convert` wrote")
    values = _read_json(path)
    description = ModelDescription.from_dict(values)
    match values.get("flatbuffer"):
        case {"bytes": int(length), "sha256": str(digest)} if 8 <= length < len(content):
            whole = hashlib.sha256(content[:length]).hexdigest() == digest
        case _:
            whole = False
    if not whole:
        raise ModelFileError(f"{path}: the model is damaged (its SHA-256 differs from the one written); copy it again")
    return description


def _read_json(path: Path) -> Any:
    try:
        with zipfile.ZipFile(path) as archive:
            entry = archive.getinfo(DESCRIPTION)
            if entry.file_size > _MAX_DESCRIPTION:
                raise ModelFileError(
                    f"{path}: {DESCRIPTION} has {entry.file_size:,} bytes; at most {_MAX_DESCRIPTION:,}"
                )
            with archive.open(entry) as stream:
                values = json.loads(stream.read(_MAX_DESCRIPTION))
        json.dumps(values, allow_nan=False)  # Python reads NaN and infinity, which are no JSON
        return values
    except (zipfile.BadZipFile, KeyError) as error:
        raise ModelFileError(f"{path}: a TFLite model without {DESCRIPTION}; `osteolite convert` writes one") from error
    except ModelFileError:
        raise
    except Exception as error:  # zlib, unicode, JSON and recursion errors of a damaged archive
        raise ModelFileError(f"{path}: {DESCRIPTION} cannot be read ({error}); copy the file again") from error


def write_model(path: str | os.PathLike[str], flatbuffer: bytes, values: dict[str, Any]) -> ModelDescription:
    """Write flatbuffer and description as one file, whole or not at all.

    The same input gives the same bytes: the archive carries no time of writing.
    """
    from .atomic import atomic_path

    values = {
        **values,
        "schema": SCHEMA,
        "labels": list(LABELS),
        "flatbuffer": {"bytes": len(flatbuffer), "sha256": hashlib.sha256(flatbuffer).hexdigest()},
    }
    description = ModelDescription.from_dict(values)
    with atomic_path(path) as part:
        part.write_bytes(flatbuffer)
        with zipfile.ZipFile(part, "a", zipfile.ZIP_DEFLATED) as archive:
            entry = zipfile.ZipInfo(DESCRIPTION)
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, json.dumps(values, indent=1, allow_nan=False))
    return description

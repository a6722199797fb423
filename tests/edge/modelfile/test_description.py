"""Invalid descriptions are refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from osteolite.edge.errors import ModelFileError
from osteolite.edge.modelfile.archive import read_description
from osteolite.edge.modelfile.description import ModelDescription

from .model_files import FLATBUFFER, rewrite


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"[]", b"null", b'"text"', b"7", b"\xff\xfe", b"[" * 100_000, b'{"schema": 1}', b"{}"],
    ids=lambda text: repr(text[:12]),
)
def test_a_malformed_description_is_refused(text: bytes, tmp_path: Path) -> None:
    with pytest.raises(ModelFileError):
        read_description(rewrite(tmp_path / "model.tflite", text))


FIELDS = ["schema", "labels", "name", "variant", "preprocessing", "threshold", "probability_calibration", "flatbuffer"]


@pytest.mark.parametrize("missing", FIELDS)
def test_a_missing_field_is_refused(missing: str, values: dict[str, Any], tmp_path: Path) -> None:
    del values[missing]
    with pytest.raises(ModelFileError):
        read_description(rewrite(tmp_path / "bad.tflite", json.dumps(values)))


@pytest.mark.parametrize(
    "bad", [None, [], "text", 0, 0.5, False, {"other": 1}, [[]], 10**400], ids=lambda v: repr(v)[:20]
)
@pytest.mark.parametrize("field", [f for f in FIELDS if f not in ("name", "variant")])
def test_a_field_of_the_wrong_type_is_refused(field: str, bad: Any, values: dict[str, Any], tmp_path: Path) -> None:
    values[field] = bad
    with pytest.raises(ModelFileError):
        read_description(rewrite(tmp_path / "bad.tflite", json.dumps(values)))


def with_value(values: dict[str, Any], path: str, bad: Any) -> str:
    """Set a value, given by its path of names joined by dots, and return JSON."""
    *parents, last = path.split(".")
    inner = values
    for name in parents:
        inner = inner[name]
    inner[last] = bad
    return json.dumps(values)


BAD_VALUES: dict[str, tuple[Any, ...]] = {
    "schema": (2,),
    "labels": (["fractured", "normal"], ["normal", "fractured", "unclear"]),
    "threshold.value": (0, 1, -0.1, 1.5, float("nan"), float("inf"), None, [0.5], "half", 10**400),
    "probability_calibration.slope": (float("nan"), float("-inf"), 1e7, None, {}, 10**400),
    "probability_calibration.intercept": (float("nan"), -1e7, "", []),
    "preprocessing.width": (-1,),
    "preprocessing.mean": (float("nan"),),
    "preprocessing.std": (0,),
    "preprocessing.aspect": ("crop",),
    "preprocessing.gamma": (1.0,),
    "flatbuffer.bytes": (0, -1, 7, 8, len(FLATBUFFER) - 1, 10**30, 2.5, "264", None, True),
    "flatbuffer.sha256": ("", "0" * 64, None, 7, []),
    "training.loss": (float("nan"),),
}


@pytest.mark.parametrize(
    ("path", "bad"),
    [(path, bad) for path, values in BAD_VALUES.items() for bad in values],
    ids=lambda value: repr(value)[:24],
)
def test_a_value_outside_its_range_is_refused(path: str, bad: Any, values: dict[str, Any], tmp_path: Path) -> None:
    values["training"] = {}
    with pytest.raises(ModelFileError):
        read_description(rewrite(tmp_path / "bad.tflite", with_value(values, path, bad)))


def test_an_empty_flatbuffer_is_refused(values: dict[str, Any], tmp_path: Path) -> None:
    empty = {"bytes": 0, "sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}
    with pytest.raises(ModelFileError, match="damaged"):
        read_description(rewrite(tmp_path / "bad.tflite", json.dumps({**values, "flatbuffer": empty})))


def test_a_valid_description_is_read_the_same_way(values: dict[str, Any], tmp_path: Path) -> None:
    # Without this test, an error in `rewrite` could be the reason of all refusals above.
    path = rewrite(tmp_path / "good.tflite", json.dumps(values))
    assert read_description(path).details == values == ModelDescription.from_dict(values).details

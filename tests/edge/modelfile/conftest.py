"""Fixtures: a model file and its description."""

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from osteolite.edge.modelfile.archive import write_model

from .model_files import FLATBUFFER


@pytest.fixture
def written(tmp_path: Path, tiny: Any) -> Path:
    write_model(tmp_path / "model.tflite", FLATBUFFER, tiny.description())
    return tmp_path / "model.tflite"


@pytest.fixture
def values(written: Path) -> dict[str, Any]:
    """The content of a valid `osteolite.json`."""
    with zipfile.ZipFile(written) as archive:
        result: dict[str, Any] = json.loads(archive.read("osteolite.json"))
    return result

"""Fixtures: a router of tiny models."""

from pathlib import Path
from typing import Any

import pytest

from osteolite.edge.modelfile.archive import write_model

from .tiny_routers import FRACTURES, body_part_flatbuffer, router_description, stage_file


@pytest.fixture(scope="session")
def stages(tiny: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("stages")
    return {part: stage_file(tiny, folder, part) for part in FRACTURES}


@pytest.fixture(scope="session")
def router_file(tiny: Any, stages: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("router") / "router.tflite"
    write_model(path, body_part_flatbuffer(tiny), router_description(tiny), stages)
    return path

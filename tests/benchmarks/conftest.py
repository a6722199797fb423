"""Labelled pictures that a test can score by hand."""

from pathlib import Path

import pytest
from PIL import Image


@pytest.fixture
def bench_images(tmp_path: Path) -> Path:
    """Bright fractured and dark normal pictures, and one of each that the tiny model gets wrong."""
    for name, levels in (("fractured", (250, 220, 20)), ("normal", (5, 30, 240))):
        (tmp_path / "data" / name).mkdir(parents=True)
        for level in levels:
            Image.new("L", (40, 40), level).save(tmp_path / "data" / name / f"{level}.png")
    return tmp_path / "data"

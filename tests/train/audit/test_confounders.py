from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from osteolite.edge.preprocess import PreprocessingSpec
from osteolite.train.audit.confounders import find_confounders
from osteolite.train.data.layouts import read_dataset
from osteolite.train.data.phantoms import draw_phantom
from osteolite.train.data.pixel_cache import read_images

LABELS = ("normal", "fractured")


def confounders_of(root: Path, write: Callable[[Path, int, np.random.Generator], None]) -> dict[str, dict[str, Any]]:
    random = np.random.default_rng(3)
    for index in range(120):
        path = root / LABELS[index % 2] / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, index % 2, random)
    spec = PreprocessingSpec(112, 112)
    images = read_images(read_dataset(root), spec, root / "cache")
    return find_confounders(images, images.catalogue, np.arange(120), spec, seed=1)


def test_corner_text_and_size_that_follow_the_label_are_found(tmp_path: Path) -> None:
    def write(path: Path, label: int, random: np.random.Generator) -> None:
        pixels = random.integers(90, 110, (112 + 20 * label, 90), np.uint8)
        if label:
            pixels[4:14, 66:86:4] = 255  # text strokes in one corner
        Image.fromarray(pixels).save(path)

    result = confounders_of(tmp_path, write)
    for name in ("height", "aspect ratio", "corner text", "all of these"):
        assert result[name]["auroc"] > 0.95, name
        assert "may measure it, not fractures" in result[name]["meaning"]
    assert result["width"]["auroc"] == pytest.approx(0.5, abs=0.01)


def test_phantoms_have_no_confounder(tmp_path: Path) -> None:
    result = confounders_of(tmp_path, lambda path, label, random: draw_phantom(bool(label), random).save(path))
    assert "body part" not in result
    for name in ("width", "height", "aspect ratio", "mode", "corner text"):
        assert 0.3 < result[name]["auroc"] < 0.7, name

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from osteolite.train.data.boxes import BOX_FILES
from osteolite.train.data.layouts import read_dataset
from osteolite.train.evaluation.explain import Explainer, play_pointing_game
from osteolite.train.workflows.train import train

BRIGHT = """
extends = "phantoms"
name = "bright"
description = "finds bright squares"
[preprocessing]
width = 64
height = 64
[model]
fracture_map = true
[training]
box_weight = 10.0
batch = 16
keep_last = true  # the first epoch with all labels right may not know the positions yet
[[training.phases]]
name = "training"
epochs = 12
learning_rate = 3e-3
unfrozen = 1.0
"""


def draw_squares(data: Path) -> None:
    """Write 200 images in the layout of FracAtlas. Fractures are bright squares, and boxes mark them."""
    random = np.random.default_rng(5)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    lines = ["image_id,hand,leg,hip,shoulder,frontal,lateral,oblique,hardware"]
    for index in range(200):
        name, fractured = f"IMG{11 * index:07d}.jpg", index % 2
        pixels = random.integers(0, 60, (64, 64)).astype(np.uint8)
        for side, level in ((20, 110), (20, 255))[: 1 + fractured]:
            x, y = random.integers(0, 64 - side, 2)
            pixels[y : y + side, x : x + side] = level
        if fractured:
            images.append({"id": index, "file_name": name, "width": 64, "height": 64})
            annotations.append({"image_id": index, "bbox": [int(x), int(y), 20, 20]})
        lines.append(f"{name},1,0,0,0,1,0,0,0")
        path = data / "images" / ("Fractured" if fractured else "Non_fractured") / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path, quality=95)
    (data / "dataset.csv").write_text("\n".join(lines) + "\n")
    boxes = data / BOX_FILES["fracatlas"]
    boxes.parent.mkdir(parents=True)
    boxes.write_text(json.dumps({"images": images, "annotations": annotations}))


@pytest.mark.slow
def test_training_on_boxes_localises_fractures(tmp_path: Path) -> None:
    """Fractures are bright squares with boxes; every image also has a darker square without a box."""
    data = tmp_path / "data"
    draw_squares(data)
    assert read_dataset(data).layout == "fracatlas"
    (tmp_path / "bright.toml").write_text(BRIGHT)
    (run,) = train(data, str(tmp_path / "bright.toml"), tmp_path / "run", None, 1)
    assert run.recipe.model.fracture_map
    explainer = Explainer(run)
    assert explainer.method == "map"
    (metrics,) = play_pointing_game(explainer)["layers"]
    assert metrics["all"]["share"]["value"] > 3 * metrics["all"]["chance"]["value"]

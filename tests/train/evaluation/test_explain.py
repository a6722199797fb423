"""Maps and the pointing game by `osteolite explain`, with a network whose logit is the mean brightness."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from osteolite.edge.cli import cli
from osteolite.train.data.catalogue import Catalogue, Row, write_catalogue
from osteolite.train.evaluation.explain import map_paths
from osteolite.train.keras import keras
from osteolite.train.networks.model import FEATURES
from osteolite.train.runs.run_folder import Run

RECIPE = """
name = "bright"
description = "looks for bright places"
[preprocessing]
width = 80
height = 96
channels = "grey"
[model]
backbone = "mobilenetv2"
weights = "none"
[[training.phases]]
name = "none"
epochs = 1
learning_rate = 1e-3
unfrozen = 1.0
"""
DRAWN = {"a": (400, 200), "b": (200, 400), "c": (240, 288), "d": (333, 217)}  # width, height of the boxes' images


def bright_model(hidden: bool = False) -> Any:
    """A network whose logit is the mean brightness; its last feature map is the input in cells of 8 x 8 pixels."""
    picture = keras.Input((96, 80, 1))
    fine = keras.layers.AveragePooling2D(4, name="fine/map")(picture)
    cells = keras.layers.AveragePooling2D(2, name="cells")(fine)
    pooled = keras.layers.GlobalAveragePooling2D(name=FEATURES)(cells)
    if hidden:
        pooled = keras.layers.Dense(1, kernel_initializer="ones", name="hidden1")(pooled)
    dropped = keras.layers.Dropout(0.2, name="dropout")(pooled)
    return keras.Model(picture, keras.layers.Dense(1, kernel_initializer="ones", name="logits")(dropped), name="bright")


def draw(path: Path, size: tuple[int, int], box: tuple[float, float, float, float]) -> None:
    """Draw a grey image with a bright spot that fills the box, given in shares of the image."""
    pixels = np.full((size[1], size[0]), 60, np.uint8)
    left, right = round(box[0] * size[0]), round(box[2] * size[0])
    top, bottom = round(box[1] * size[1]), round(box[3] * size[1])
    pixels[top:bottom, left:right] = 250
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A run with a normal image and four fractured ones, two of them smaller than when the boxes were drawn."""
    spots = {"a": (0.7, 0.1, 0.9, 0.4), "b": (0.1, 0.7, 0.4, 0.9), "c": (0.1, 0.1, 0.4, 0.3), "d": (0.6, 0.6, 0.9, 0.9)}
    data = tmp_path / "data"
    coco: dict[str, list[dict[str, Any]]] = {"images": [], "annotations": []}
    for number, (name, (width, height)) in enumerate(DRAWN.items()):
        scale = 0.5 if name in "ab" else 1.0
        draw(data / f"images/{name}.png", (round(width * scale), round(height * scale)), spots[name])
        left, top, right, bottom = spots[name]
        coco["images"].append({"id": number, "file_name": f"{name}.png", "width": width, "height": height})
        coco["annotations"].append(
            {
                "image_id": number,
                "bbox": [left * width, top * height, (right - left) * width, (bottom - top) * height],
            }
        )
    draw(data / "images/normal.png", (100, 100), (0, 0, 0.1, 0.1))
    boxes = data / "Annotations/COCO JSON/COCO_fracture_masks.json"
    boxes.parent.mkdir(parents=True)
    boxes.write_text(json.dumps(coco))
    rows = [Row(f"images/{name}.png", 1, f"group {name}", split="test") for name in DRAWN]
    rows.append(Row("images/normal.png", 0, "group normal", split="test"))
    folder = tmp_path / "run"
    folder.mkdir()
    write_catalogue(Catalogue(data, "fracatlas", tuple(rows)), folder / "catalogue.csv")
    (folder / "recipe.toml").write_text(RECIPE)
    (folder / "run.json").write_text(json.dumps({"root": str(data), "layout": "fracatlas"}))
    evaluation = {"probability_calibration": {"slope": 1.0, "intercept": 0.0}, "threshold": {"value": 0.3}}
    (folder / "evaluation.json").write_text(json.dumps(evaluation))
    monkeypatch.setattr(Run, "model", lambda self: bright_model())
    return Run(folder)


def call(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["explain", *map(str, arguments)])


def data_of(run: Run) -> Path:
    return Path(run.json("run.json")["root"])


@pytest.mark.parametrize("method", ["cam", "gradcam"])
def test_a_network_that_looks_at_the_spot_hits_every_box(run: Run, method: str) -> None:
    """The images need padding on either axis; some are smaller than when their boxes were drawn."""
    result = call(run.folder, "--method", method, "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found == run.json("pointing.json")
    (layer,) = found["layers"]
    assert layer["layer"] == "cells"
    assert layer["all"]["images"] == layer["all"]["groups"] == 4
    assert layer["all"]["share"]["value"] == 1.0
    assert layer["all"]["centre"]["value"] == 0.0
    assert layer["all"]["chance"]["value"] == pytest.approx(np.mean([0.06, 0.06, 0.06, 0.09]), abs=1e-5)


def test_the_table_names_the_metrics_and_their_baselines(run: Run) -> None:
    result = call(run.folder)
    assert result.exit_code == 0, result.output
    for text in ("all fractured", "detected", "hottest point in a box", "image centre in a box", "no tolerance"):
        assert text in result.stdout


def test_gradcam_takes_several_layers_and_draws_them_with_boxes(run: Run, tmp_path: Path) -> None:
    result = call(run.folder, "--layer", "fine/map", "--layer", "cells", "--out", tmp_path / "maps", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert (found["method"], [one["layer"] for one in found["layers"]]) == ("gradcam", ["fine/map", "cells"])
    names = {path.name for path in (tmp_path / "maps").iterdir()}
    assert names == {f"{name}_gradcam_{layer}.png" for name in DRAWN for layer in ("fine-map", "cells")}
    picture = np.asarray(Image.open(tmp_path / "maps" / "c_gradcam_cells.png"))
    assert (picture == (0x56, 0xB4, 0xE9)).all(axis=-1).sum() > 100


def test_boxes_of_another_aspect_ratio_are_left_out(run: Run) -> None:
    boxes = data_of(run) / "Annotations/COCO JSON/COCO_fracture_masks.json"
    coco = json.loads(boxes.read_text())
    coco["images"][0]["width"] *= 2
    boxes.write_text(json.dumps(coco))
    result = call(run.folder, "--json")
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert "a different aspect ratio" in found["left_out"]["images/a.png"]
    assert found["layers"][0]["all"]["images"] == 3


def test_data_without_boxes_is_an_error_in_one_line(run: Run) -> None:
    (data_of(run) / "Annotations/COCO JSON/COCO_fracture_masks.json").unlink()
    result = call(run.folder)
    assert result.exit_code == 2
    assert "no fracture boxes" in result.stderr
    assert result.stderr.count("\n") == 1
    assert not run.path("pointing.json").exists()


def test_a_map_is_drawn_over_the_radiograph_at_its_own_size(run: Run, tmp_path: Path) -> None:
    image = data_of(run) / "images/d.png"
    result = call(run.folder, image, "--out", tmp_path / "maps", "--json")
    assert result.exit_code == 0, result.output
    (row,) = json.loads(result.stdout)["images"]
    (drawn,) = row["maps"]
    x, y = drawn["hottest"]
    assert 0.6 * 333 <= x <= 0.9 * 333
    assert 0.6 * 217 <= y <= 0.9 * 217
    assert row["label"] == ("fractured" if row["fracture_probability"] >= 0.3 else "normal")
    picture = np.asarray(Image.open(drawn["file"]).convert("RGB")).astype(int)
    assert picture.shape[1] >= 333
    assert picture.shape[0] > 217  # the caption is below
    coloured = np.ptp(picture[:217, :333], axis=-1)
    assert coloured[int(y), int(x)] > 50
    assert coloured[10:80, 10:120].mean() < coloured[int(y), int(x)] / 2


def test_inputs_with_the_same_name_get_separate_maps_and_stay_unchanged(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    draw(folder / "one" / "x.png", (90, 90), (0.1, 0.1, 0.3, 0.3))
    draw(folder / "two" / "x.png", (90, 90), (0.7, 0.7, 0.9, 0.9))
    draw(folder / "x_cam_cells.png", (90, 90), (0.4, 0.4, 0.6, 0.6))
    before = {path: path.read_bytes() for path in folder.rglob("*.png")}
    result = call(run.folder, folder, "--out", folder)
    assert result.exit_code == 0, result.output
    assert {path: path.read_bytes() for path in before} == before
    assert len(list(folder.rglob("*.png"))) == 6


def test_one_bad_image_does_not_stop_the_others(run: Run, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"no image")
    good = data_of(run) / "images/a.png"
    result = call(run.folder, tmp_path / "bad.png", good, "--out", tmp_path / "maps")
    assert result.exit_code == 1
    assert "UnreadableImage" in result.stderr
    assert [path.name for path in (tmp_path / "maps").iterdir()] == ["a_cam_cells.png"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("x.png",), "--out"),
        (("--layer", "nothing"), "has no feature map nothing"),
        (("--method", "cam", "--layer", "fine/map"), "--method gradcam"),
    ],
)
def test_an_invalid_call_is_refused_with_what_is_allowed(run: Run, arguments: tuple[str, ...], message: str) -> None:
    result = call(run.folder, *arguments)
    assert result.exit_code == 2
    assert message in result.stderr


def test_a_head_without_a_class_activation_map_gets_gradcam(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Run, "model", lambda self: bright_model(hidden=True))
    refused = call(run.folder, "--method", "cam")
    assert refused.exit_code == 2
    assert "use --method gradcam" in refused.stderr
    found = json.loads(call(run.folder, "--json").stdout)
    assert found["method"] == "gradcam"
    assert found["layers"][0]["all"]["share"]["value"] == 1.0


def test_map_names_differ_even_if_inputs_differ_only_by_case_or_folder() -> None:
    names = ["a/X.png", "b/x.jpg", "x_cam_l.png", "x.png", "x.png"]
    paths = [path for both in map_paths(Path("out"), names, "cam", ["l", "m"]) for path in both]
    assert len({str(path).casefold() for path in paths}) == 10

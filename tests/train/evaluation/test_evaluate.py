"""Evaluation of model files and runs on labelled images."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from scipy.ndimage import gaussian_filter

from osteolite.edge import FractureClassifier
from osteolite.edge.cli import cli
from osteolite.edge.errors import DatasetError
from osteolite.edge.modelfile.shipped import shipped_model
from osteolite.edge.prediction.heatmap import content_map
from osteolite.train.data.boxes import BOX_FILES, read_boxes
from osteolite.train.data.layouts import read_dataset
from osteolite.train.evaluation.evaluate import evaluate
from osteolite.train.metrics.metrics import METRICS
from osteolite.train.metrics.pointing_game import hottest_point
from osteolite.train.runs.run_folder import Run


@pytest.fixture
def greys(tmp_path: Path) -> Path:
    """Uniformly grey images: the tiny model's probability rises with the grey value."""
    random = np.random.default_rng(0)
    for label, folder in enumerate(("normal", "fractured")):
        (tmp_path / "data" / folder).mkdir(parents=True)
        for number in range(15):
            level = int(random.integers(0, 160)) + 90 * label
            Image.fromarray(np.full((40, 40), level, np.uint8)).save(tmp_path / "data" / folder / f"{number}.png")
    return tmp_path / "data"


def test_a_model_file_gets_all_metrics(greys: Path, tiny_model: Path) -> None:
    found = evaluate(tiny_model, greys, None)
    assert set(METRICS) <= set(found)
    assert (found["unit"], found["count"], found["fractured"]) == ("image", 30, 15)
    assert found["auroc"]["value"] > 0.7
    assert found["subgroups"] == []
    assert found["pointing"] is found["external"] is found["failures"] is found["against_run"] is None


def test_the_images_of_a_study_count_as_one(greys: Path, tiny_model: Path) -> None:
    lines = [
        f"{path.relative_to(greys)},{path.parent.name},{path.parent.name}{int(path.stem) // 3}"
        for path in sorted(greys.rglob("*.png"))
    ]
    (greys / "manifest.csv").write_text("\n".join(["file,label,study", *lines]) + "\n")
    found = evaluate(tiny_model, greys / "manifest.csv", None)
    assert (found["unit"], found["count"], found["images"]) == ("study", 10, 30)


def test_unreadable_files_are_named_and_left_out(greys: Path, tiny_model: Path) -> None:
    (greys / "normal" / "bad.png").write_bytes(b"no image")
    result = CliRunner().invoke(cli, ["evaluate", str(tiny_model), str(greys), "--json"])
    found = json.loads(result.stdout)
    assert list(found["unreadable"]) == ["normal/bad.png"]
    assert found["images"] == 30


def test_a_missing_split_is_refused(greys: Path, tiny_model: Path) -> None:
    with pytest.raises(DatasetError, match="both classes are needed in the test split"):
        evaluate(tiny_model, greys, "test")


def test_orientation_and_size_make_subgroups(greys: Path, tiny_model: Path) -> None:
    for number, path in enumerate(sorted(greys.rglob("*.png"))):
        if number % 2:
            with Image.open(path) as image:
                image.resize((700, 300)).save(path)
    found = evaluate(tiny_model, greys, None)
    counts = {(one["by"], one["value"]): one["count"] for one in found["subgroups"]}
    assert counts == {
        ("orientation", "landscape"): 15,
        ("orientation", "square"): 15,
        ("size", "600 px or more"): 15,
        ("size", "below 600 px"): 15,
    }


def test_warnings_are_counted(greys: Path, tiny_model: Path) -> None:
    found = evaluate(tiny_model, greys, None)
    assert found["warnings"]["images"] == 30
    assert found["warnings"]["kinds"]["blank"] == 30


def test_known_images_are_left_out_and_similar_ones_count_once(greys: Path, tiny_model: Path, tmp_path: Path) -> None:
    """A rotated copy of a known image, two copies of one image, and one image with both labels."""
    random, known, other = np.random.default_rng(3), tmp_path / "known", tmp_path / "other"
    pictures = [gaussian_filter(random.random((64, 64)), 3) for _ in range(30)]
    for folder in (known, other):
        for label in ("normal", "fractured"):
            (folder / label).mkdir(parents=True)

    def save(folder: Path, name: str, number: int, turns: int = 0) -> None:
        picture = np.rot90(pictures[number], turns)
        stretched = (picture - picture.min()) / np.ptp(picture) * 255
        Image.fromarray(stretched.astype(np.uint8)).save(folder / f"{name}.png")

    for number in range(10):
        save(known, f"{'normal' if number % 2 else 'fractured'}/{number}", number)
    for number in range(10, 28):
        save(other, f"{'normal' if number % 2 else 'fractured'}/{number}", number)
    save(other, "normal/turned", 3, turns=1)
    save(other, "normal/copy", 11, turns=2)
    save(other, "fractured/contradicts", 13)
    found = evaluate(tiny_model, other, None, known=known)
    assert found["external"] == {
        "images": 21,
        "unreadable": 0,
        "alike_to_known": 1,
        "contradictory": 2,
        "left": 18,
        "clusters": 17,
    }
    assert (found["unit"], found["count"], found["images"]) == ("study", 17, 18)
    with pytest.raises(DatasetError, match=r"every image of .* duplicates an image of"):
        evaluate(tiny_model, known, None, known=known)


def test_the_worst_mistakes_are_drawn(greys: Path, tiny_model: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(
        cli, ["evaluate", str(tiny_model), str(greys), "--failures", str(tmp_path / "wrong"), "--most", "2", "--json"]
    )
    found = json.loads(result.stdout)
    drawn = sorted(path.name for path in (tmp_path / "wrong").iterdir())
    counts = {kind: min(2, found["confusion"][cell]) for kind, cell in (("missed", "fn"), ("false_alarms", "fp"))}
    assert sum(counts.values()) > 0
    assert drawn == sorted(f"{kind}_{n:02d}.png" for kind, count in counts.items() for n in range(1, count + 1))
    assert {kind: len(files) for kind, files in found["failures"].items()} == counts
    for kind, files in found["failures"].items():
        assert all(file.startswith("fractured" if kind == "missed" else "normal") for file in files)
    again = CliRunner().invoke(cli, ["evaluate", str(tiny_model), str(greys), "--failures", str(tmp_path / "wrong")])
    assert again.exit_code == 2
    assert "not empty" in again.stderr


def test_the_command_prints_sensitivity_and_warnings(greys: Path, tiny_model: Path) -> None:
    printed = CliRunner().invoke(cli, ["evaluate", str(tiny_model), str(greys)]).stdout
    assert "sensitivity at specificity 0.7" in printed
    assert "warnings for 30 images: blank 30" in printed
    assert "clusters" not in printed


@pytest.mark.slow
def test_a_runs_own_split_is_compared_with_its_keras_model(finished_run: Callable[..., Run], tiny_model: Path) -> None:
    """The tiny model stands for a converted model with quite different predictions."""
    run = finished_run()
    random = np.random.default_rng(1)
    for row in run.catalogue.in_split("test"):
        path = run.catalogue.path(row)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((40, 40), int(random.integers(40, 120)) + 90 * row.label, np.uint8)).save(path)
    found = evaluate(tiny_model, run.path("catalogue.csv"), "test")
    compared, trained = found["against_run"], run.json("evaluation.json")["test"]
    assert compared["images"] == found["images"]
    assert compared["auroc"] == pytest.approx(trained["auroc"]["value"], abs=1e-5)
    assert compared["auroc_difference"]["value"] == pytest.approx(found["auroc"]["value"] - compared["auroc"], abs=2e-5)
    assert (
        compared["auroc_difference"]["low"]
        <= compared["auroc_difference"]["value"]
        <= compared["auroc_difference"]["high"]
    )
    threshold = run.json("evaluation.json")["threshold"]["value"]
    before = {line["file"]: float(line["fracture_probability"]) >= threshold for line in run.predictions("test")}
    with FractureClassifier(tiny_model) as classifier:
        after = {row.file: classifier.predict(run.catalogue.path(row)).label for row in run.catalogue.in_split("test")}
    assert compared["flips"] == sum(before[file] != (label == "fractured") for file, label in after.items())
    assert evaluate(tiny_model, run.path("catalogue.csv"), None)["against_run"] is None


def test_the_pointing_game_uses_the_map_of_the_model_file(shared_data: Path, tmp_path: Path) -> None:
    source, data = shared_data / "fracatlas", tmp_path / "data"
    for name in ("Fractured", "Non_fractured"):
        (data / "images" / name).mkdir(parents=True)
        for path in sorted((source / "images" / name).iterdir())[:16]:
            (data / "images" / name / path.name).symlink_to(path)
    for name in ("dataset.csv", BOX_FILES["fracatlas"]):
        (data / name).parent.mkdir(parents=True, exist_ok=True)
        (data / name).symlink_to(source / name)
    found = evaluate(shipped_model(), data, None)["pointing"]["all"]
    catalogue = read_dataset(data)
    boxes, hits = read_boxes(catalogue), 0
    with FractureClassifier() as classifier:
        for file, boxed in boxes.items():
            prediction, grey = classifier.predict_with_image(catalogue.root / file)
            assert prediction.activation_map is not None
            point = hottest_point(content_map(prediction.activation_map, classifier.spec, *grey.size))
            hits += point is not None and any(box.contains(*point) for box in boxed.boxes)
    assert found["images"] == len(boxes) == 16
    assert found["share"]["value"] == pytest.approx(hits / 16, abs=1e-4)

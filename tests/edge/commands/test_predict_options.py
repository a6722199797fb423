"""The options of `osteolite predict`, and the warnings of the shipped model."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from osteolite.edge import FractureClassifier, Prediction
from osteolite.edge.errors import ModelFileError
from osteolite.edge.modelfile.shipped import shipped_model
from osteolite.edge.prediction.rows import heatmap_path, predict_rows

SCRIPT = Path(sys.executable).with_name("osteolite")


def predict(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [str(SCRIPT), "predict", *map(str, arguments), "--format", "jsonl"]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=cwd, check=False)


def rows(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    folder = tmp_path / "scans"
    (folder / "ward").mkdir(parents=True)
    noise = np.random.default_rng(0).integers(0, 256, (60, 40), np.uint8)
    for name in ("a.png", "ward/a.png", "b.jpg"):
        Image.fromarray(noise).save(folder / name)
    return folder


def test_heatmaps_are_written_into_the_folder(scans: Path, tmp_path: Path) -> None:
    done = predict("scans", "--heatmap", "maps", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    found = [tmp_path / row["heatmap"] for row in rows(done)]
    names = ("a.png", "b.jpg", "ward/a.png")
    assert found == [tmp_path / "maps" / "scans" / f"{name}.heatmap.jpg" for name in names]
    for path in found:
        with Image.open(path) as picture:
            assert (picture.size, picture.mode) == ((40, 60), "RGB")


@pytest.mark.parametrize("name", ["../../a.png", "/x/a.png", "./a.png", "b/../a.png", "/../a.png"])
def test_the_heatmap_of_any_path_stays_in_the_folder(name: str) -> None:
    path = heatmap_path(Path("maps"), name)
    assert path.parts[0] == "maps"
    assert ".." not in path.parts
    assert path.name == "a.png.heatmap.jpg"


def test_a_heatmap_that_cannot_be_written_is_one_line(scans: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = predict(scans, "--heatmap", tmp_path / "file")
    assert done.returncode == 1
    assert "the heatmap cannot be written" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_heatmap_is_drawn_only_if_requested(scans: Path) -> None:
    with FractureClassifier() as classifier:
        prediction = classifier.predict(scans / "a.png", heatmap=True)
        assert prediction.heatmap is not None
        assert prediction.activation_map is not None
        assert "draw" in prediction.milliseconds
        assert classifier.predict(scans / "a.png").heatmap is None
        assert prediction.activation_map.shape == classifier.session.map_shape


def test_a_model_without_a_map_refuses_to_draw(scans: Path, tiny_model: Path, tmp_path: Path) -> None:
    with FractureClassifier(tiny_model) as classifier, pytest.raises(ModelFileError, match="no activation map"):
        list(predict_rows(classifier, [str(scans / "a.png")], tmp_path))


def test_the_row_names_the_delegate(scans: Path, tiny_model: Path) -> None:
    for delegate, applied in (("cpu", "none"), ("xnnpack", "xnnpack")):
        (row, *_) = rows(predict(scans, "--model", tiny_model, "--delegate", delegate))
        assert (row["delegate"]["asked"], row["delegate"]["applied"]) == (delegate, applied)
        assert row["delegate"]["taken"] == (0 if applied == "none" else row["delegate"]["of"])


def test_an_unavailable_delegate_is_an_error_or_with_fallback_a_warning(scans: Path, tiny_model: Path) -> None:
    refused = predict(scans, "--model", tiny_model, "--delegate", "nnapi")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "Android" in refused.stderr
    assert refused.stderr.count("\n") == 1
    fallen = predict(scans, "--model", tiny_model, "--delegate", "nnapi", "--fallback")
    assert fallen.returncode == 0
    assert fallen.stderr.startswith("osteolite: warning: delegate nnapi")
    assert fallen.stderr.count("\n") == 1
    assert all("Android" in row["delegate"]["reason"] for row in rows(fallen))


@pytest.mark.parametrize(
    ("option", "value", "error"),
    [("--max-pixels", "2000", "ImageTooLarge"), ("--max-bytes", "100", "ImageTooLarge")],
)
def test_an_image_over_a_limit_is_refused(scans: Path, tiny_model: Path, option: str, value: str, error: str) -> None:
    done = predict(scans / "a.png", "--model", tiny_model, option, value)
    assert done.returncode == 1
    assert rows(done)[0]["error"]["type"] == error


@pytest.mark.parametrize("option", ["--max-pixels", "--max-bytes", "--max-seconds", "--threads"])
def test_a_limit_of_0_is_refused(scans: Path, option: str) -> None:
    assert predict(scans, option, "0").returncode == 2


def test_the_number_of_threads_does_not_change_the_result(scans: Path, tiny_model: Path) -> None:
    one, many = (rows(predict(scans, "--model", tiny_model, "--threads", n)) for n in ("1", "3"))
    assert [row["fracture_probability"] for row in one] == [row["fracture_probability"] for row in many]


def test_a_ct_image_is_scored_only_with_any_modality(shared_data: Path) -> None:
    scan = shared_data / "dicom" / "CT_small.dcm"
    refused = rows(predict(scan))[0]["error"]
    assert refused["type"] == "UnsupportedImage"
    assert "CT" in refused["message"]
    assert "fracture_probability" in rows(predict(scan, "--any-modality"))[0]


def test_a_dicom_radiograph_is_scored_with_other_images(shared_data: Path, scans: Path) -> None:
    found = rows(predict(shared_data / "dicom" / "RG3_J2KR.dcm", scans / "a.png"))
    assert all(0 <= row["fracture_probability"] <= 1 for row in found)


# The shipped model


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("cat_720p.jpg", {"coloured", "unfamiliar"}),
        ("sunflower.bmp", {"coloured", "unfamiliar"}),
        ("coins.png", {"unfamiliar"}),
        ("grass.png", {"unfamiliar"}),
    ],
)
def test_photographs_are_warned_about(shared_data: Path, name: str, kinds: set[str]) -> None:
    with FractureClassifier() as classifier:
        prediction = classifier.predict(shared_data / "ood" / name)
    assert set(prediction.warnings) == kinds
    assert prediction.ood_score is not None
    assert prediction.ood_score > 1


def test_few_radiographs_and_most_negatives_are_warned_about(shared_data: Path) -> None:
    files = sorted((shared_data / "fracatlas" / "images" / "Non_fractured").iterdir())[::80]
    assert len(files) > 30
    with FractureClassifier(shipped_model()) as classifier:
        plain = classifier.predict_batch(files)
        pictures = []
        for path in files:
            with Image.open(path) as image:
                pictures.append(Image.fromarray(255 - np.asarray(image.convert("L"))))
        negatives = classifier.predict_batch(pictures)
    warnings = [result.warnings for result in plain if isinstance(result, Prediction)]
    of_negatives = [result.warnings for result in negatives if isinstance(result, Prediction)]
    assert len(warnings) == len(of_negatives) == len(files)
    assert sum(map(bool, warnings)) <= 0.1 * len(files)
    assert sum("inverted" in found for found in of_negatives) >= 0.8 * len(files)

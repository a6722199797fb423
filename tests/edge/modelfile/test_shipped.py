"""The models that ship with the package."""

import hashlib
import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

from osteolite.edge import FractureClassifier
from osteolite.edge.cli import cli
from osteolite.edge.errors import UsageError
from osteolite.edge.modelfile.archive import read_description
from osteolite.edge.modelfile.description import ModelDescription
from osteolite.edge.modelfile.inspection import inspect_model
from osteolite.edge.modelfile.shipped import SHIPPED, shipped_model


@pytest.mark.parametrize(("name", "most"), [("base", 3_000_000), ("small", 1_000_000), ("tiny", 400_000)])
def test_each_model_is_small_has_passed_the_gate_and_names_its_data(name: str, most: int) -> None:
    path = shipped_model(name)
    content, about = path.read_bytes(), read_description(path).details
    assert len(content) <= most
    assert about["gate"]["passed"] is True
    assert about["evaluation"]["auroc"]["value"] >= 0.9
    card = (path.parent / "README.md").read_text()
    for word in ("FracAtlas", "10.1038/s41597-023-02432-4", "CC BY 4.0"):
        assert word in about["attribution"]
        assert word in card
    for words in (hashlib.sha256(content).hexdigest(), f"{len(content):,}", about["flatbuffer"]["sha256"]):
        assert words in card


@pytest.mark.parametrize("name", SHIPPED)
def test_each_model_scores_an_image(name: str) -> None:
    prediction = FractureClassifier(shipped_model(name)).predict(Image.new("L", (300, 400)))
    assert 0 <= prediction.fracture_probability <= 1
    assert prediction.model == Path(SHIPPED[name]).stem


def test_no_other_model_ships() -> None:
    assert {path.name for path in shipped_model().parent.glob("*.tflite")} == set(SHIPPED.values())


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "grey.png"
    Image.new("L", (30, 40), 90).save(path)
    return path


@pytest.mark.parametrize(("arguments", "name"), [([], "base"), *((["--model", name], name) for name in SHIPPED)])
def test_predict_takes_the_name_of_a_shipped_model(picture: Path, arguments: list[str], name: str) -> None:
    assert predicted(picture, *arguments) == Path(SHIPPED[name]).stem


def test_a_file_takes_precedence_over_a_shipped_model(
    tiny_model: Path, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(picture.parent)
    Path("base").write_bytes(tiny_model.read_bytes())
    assert predicted(picture, "--model", "base") == FractureClassifier(tiny_model).description.name


def predicted(image: Path, *arguments: str) -> str:
    """Score an image on the command line and return the name of the model."""
    done = CliRunner().invoke(cli, ["predict", str(image), "--format", "jsonl", *arguments])
    name: str = json.loads(done.stdout)["model"]
    return name


def test_an_unknown_name_is_refused_with_the_names_allowed() -> None:
    with pytest.raises(UsageError, match="no shipped model 'large'; allowed are base, small, tiny"):
        shipped_model("large")


def test_the_operating_points_enclose_the_metrics_at_the_threshold() -> None:
    about = read_description(shipped_model())
    assert isinstance(about, ModelDescription)
    evaluation = about.details["evaluation"]
    points = evaluation["operating_points"]
    assert len(points) == 99
    below = max(point for point in points if point[0] <= about.threshold)
    above = min(point for point in points if point[0] > about.threshold)
    rounding = 1e-4
    assert below[1] + rounding >= evaluation["sensitivity"]["value"] >= above[1] - rounding
    assert below[2] - rounding <= evaluation["specificity"]["value"] <= above[2] + rounding


def test_full_size_radiographs_are_ranked_correctly(shared_data: Path) -> None:
    """Fifteen originals of about 2304 x 2880 pixels: all fractured ones get higher probabilities than the others."""
    classifier = FractureClassifier()
    folder = shared_data / "fracatlas" / "fullres"
    scores = {
        name: [classifier.predict(path).fracture_probability for path in sorted((folder / name).iterdir())]
        for name in ("Fractured", "Non_fractured")
    }
    assert min(scores["Fractured"]) > max(scores["Non_fractured"])


def test_inspect_summarises_long_lists() -> None:
    shown = inspect_model(shipped_model())
    assert shown["evaluation"]["operating_points"] == 99
    limits = shown["out_of_distribution"]
    assert (limits["features"], limits["directions"]) == (192, 48)
    assert set(limits) == {"limit", "features", "directions"}

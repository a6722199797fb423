"""The model that ships with the package."""

import hashlib
from pathlib import Path

from PIL import Image

from osteolite.edge import FractureClassifier
from osteolite.edge.classifier import default_model
from osteolite.edge.inspection import inspect_model
from osteolite.edge.modelfile import read_description


def test_it_answers_at_once() -> None:
    prediction = FractureClassifier().predict(Image.new("L", (300, 400)))
    assert 0 <= prediction.fracture_probability <= 1
    assert prediction.model == "fracatlas_mobilenetv2_selective_int8"


def test_it_is_small_passed_the_gate_and_names_its_data() -> None:
    about = read_description(default_model()).details
    assert default_model().stat().st_size <= 3_000_000
    assert about["gate"]["passed"] is True
    assert about["evaluation"]["auroc"]["value"] >= 0.88
    for word in ("FracAtlas", "10.1038/s41597-023-02432-4", "CC BY 4.0"):
        assert word in about["attribution"]
        assert word in (default_model().parent / "README.md").read_text()


def test_its_card_names_this_very_file() -> None:
    content = default_model().read_bytes()
    card = (default_model().parent / "README.md").read_text()
    flatbuffer = read_description(default_model()).details["flatbuffer"]
    for words in (hashlib.sha256(content).hexdigest(), f"{len(content):,} bytes", flatbuffer["sha256"]):
        assert words in card


def test_its_operating_points_lie_about_the_figures_at_its_threshold() -> None:
    about = read_description(default_model())
    evaluation = about.details["evaluation"]
    points = evaluation["operating_points"]
    assert len(points) == 99
    below = max(point for point in points if point[0] <= about.threshold)
    above = min(point for point in points if point[0] > about.threshold)
    rounding = 1e-4
    assert below[1] + rounding >= evaluation["sensitivity"]["value"] >= above[1] - rounding
    assert below[2] - rounding <= evaluation["specificity"]["value"] <= above[2] + rounding


def test_it_reads_full_size_radiographs(shared_data: Path) -> None:
    """The fifteen originals of some 2304 x 2880 pixels: the fractured ones must get the higher probabilities."""
    classifier = FractureClassifier()
    folder = shared_data / "fracatlas" / "fullres"
    scores = {
        name: [classifier.predict(path).fracture_probability for path in sorted((folder / name).iterdir())]
        for name in ("Fractured", "Non_fractured")
    }
    assert min(scores["Fractured"]) > max(scores["Non_fractured"])


def test_what_is_shown_of_it_has_no_thousands_of_numbers() -> None:
    shown = inspect_model(default_model())
    assert shown["evaluation"]["operating_points"] == 99
    limits = shown["out_of_distribution"]
    assert (limits["features"], limits["directions"]) == (192, 48)
    assert set(limits) == {"limit", "features", "directions"}

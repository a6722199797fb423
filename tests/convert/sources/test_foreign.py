"""Conversion of classifiers that another program trained."""

import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from osteolite.convert.convert import convert
from osteolite.convert.sources.foreign import foreign_subject
from osteolite.edge.errors import DatasetError, ModelFileError, UsageError
from osteolite.edge.inference.opening import open_session
from osteolite.edge.labels import LABELS
from osteolite.edge.modelfile.archive import read_description
from osteolite.edge.prediction.classifier import FractureClassifier
from osteolite.train.data.phantoms import write_phantoms
from osteolite.train.keras import tf

OSTEOLITE = str(Path(sys.executable).with_name("osteolite"))
SHAPE = (32, 32, 1)
RECIPE = """
extends = "phantoms"
name = "foreign"
[preprocessing]
width = 32
height = 32
[gate]
agreement = 0.5
sensitivity_loss = 0.5
auroc_loss = 0.5
[conversion]
variants = ["float32", "int8"]
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Phantoms; the fractured ones are brighter."""
    folder = tmp_path_factory.mktemp("data")
    write_phantoms(folder, 120, 3)
    for path in (folder / "fractured").iterdir():
        with Image.open(path) as image:
            image.point(lambda level: min(255, level + 60)).save(path)
    return folder


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("recipe") / "foreign.toml"
    path.write_text(RECIPE)
    return str(path)


def saved_model(model: Any, path: Path) -> Path:
    tf.saved_model.save(model, str(path))
    return path


def keras_file(suffix: str) -> Callable[[Any, Path], Path]:
    def save(model: Any, path: Path) -> Path:
        model.save(path.with_suffix(suffix))
        return path.with_suffix(suffix)

    return save


def tflite(model: Any, path: Path) -> Path:
    """A file with an open batch, as most people export it."""
    path = path.with_suffix(".tflite")
    path.write_bytes(tf.lite.TFLiteConverter.from_keras_model(model).convert())
    return path


FORMATS: dict[str, Callable[[Any, Path], Path]] = {
    "saved_model": saved_model,
    ".keras": keras_file(".keras"),
    ".h5": keras_file(".h5"),
    ".tflite": tflite,
}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
@pytest.mark.parametrize("save", FORMATS.values(), ids=FORMATS)
def test_a_sigmoid_network_of_any_format_converts_to_the_same_logits(
    save: Callable[[Any, Path], Path], network: Callable[..., Any], data: Path, recipe: str, tmp_path: Path
) -> None:
    model = network()
    path = save(model, tmp_path / "net")
    subject = foreign_subject(path, data, recipe, ())
    results = convert(subject, (), tmp_path / "out")
    assert [result.file is not None for result in results] == [True, True]
    assert results[0].verdict.agreement == 1.0
    assert results[0].verdict.largest_difference < 1e-4
    classifier = FractureClassifier(results[0].file)
    image = sorted((data / "fractured").iterdir())[0]
    assert 0.0 < classifier.predict(image).fracture_probability < 1.0
    assert classifier.session.input_shape == (1, *SHAPE)
    tensor = subject.tensors[0]
    given = float(np.asarray(model(tensor))[0, 0])
    assert float(classifier.session.invoke(tensor)[0, 0]) == pytest.approx(np.log(given / (1 - given)), abs=1e-3)
    assert classifier.description.details["original"]["name"] == path.name


@pytest.mark.slow
def test_two_outputs_are_merged_into_one_logit(
    network: Callable[..., Any], data: Path, recipe: str, tmp_path: Path
) -> None:
    model = network(2, "softmax")
    path = saved_model(model, tmp_path / "two")
    with pytest.raises(UsageError, match="has two outputs; name them in order by --labels"):
        foreign_subject(path, data, recipe, ())
    with pytest.raises(UsageError, match="as if high outputs meant normal; if they do, say --labels normal,fractured"):
        foreign_subject(path, data, recipe, ("fractured", "normal"))
    subject = foreign_subject(path, data, recipe, ("normal", "fractured"))
    session = open_session(subject.float32())
    assert session.output_shape == (1, 1)
    for tensor in subject.tensors[:10]:
        normal, fractured = np.asarray(model(tensor))[0]
        assert float(session.invoke(tensor)[0, 0]) == pytest.approx(np.log(fractured / normal), abs=1e-3)


@pytest.mark.slow
def test_other_classes_are_judged_by_the_originals_predictions(
    network: Callable[..., Any], data: Path, recipe: str, tmp_path: Path
) -> None:
    path = saved_model(network(4, "softmax"), tmp_path / "four")
    subject = foreign_subject(path, data, recipe, ("hand", "leg", "hip", "shoulder"))
    (result,) = convert(subject, ("float32",), tmp_path / "out")
    assert result.file is not None
    about = read_description(result.file).details
    assert (about["kind"], about["labels"]) == ("classes", ["hand", "leg", "hip", "shoulder"])
    assert result.verdict.agreement == 1.0
    with zipfile.ZipFile(result.file) as archive:
        assert archive.read("labels.txt").decode() == "hand\nleg\nhip\nshoulder"
    with pytest.raises(ModelFileError, match="a model of kind classes"):
        FractureClassifier(result.file)
    with pytest.raises(UsageError, match=r"--labels has 3 names; .* needs 4"):
        foreign_subject(path, data, recipe, ("a", "b", "c"))


@pytest.mark.slow
def test_an_osteolite_file_supplies_preprocessing_threshold_and_calibration(phantom_run: Path, tmp_path: Path) -> None:
    file = phantom_run / "models" / "phantoms_float32.tflite"
    about = read_description(file).details
    subject = foreign_subject(file, phantom_run.parent / "phantoms-data", None, ())
    assert subject.name == "phantoms"
    assert subject.description["preprocessing"] == about["preprocessing"]
    for key in ("threshold", "probability_calibration", "training", "evaluation"):
        assert subject.description[key] == about[key]


@pytest.mark.slow
def test_an_output_that_means_normal_is_detected(
    network: Callable[..., Any], data: Path, recipe: str, tmp_path: Path
) -> None:
    path = saved_model(network(sign=-1), tmp_path / "net")
    with pytest.raises(UsageError, match="as if high outputs meant normal; if they do, say --labels fractured,normal"):
        foreign_subject(path, data, recipe, ())
    subject = foreign_subject(path, data, recipe, ("fractured", "normal"))
    (result,) = convert(subject, ("float32",), tmp_path / "out")
    assert result.file is not None
    classifier = FractureClassifier(result.file)
    scores = [classifier.predict(sorted((data / label).iterdir())[0]).fracture_probability for label in LABELS]
    assert scores[0] < 0.5 < scores[1]


def test_data_of_one_class_is_refused(tiny: Any, tmp_path: Path, recipe: str) -> None:
    (tmp_path / "data" / "normal").mkdir(parents=True)
    Image.new("L", (40, 40)).save(tmp_path / "data" / "normal" / "a.png")
    (tmp_path / "net.tflite").write_bytes(tiny.mean())
    with pytest.raises(DatasetError, match=r"must have images of both classes|the layout of .* is unknown"):
        foreign_subject(tmp_path / "net.tflite", tmp_path / "data", recipe, ())


@pytest.mark.slow
def test_coloured_calibration_images_give_a_warning(
    tiny: Any, tmp_path: Path, recipe: str, capsys: pytest.CaptureFixture[str]
) -> None:
    random = np.random.default_rng(0)
    for label, level in (("fractured", 200), ("normal", 60)):
        folder = tmp_path / "data" / label
        folder.mkdir(parents=True)
        for number in range(30):
            pixels = random.integers(0, 55, (40, 40, 3)) + np.array([level, level // 2, 0])
            Image.fromarray(np.repeat(np.repeat(pixels.astype(np.uint8), 2, 0), 2, 1)).save(folder / f"{number}.png")
    (tmp_path / "net.tflite").write_bytes(tiny.mean())
    subject = foreign_subject(tmp_path / "net.tflite", tmp_path / "data", recipe, ())
    convert(subject, ("float32",), tmp_path / "out")
    text = " ".join(capsys.readouterr().err.split())
    assert "calibration images are coloured, which radiographs are not" in text
    summary = json.loads((tmp_path / "out" / "conversion.json").read_text())
    assert "are coloured" in summary["quantisation_calibration"]["warnings"][0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["NET"], "is not a run; name a folder of labelled radiographs by --calibration and a target by --out"),
        (["NET", "--calibration", "DATA", "--out", "OUT"], "does not say how its images were preprocessed"),
        (["NET", "--calibration", "DATA", "--out", "OUT", "--variants", "int3"], "no variant int3"),
        (
            ["NET", "--calibration", "/nowhere", "--out", "OUT", "--recipe", "RECIPE"],
            "/nowhere is neither a folder nor a .csv file",
        ),
    ],
)
def test_a_wrong_call_is_refused_and_writes_nothing(
    arguments: list[str], message: str, tiny: Any, data: Path, recipe: str, tmp_path: Path
) -> None:
    (tmp_path / "net.tflite").write_bytes(tiny.mean())
    names = {"NET": tmp_path / "net.tflite", "DATA": data, "OUT": tmp_path / "out", "RECIPE": recipe}
    command = [OSTEOLITE, "convert", *(str(names.get(one, one)) for one in arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()

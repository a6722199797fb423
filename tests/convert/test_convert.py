"""Released files, refusals and wrong calls of `osteolite convert`."""

import json
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from osteolite.convert.convert import convert
from osteolite.convert.sources.calibration_data import calibration_data
from osteolite.convert.sources.subject import Subject, subject_of
from osteolite.edge.inference.opening import open_session
from osteolite.edge.modelfile.archive import read_description
from osteolite.edge.prediction.classifier import FractureClassifier
from osteolite.train.runs.run_folder import Run

OSTEOLITE = str(Path(sys.executable).with_name("osteolite"))
VARIANTS = ("float32", "float16", "dynamic", "int8")


def model(run: Path, variant: str) -> Path:
    return run / "models" / f"phantoms_{variant}.tflite"


def points_of(lines: list[dict[str, str]]) -> list[list[float]]:
    """Lists [threshold, sensitivity, specificity], counted line by line."""
    points = []
    for percent in range(1, 100):
        called = [(line["label"], float(line["fracture_probability"]) >= percent / 100) for line in lines]
        fractured, normal = ([call for label, call in called if label == which] for which in "10")
        shares = sum(fractured) / len(fractured), 1 - sum(normal) / len(normal)
        points.append([percent / 100, *(round(share, 4) for share in shares)])
    return points


@pytest.fixture
def own_run(phantom_run: Path, tmp_path: Path) -> Path:
    """A copy of the run that a test may change."""
    return Path(shutil.copytree(phantom_run, tmp_path / "run", ignore=shutil.ignore_patterns("cache", "checkpoints")))


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_released_file_takes_one_float_image(phantom_run: Path, variant: str) -> None:
    session = open_session(model(phantom_run, variant))
    assert session.input_shape == (1, 112, 112, 1)
    answer = session.invoke(np.zeros(session.input_shape, np.float32))
    assert answer.shape == (1, 1)
    assert answer.dtype == np.float32
    assert np.isfinite(answer).all()


def test_quantised_files_are_smaller(phantom_run: Path) -> None:
    size = {variant: model(phantom_run, variant).stat().st_size for variant in VARIANTS}
    assert size["float16"] < 0.6 * size["float32"]
    assert size["int8"] < 0.45 * size["float32"]


def test_the_description_matches_the_run(phantom_run: Path) -> None:
    with zipfile.ZipFile(model(phantom_run, "int8")) as archive:
        about = json.loads(archive.read("osteolite.json"))
    evaluation = json.loads((phantom_run / "evaluation.json").read_text())
    assert about["threshold"] == evaluation["threshold"]
    assert about["activation_map"] == [4, 4]
    assert about["gate"]["passed"] is True
    assert about["gate"]["images"] == evaluation["validation"]["images"]
    assert about["quantisation_calibration"]["images"] == 200
    assert about["training"]["images"]["test"] == evaluation["test"]["images"]
    assert about["evaluation"]["auroc"] == evaluation["test"]["auroc"]
    assert about["evaluation"]["operating_points"] == points_of(Run(phantom_run).predictions("test"))
    assert read_description(model(phantom_run, "int8")).variant == "int8"


def test_half_of_the_calibration_images_are_fractured(phantom_run: Path) -> None:
    run = Run.open(phantom_run)
    rows, spec = run.catalogue.in_split("train"), run.recipe.preprocessing
    data = calibration_data(run.catalogue, rows, spec, 10)
    assert len(data.tensors) == 10
    assert data.strata == {"fractured": 5, "normal": 5}
    assert data.sha256 == calibration_data(run.catalogue, rows, spec, 10).sha256
    assert data.sha256 != calibration_data(run.catalogue, rows[::-1], spec, 10).sha256
    assert len(calibration_data(run.catalogue, rows, spec, 10**6).tensors) == len(rows)


@pytest.mark.slow
def test_a_variant_with_a_wrong_range_is_refused_and_its_old_file_deleted(own_run: Path) -> None:
    """Calibrated on images a hundred times too faint, int8 clips all other images."""
    subject = subject_of(Run.open(own_run), None)
    faint = [tensor * np.float32(0.01) for tensor in subject.calibration.tensors]
    released = model(own_run, "int8")
    assert released.is_file()
    too_faint = replace(subject, calibration=replace(subject.calibration, tensors=faint))
    (result,) = convert(too_faint, ("int8",), own_run / "models")
    assert not result.verdict.passed
    assert result.verdict.reasons
    assert result.file is None
    assert not released.exists()
    summary = json.loads((own_run / "models" / "conversion.json").read_text())
    assert summary["variants"][0]["file"] is None
    assert summary["variants"][0]["gate"]["reasons"] == list(result.verdict.reasons)


@pytest.mark.slow
def test_a_conversion_traces_the_model_once(subject: Subject, tmp_path: Path) -> None:
    traces: list[str] = []

    def float32() -> bytes:
        traces.append("trace")
        return subject.float32()

    convert(replace(subject, float32=float32), ("float32", "float16", "dynamic", "int8"), tmp_path)
    assert traces == ["trace"]


@pytest.mark.slow
def test_a_mean_shift_of_the_logit_is_corrected_in_the_probability(subject: Subject, tmp_path: Path) -> None:
    """A quantised network's mean logit differs from float32's; the intercept makes up for it."""
    (result,) = convert(subject, ("int8_int8",), tmp_path)
    assert result.file is not None
    classifier = FractureClassifier(result.file)
    about = classifier.description.details["probability_calibration"]
    before = subject.description["probability_calibration"]
    assert about["intercept"] == pytest.approx(before["intercept"] - before["slope"] * about["logit_shift"])
    reference = open_session(subject.float32())
    inputs = subject.calibration.tensors
    shift = np.mean([classifier.session.invoke(t) for t in inputs]) - np.mean([reference.invoke(t) for t in inputs])
    assert about["logit_shift"] == pytest.approx(float(shift), abs=1e-5)
    corrected = classifier.description.slope * about["logit_shift"] + classifier.description.intercept
    assert corrected == pytest.approx(before["intercept"])


@pytest.mark.slow
def test_a_refusal_names_reasons_operators_and_advice(tmp_path: Path, subject: Subject) -> None:
    faint = [tensor * np.float32(0.02) for tensor in subject.calibration.tensors]
    too_faint = replace(subject, calibration=replace(subject.calibration, tensors=faint))
    (result,) = convert(too_faint, ("int8",), tmp_path)
    assert result.file is None
    for words in ("of the decisions agree", "the error starts at", "of its signal)", "take selective_int8 or qat_int8"):
        assert words in result.reasons
    assert list(tmp_path.glob("*.tflite")) == []


@pytest.mark.slow
def test_calibration_data_of_another_range_gives_a_warning(
    tmp_path: Path, subject: Subject, capsys: pytest.CaptureFixture[str]
) -> None:
    faint = [tensor * np.float32(0.3) for tensor in subject.calibration.tensors]
    too_faint = replace(subject, calibration=replace(subject.calibration, tensors=faint))
    convert(too_faint, ("int8",), tmp_path)
    text = " ".join(capsys.readouterr().err.split())
    assert "validation images exceed the range of the calibration data by" in text
    about = json.loads((tmp_path / "conversion.json").read_text())["quantisation_calibration"]
    faint_share = about["excess"]["share"]
    assert faint_share > 0.25
    assert len(about["warnings"]) == 1
    convert(subject, ("int8",), tmp_path)
    about = json.loads((tmp_path / "conversion.json").read_text())["quantisation_calibration"]
    assert about["excess"]["share"] < faint_share / 3
    assert len(about["warnings"]) == (about["excess"]["share"] >= 0.25)  # with few phantoms it may be large


@pytest.mark.slow
def test_a_refusal_gives_exit_code_3_and_the_reason(own_run: Path) -> None:
    recipe = own_run / "recipe.toml"
    recipe.write_text(recipe.read_text().replace("agreement = 0.97\n", "agreement = 1.01\n"))
    result = subprocess.run(
        [OSTEOLITE, "convert", str(own_run), "--variants", "float32", "--out", str(own_run / "out")],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert result.returncode == 3, result.stderr
    assert "refused" in result.stdout
    assert "of the decisions agree; at least 101.0% must" in result.stderr
    assert list((own_run / "out").glob("*.tflite")) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["RUN", "--variants", "int3"], "no variant int3; choose all, or some of float32"),
        (["/nowhere"], "is not a run folder"),
        (["RUN", "--recipe", "phantoms"], "is a run and has its own recipe and labels"),
        (["RUN", "--calibration", "/nowhere"], "/nowhere is neither a folder nor a .csv file"),
    ],
)
def test_a_wrong_call_is_refused_with_a_message(phantom_run: Path, arguments: list[str], message: str) -> None:
    filled = [str(phantom_run) if a == "RUN" else a for a in arguments]
    result = subprocess.run([OSTEOLITE, "convert", *filled], capture_output=True, text=True, timeout=300, check=False)
    assert result.returncode == 2
    assert message in result.stderr

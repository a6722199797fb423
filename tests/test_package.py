"""The package as a user gets it: a wheel, in an environment that contains nothing else of this project."""

import json
import shutil
import subprocess
import sys
import tomllib
import venv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from osteolite.demo.phone.folder import page_contents
from osteolite.edge import FractureClassifier
from osteolite.edge.imaging.radiograph import read_radiograph
from osteolite.edge.modelfile.shipped import shipped_model
from osteolite.edge.preprocess import fit
from osteolite.train.data.phantoms import write_phantoms

ROOT = Path(__file__).parents[1]
ROOMS = ("edge", "train", "convert", "benchmarks", "demo")


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_every_folder_with_python_files_is_a_package_of_the_distribution() -> None:
    files = (path for room in ROOMS for path in (ROOT / room).rglob("*.py"))
    folders = {".".join(("osteolite", *path.parent.relative_to(ROOT).parts)) for path in files}
    packages = project()["tool"]["setuptools"]["packages"]
    assert sorted(packages) == sorted(folders)


def test_citation_names_the_version_and_licence_of_the_package() -> None:
    about = project()["project"]
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {about['version']}\n" in citation
    assert f"\nlicense: {about['license']}\n" in citation


def call(*command: str | Path) -> str:
    result = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=500, check=False)
    assert result.returncode == 0, result.stderr[-3000:]
    return result.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    # A copy: setuptools would build in the source tree and add the modules that an earlier build left there.
    ignored = shutil.ignore_patterns(".*", "build", "results", "tests", "__pycache__")
    shutil.copytree(ROOT, folder / "source", ignore=ignored)
    call(sys.executable, "-m", "build", "--wheel", "--outdir", folder, folder / "source")
    (path,) = folder.glob("*.whl")
    return path


def environment(folder: Path, *requirements: str) -> Path:
    venv.create(folder, with_pip=True)
    call(folder / "bin" / "python", "-m", "pip", "install", "--quiet", *requirements)
    return folder / "bin"


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_phantoms(tmp_path_factory.mktemp("images"), 4, 7)


@pytest.mark.slow
def test_edge_alone_scores_with_the_shipped_model(wheel: Path, images: Path, tmp_path: Path) -> None:
    tools = environment(tmp_path, str(wheel))
    names = {package["name"] for package in json.loads(call(tools / "python", "-m", "pip", "list", "--format=json"))}
    assert {"osteolite", "numpy", "pillow", "ai-edge-litert", "click"} <= names
    assert not names & {"tensorflow", "scikit-learn", "gradio", "rich", "matplotlib", "scipy"}
    lines = call(tools / "osteolite", "predict", images, "--format", "jsonl").splitlines()
    reference = FractureClassifier()
    assert len(lines) == 4
    for line in map(json.loads, lines):
        assert line["model"] == "osteolite_base_int8"
        expected = reference.predict(line["file"]).fracture_probability
        assert line["fracture_probability"] == pytest.approx(expected, abs=1e-5)
    assert json.loads(call(tools / "osteolite", "doctor", "--json"))["works"] is True
    page = tmp_path / "page"
    call(tools / "osteolite", "phone", "--out", page)  # needs no extra either
    written = {path.relative_to(page).as_posix(): path.read_bytes() for path in page.rglob("*") if path.is_file()}
    assert written == page_contents()


@pytest.mark.slow
def test_command_of_a_missing_extra_says_how_to_install_it(wheel: Path, images: Path, tmp_path: Path) -> None:
    tools = environment(tmp_path, str(wheel))
    convert = ["convert", str(shipped_model()), "--calibration", str(images), "--out", str(tmp_path / "out")]
    bench = ["bench", str(shipped_model())]
    calls = ((bench, "bench"), (["demo"], "demo"), (["phone", "--serve"], "phone"), (convert, "convert"))
    for arguments, extra in calls:
        result = subprocess.run([tools / "osteolite", *arguments], capture_output=True, text=True, check=False)
        assert result.returncode == 2
        assert f"pip install 'osteolite[{extra}]'" in result.stderr
        assert result.stderr.count("\n") == 1


@pytest.mark.slow
@pytest.mark.skipif(sys.version_info >= (3, 12), reason="tflite-runtime has no build for Python 3.12")
def test_tflite_runtime_gives_the_same_predictions(wheel: Path, images: Path, tmp_path: Path) -> None:
    tools = environment(tmp_path, f"{wheel}[tflite]")
    call(tools / "python", "-m", "pip", "uninstall", "--quiet", "--yes", "ai-edge-litert")  # as on a 32-bit board
    doctor = json.loads(call(tools / "osteolite", "doctor", "--json"))
    assert doctor["runtime"] == "tflite-runtime 2.14.0"
    reference = FractureClassifier()
    for line in map(json.loads, call(tools / "osteolite", "predict", images, "--format", "jsonl").splitlines()):
        expected = reference.predict(line["file"]).fracture_probability
        assert line["fracture_probability"] == pytest.approx(expected, abs=0.05)  # older kernels round differently


_MEDIAPIPE = """
import json, sys
import mediapipe
import numpy as np
from mediapipe.tasks.python import BaseOptions, vision
options = vision.ImageClassifierOptions(base_options=BaseOptions(model_asset_path=sys.argv[1]))
with vision.ImageClassifier.create_from_options(options) as classifier:
    for pixels in np.load(sys.argv[2]):
        image = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=pixels)
        (category,) = classifier.classify(image).classifications[0].categories
        print(json.dumps([category.category_name, category.score]))
"""


@pytest.mark.slow
def test_mediapipe_agrees_on_real_radiographs_using_the_metadata_alone(tmp_path: Path, shared_data: Path) -> None:
    """The metadata of the shipped file gives MediaPipe the normalisation, the label and the logit's calibration."""
    tools = environment(tmp_path / "env", "mediapipe==1.2.2")
    reference = FractureClassifier()
    spec = reference.description.preprocessing
    folders = [shared_data / "fracatlas/images" / label for label in ("Fractured", "Non_fractured")]
    chosen = [file for folder in folders for file in sorted(folder.iterdir())][::200]
    fitted = [fit(read_radiograph(file, spec), spec) for file in chosen]
    np.save(tmp_path / "pixels.npy", np.repeat(np.stack(fitted)[..., None], 3, axis=3))
    answers = call(tools / "python", "-c", _MEDIAPIPE, shipped_model(), tmp_path / "pixels.npy").splitlines()
    assert len(answers) == len(chosen) > 10
    for file, (label, score) in zip(chosen, map(json.loads, answers), strict=True):
        assert label == "fractured"
        # MediaPipe's normalisation differs in the last bit, which can become one step of int8.
        assert score == pytest.approx(reference.predict(file).fracture_probability, abs=0.02)

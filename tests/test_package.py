"""The package as a user gets it: a wheel, in an environment that holds nothing else of ours."""

import json
import subprocess
import sys
import venv
from pathlib import Path

import numpy as np
import pytest

from osteolite.demo.phone.folder import page_contents
from osteolite.edge import FractureClassifier
from osteolite.edge.imaging.radiograph import read_radiograph
from osteolite.edge.modelfile.shipped import shipped_model
from osteolite.edge.preprocess import fit
from osteolite.train.data.phantoms import write_phantoms

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.slow


def call(*command: str | Path) -> str:
    result = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=500, check=False)
    assert result.returncode == 0, result.stderr[-3000:]
    return result.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    call(sys.executable, "-m", "build", "--wheel", "--outdir", folder, ROOT)
    (path,) = folder.glob("*.whl")
    return path


def environment(folder: Path, *requirements: str) -> Path:
    venv.create(folder, with_pip=True)
    call(folder / "bin" / "python", "-m", "pip", "install", "--quiet", *requirements)
    return folder / "bin"


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_phantoms(tmp_path_factory.mktemp("images"), 4, 7)


def test_the_edge_alone_scores_with_the_model_that_ships(wheel: Path, images: Path, tmp_path: Path) -> None:
    tools = environment(tmp_path, str(wheel))
    names = {package["name"] for package in json.loads(call(tools / "python", "-m", "pip", "list", "--format=json"))}
    assert {"osteolite", "numpy", "pillow", "ai-edge-litert", "click"} <= names
    assert not names & {"tensorflow", "scikit-learn", "gradio", "rich", "matplotlib", "scipy"}
    lines = call(tools / "osteolite", "predict", images, "--format", "jsonl").splitlines()
    here = FractureClassifier()
    assert len(lines) == 4
    for line in map(json.loads, lines):
        assert line["model"] == "osteolite_base_int8"
        assert line["fracture_probability"] == pytest.approx(here.predict(line["file"]).fracture_probability, abs=1e-5)
    assert json.loads(call(tools / "osteolite", "doctor", "--json"))["works"] is True
    page = tmp_path / "page"
    call(tools / "osteolite", "phone", "--out", page)  # needs nothing more either
    written = {path.relative_to(page).as_posix(): path.read_bytes() for path in page.rglob("*") if path.is_file()}
    assert written == page_contents()


def test_a_command_of_an_extra_says_how_to_install_it(wheel: Path, images: Path, tmp_path: Path) -> None:
    tools = environment(tmp_path, str(wheel))
    convert = ["convert", str(shipped_model()), "--calibration", str(images), "--out", str(tmp_path / "out")]
    bench = ["bench", str(shipped_model())]
    calls = ((bench, "bench"), (["demo"], "demo"), (["phone", "--serve"], "phone"), (convert, "convert"))
    for arguments, extra in calls:
        result = subprocess.run([tools / "osteolite", *arguments], capture_output=True, text=True, check=False)
        assert result.returncode == 2
        assert f"pip install 'osteolite[{extra}]'" in result.stderr
        assert result.stderr.count("\n") == 1


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="tflite-runtime has no build for Python 3.12")
def test_tflite_runtime_gives_the_same_answers(wheel: Path, images: Path, tmp_path: Path) -> None:
    tools = environment(tmp_path, f"{wheel}[tflite]")
    call(tools / "python", "-m", "pip", "uninstall", "--quiet", "--yes", "ai-edge-litert")  # as on a 32-bit board
    doctor = json.loads(call(tools / "osteolite", "doctor", "--json"))
    assert doctor["runtime"] == "tflite-runtime 2.14.0"
    here = FractureClassifier()
    for line in map(json.loads, call(tools / "osteolite", "predict", images, "--format", "jsonl").splitlines()):
        # Older kernels round differently; it must not matter.
        assert line["fracture_probability"] == pytest.approx(here.predict(line["file"]).fracture_probability, abs=0.05)


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


def test_mediapipe_reads_the_shipped_file_and_agrees_on_real_radiographs(tmp_path: Path, shared_data: Path) -> None:
    """By the file's metadata alone: normalisation, label, and the calibration of its logit."""
    tools = environment(tmp_path / "env", "mediapipe==1.2.2")
    here, spec = FractureClassifier(), FractureClassifier().description.preprocessing
    files = [
        f for c in ("Fractured", "Non_fractured") for f in sorted((shared_data / "fracatlas/images" / c).iterdir())
    ]
    chosen = files[::200]
    fitted = [fit(read_radiograph(file, spec), spec) for file in chosen]
    np.save(tmp_path / "pixels.npy", np.repeat(np.stack(fitted)[..., None], 3, axis=3))
    answers = call(tools / "python", "-c", _MEDIAPIPE, shipped_model(), tmp_path / "pixels.npy").splitlines()
    assert len(answers) == len(chosen) > 10
    for file, (label, score) in zip(chosen, map(json.loads, answers), strict=True):
        assert label == "fractured"
        # Its arithmetic of the normalisation differs in the last bit, which int8 may make a step of.
        assert score == pytest.approx(here.predict(file).fracture_probability, abs=0.02)

"""The folder for Hugging Face Spaces: complete, and able to run from its own files."""

import os
import re
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import gradio
import pytest
from click.testing import CliRunner
from gradio_client import Client, handle_file
from huggingface_hub import SpaceCardData
from PIL import Image

from osteolite.demo.space import write_space
from osteolite.edge.cli import cli
from osteolite.edge.errors import ModelFileError, UsageError
from osteolite.edge.modelfile.shipped import shipped_model
from osteolite.edge.prediction.classifier import FractureClassifier
from tests.demo.conftest import free_port

# Runs app.py and prints at the end which files it used.
APP = """
import runpy, sys
try:
    runpy.run_path("app.py", run_name="__main__")
finally:
    import osteolite.demo.server.server, osteolite.edge.prediction.classifier
    for module in (osteolite.demo.server.server, osteolite.edge.prediction.classifier):
        print("ran:", module.__file__)
"""
COLOURS = ("red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray")


@pytest.fixture
def space(tmp_path: Path, tiny_model: Path, tiny_int8_model: Path) -> Path:
    write_space(tmp_path / "space", [str(tiny_model), str(tiny_int8_model)])
    return tmp_path / "space"


def header(folder: Path) -> dict[str, str]:
    text = (folder / "README.md").read_text(encoding="utf-8")
    found = re.match(r"---\n(.*?)\n---\n", text, re.DOTALL)
    assert found
    return dict(line.split(": ", 1) for line in found[1].splitlines())


def test_header_is_valid_for_the_hub(space: Path) -> None:
    values: dict[str, Any] = {**header(space)}
    assert (values["sdk"], values["sdk_version"], values["app_file"]) == ("gradio", gradio.__version__, "app.py")
    assert values["python_version"] == f'"{sys.version_info.major}.{sys.version_info.minor}"'
    assert values["license"] == "apache-2.0"
    assert values["colorFrom"] in COLOURS
    assert values["colorTo"] in COLOURS
    assert len(values["short_description"]) <= 60
    assert len(values["emoji"]) == 1
    card: dict[str, Any] = SpaceCardData(**values).to_dict()  # type: ignore[no-untyped-call]  # not annotated there
    assert set(values) <= set(card)


def test_folder_is_complete_and_minimal(space: Path, tiny_model: Path) -> None:
    names = {str(path.relative_to(space)) for path in space.rglob("*") if path.is_file()}
    assert {"app.py", "requirements.txt", "LICENSE", "NOTICE", ".gitattributes"} <= names
    assert (space / "models" / tiny_model.name).read_bytes() == tiny_model.read_bytes()
    assert any(name.startswith("examples/") for name in names)
    assert {name.split("/")[0] for name in names if "/" in name} == {"models", "examples", "osteolite"}
    assert not [name for name in names if re.search("__pycache__|/browser/|/phone/|[.]pyc", name)]
    attributes = (space / ".gitattributes").read_text()
    for name in names:
        text = b"\0" not in (space / name).read_bytes()[:8192]
        assert text or f"{name.split('/')[0]}/* filter=lfs" in attributes, name


def test_requirements_are_pinned_and_leave_out_gradio(space: Path) -> None:
    pinned = dict(line.split("==") for line in (space / "requirements.txt").read_text().splitlines())
    assert {"numpy", "pillow", "click", "ai-edge-litert", "pydicom"} <= set(pinned)
    assert not {"gradio", "tensorflow"} & set(pinned)
    for name, version in pinned.items():
        assert metadata.version(name) == version


def test_readme_attributes_the_training_data(tmp_path: Path) -> None:
    write_space(tmp_path / "space")
    assert "10.1038/s41597-023-02432-4" in (tmp_path / "space" / "README.md").read_text()
    assert (tmp_path / "space" / "models" / shipped_model().name).is_file()


def test_models_with_the_same_name_get_different_files(tmp_path: Path, tiny_model: Path) -> None:
    write_space(tmp_path / "space", [str(tiny_model)] * 2)
    assert len(list((tmp_path / "space" / "models").iterdir())) == 2


@pytest.mark.slow
def test_app_runs_from_its_own_files_with_the_same_prediction(
    space: Path, tiny_int8_model: Path, tmp_path: Path, encode: Callable[..., bytes]
) -> None:
    image, log, port = tmp_path / "image.png", tmp_path / "log", free_port()
    image.write_bytes(encode(Image.linear_gradient("L"), "PNG"))
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("PYTHON")},
        "PYTHONPATH": sysconfig.get_path("purelib"),  # without its .pth files, which point to this checkout
        "GRADIO_SERVER_NAME": "0.0.0.0",
        "GRADIO_SERVER_PORT": str(port),
        "OSTEOLITE_AUTH": "ada:secret",
    }
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-S", "-c", APP], cwd=space, env=environment, stdout=stream, stderr=subprocess.STDOUT
        )
    try:
        deadline = time.monotonic() + 120
        while "Osteolite's page" not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        client = Client(f"http://127.0.0.1:{port}/", verbose=False, auth=("ada", "secret"))
        found = client.predict(image=handle_file(image), model="tiny_int8", api_name="/predict")
        client.close()
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
    expected = FractureClassifier(tiny_int8_model).predict(image).to_dict()
    assert found["fracture_probability"] == expected["fracture_probability"]
    ran = re.findall(r"^ran: (.*)$", log.read_text(), re.MULTILINE)
    assert len(ran) == 2
    assert all(Path(file).is_relative_to(space) for file in ran)


def test_folder_with_files_is_refused(tmp_path: Path, tiny_model: Path) -> None:
    folder = tmp_path / "space"
    folder.mkdir()
    (folder / "mine.txt").write_text("mine")
    for target, words in ((folder, "is not empty"), (folder / "mine.txt", "is not a folder")):
        done = CliRunner().invoke(cli, ["demo", "--model", str(tiny_model), "--space", str(target)])
        assert done.exit_code == 2
        assert words in done.stderr.splitlines()[-1]
    assert [path.name for path in tmp_path.rglob("*")] == ["space", "mine.txt"]


def test_empty_folder_is_filled(tmp_path: Path, tiny_model: Path) -> None:
    (tmp_path / "space").mkdir()
    done = CliRunner().invoke(cli, ["demo", "--model", str(tiny_model), "--space", str(tmp_path / "space")])
    assert done.exit_code == 0, done.output
    assert "hf upload" in done.output
    assert (tmp_path / "space" / "app.py").is_file()
    assert (tmp_path / "space").stat().st_mode & 0o055 == 0o055


def test_failure_leaves_no_folder(tmp_path: Path, tiny_model: Path) -> None:
    bad = tmp_path / "bad.tflite"
    bad.write_bytes(b"no model")
    with pytest.raises(ModelFileError):
        write_space(tmp_path / "space", [str(bad)])
    (tmp_path / "none").mkdir()
    with pytest.raises(UsageError, match="no readable image"):
        write_space(tmp_path / "space", [str(tiny_model)], tmp_path / "none")

    def fail() -> list[str]:
        raise OSError(28, "No space left on device")

    with pytest.raises(UsageError, match="No space left on device"):
        write_space(tmp_path / "space", [str(tiny_model)], requirements=fail)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.tflite", "none"]


@pytest.mark.parametrize("option", [["--share"], ["--port", "7999"], ["--auth", "a:b"], ["--auth-file", "f"]])
def test_options_of_the_server_are_refused(tmp_path: Path, option: list[str]) -> None:
    done = CliRunner().invoke(cli, ["demo", "--space", str(tmp_path / "space"), *option])
    assert done.exit_code == 2
    assert "--space serves nothing" in done.stderr
    assert not (tmp_path / "space").exists()

"""The command line in real processes: help, errors, `inspect` and `doctor`."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from osteolite.edge.cli import COMMANDS

from .processes import modules_loaded_by, one_line, osteolite


def test_an_unknown_command_is_named() -> None:
    done = osteolite("predcit")
    assert done.returncode == 2
    assert b"predcit" in done.stderr


@pytest.mark.parametrize("command", [["predict", "a.png", "--model"], ["inspect"]], ids=lambda command: command[0])
@pytest.mark.parametrize("content", [None, b"", b"A text file.\n" * 50], ids=["missing", "empty", "text"])
def test_a_bad_model_is_reported_in_one_line(command: list[str], content: bytes | None, tmp_path: Path) -> None:
    model = tmp_path / "bad.tflite"
    if content is not None:
        model.write_bytes(content)
    done = osteolite(*command, model)
    assert (done.returncode, done.stdout) == (1, b"")
    assert str(model) in one_line(done)


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    done = osteolite("--debug", "inspect", tmp_path / "missing.tflite")
    assert done.returncode == 1
    assert b"Traceback" in done.stderr
    assert b"ModelFileError" in done.stderr


def test_help_lists_every_command_without_loading_packages() -> None:
    done = osteolite("--help")
    assert done.returncode == 0
    text = " ".join(done.stdout.decode().split())
    for name, (_, _, line) in COMMANDS.items():
        assert f"{name} {line}" in text
    assert "no medical device" in text
    loaded = modules_loaded_by("--help")
    assert "click" in loaded
    assert not loaded & {"numpy", "PIL", "tensorflow", "ai_edge_litert", "tflite_runtime"}


@pytest.mark.parametrize("command", ["predict", "inspect", "doctor"])
def test_help_of_a_device_command_loads_no_packages(command: str) -> None:
    assert not modules_loaded_by(command, "--help") & {"numpy", "PIL", "tensorflow", "ai_edge_litert"}


def test_the_version_is_printed() -> None:
    done = osteolite("--version")
    assert done.returncode == 0
    assert done.stdout.startswith(b"osteolite, version ")


def test_a_missing_package_is_named_with_its_extra(tmp_path: Path) -> None:
    # Hide packages that this machine has, but a device does not.
    hidden = "import sys; sys.modules.update(dict.fromkeys(['tensorflow', 'tf_keras', 'sklearn', 'rich']))\n"
    script = hidden + "from osteolite.edge.cli import main; main()"
    command = [sys.executable, "-c", script, "train", str(tmp_path), "--recipe", "phantoms"]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 2
    assert one_line(done).endswith("which is not installed; pip install 'osteolite[train]'")


def test_inspect_as_json(tiny_model: Path, tiny: Any) -> None:
    done = osteolite("inspect", tiny_model, "--json")
    assert (done.returncode, done.stderr) == (0, b"")
    assert tiny.description().items() <= json.loads(done.stdout).items()


def test_inspect_as_text(tiny_model: Path) -> None:
    lines = [line.split(maxsplit=1) for line in osteolite("inspect", tiny_model).stdout.decode().splitlines()]
    assert ["name", "tiny_float32"] in lines
    assert ["threshold.value", "0.4"] in lines
    assert ["preprocessing.width", "32"] in lines


def test_doctor_as_json() -> None:
    done = osteolite("doctor", "--json")
    found = json.loads(done.stdout)
    assert done.returncode == (0 if found["works"] else 1)
    assert found["works"] == (found["prediction"] == "works")
    assert {"machine", "architecture", "cores", "system", "python", "osteolite", "numpy", "pillow"} <= set(found)
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))
    assert found["numpy"] == np.__version__
    assert set(found["extras"]) == {"train", "convert", "bench", "demo", "dicom", "tflite"}


def test_doctor_as_text() -> None:
    lines = osteolite("doctor").stdout.decode().splitlines()
    assert any(line.split() == ["numpy", np.__version__] for line in lines)
    assert any(line.startswith("prediction ") for line in lines)

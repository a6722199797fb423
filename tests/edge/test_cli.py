"""The command line in real processes: output and exit codes."""

import csv
import io
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from osteolite.edge.cli import COMMANDS

SCRIPT = Path(sys.executable).with_name("osteolite")
COLUMNS = "file,label,fracture_probability,threshold,warnings,model,read_ms,preprocess_ms,invoke_ms,check_ms,error"
FIELDS = [
    "file",
    "label",
    "fracture_probability",
    "threshold",
    "warnings",
    "unfamiliarity",
    "model",
    "delegate",
    "milliseconds",
]
Process = subprocess.CompletedProcess[bytes]


def osteolite(*arguments: str | bytes | Path, **options: Any) -> Process:
    return subprocess.run([SCRIPT, *arguments], capture_output=True, timeout=120, check=False, **options)


def rows_of(done: Process) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.stdout.splitlines()]


def modules_loaded_by(*arguments: str | Path) -> set[str]:
    """Run a command and return the packages in memory at its end."""
    script = (
        "import sys; from osteolite.edge.cli import main\n"
        "try: main()\n"
        "finally: print(*{name.split('.')[0] for name in sys.modules}, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stderr.split())


def one_line(done: Process) -> str:
    """Return the only line of standard error, which is not a traceback."""
    lines = done.stderr.decode().splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("osteolite: ")
    return lines[0]


@dataclass(frozen=True)
class Folder:
    path: Path
    good: dict[str, str]  # file: label
    bad: dict[str, str]  # file: type of the error

    def content(self) -> dict[str, tuple[int, int]]:
        """Return what changes if a file is written, added or removed."""
        return {str(p): (p.stat().st_mtime_ns, p.stat().st_size) for p in [self.path, *self.path.rglob("*")]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, encode: Any, hollow_png: Callable[[int, int], bytes]) -> Folder:
    """Good and bad images in a folder and a subfolder."""
    path = tmp_path_factory.mktemp("scans")
    (path / "sub folder").mkdir()

    def plain(level: int) -> Image.Image:
        return Image.new("L", (40, 40), level)

    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (200, 200), np.uint8))
    contents = {
        "a white.png": encode(plain(255), "PNG"),
        "b.JPG": encode(plain(0), "JPEG"),
        "sub folder/c.tiff": encode(plain(255), "TIFF"),
        "sub folder/d\nwith a line end.png": encode(plain(0), "PNG"),
        "huge.png": hollow_png(60000, 60000),
        "empty.jpg": b"",
        "text.png": b"not an image\n" * 20,
        "no pixels.png": hollow_png(0, 0),
        "truncated.jpg": encode(noise, "JPEG")[:2000],
        "frames.tif": encode(plain(255), "TIFF", save_all=True, append_images=[plain(0)]),
        "notes.txt": b"not an image, and no suffix of one",
    }
    for name, content in contents.items():
        (path / name).write_bytes(content)
    return Folder(
        path,
        good={
            "a white.png": "fractured",
            "b.JPG": "normal",
            "sub folder/c.tiff": "fractured",
            "sub folder/d\nwith a line end.png": "normal",
        },
        bad={
            "huge.png": "ImageTooLarge",
            "empty.jpg": "UnreadableImage",
            "text.png": "UnreadableImage",
            "no pixels.png": "UnreadableImage",
            "truncated.jpg": "UnreadableImage",
            "frames.tif": "UnsupportedImage",
        },
    )


# predict


def check_rows(rows: list[dict[str, Any]], folder: Folder) -> None:
    """Check that every file has a row, in the order of names, with a prediction or an error."""
    names = [os.path.relpath(row["file"], folder.path) for row in rows]
    assert names == sorted([*folder.good, *folder.bad])
    for name, row in zip(names, rows, strict=True):
        if name in folder.bad:
            assert list(row) == ["file", "error"]
            assert list(row["error"]) == ["type", "message"]
            assert row["error"]["type"] == folder.bad[name]
            assert row["error"]["message"]
            continue
        assert list(row) == FIELDS
        assert (row["label"], row["threshold"], row["model"]) == (folder.good[name], 0.4, "tiny_float32")
        calibrated = {"fractured": 1.5 * 4.5 - 0.25, "normal": 1.5 * -3.5 - 0.25}[row["label"]]
        assert row["fracture_probability"] == pytest.approx(1 / (1 + math.exp(-calibrated)), abs=2e-6)
        assert list(row["milliseconds"]) == ["read", "preprocess", "invoke", "check"]
        assert all(isinstance(spent, float) for spent in row["milliseconds"].values())


def test_a_folder_with_bad_files_as_jsonl(folder: Folder, tiny_model: Path) -> None:
    before = folder.content()
    done = osteolite("predict", folder.path, "--model", tiny_model, "--format", "jsonl", cwd=folder.path)
    assert done.returncode == 1
    assert done.stderr == b""
    check_rows(rows_of(done), folder)
    assert folder.content() == before


def test_a_folder_with_bad_files_as_csv(folder: Folder, tiny_model: Path) -> None:
    done = osteolite("predict", folder.path, "--model", tiny_model, "--format", "csv")
    assert done.returncode == 1
    header, *rows = csv.reader(io.StringIO(done.stdout.decode(), newline=""))
    assert header == COLUMNS.split(",")
    assert [os.path.relpath(row[0], folder.path) for row in rows] == sorted([*folder.good, *folder.bad])
    for file, label, probability, *middle, error in rows:
        name = os.path.relpath(file, folder.path)
        assert len(middle) == 7
        if name in folder.bad:
            assert error.startswith(f"{folder.bad[name]}: ")
            assert not any([label, probability, *middle])
        else:
            assert (label, error) == (folder.good[name], "")
            assert 0 <= float(probability) <= 1
            assert all(float(spent) >= 0 for spent in middle[3:])


def test_a_folder_with_bad_files_as_a_table(folder: Folder, tiny_model: Path) -> None:
    done = osteolite("predict", folder.path, "--model", tiny_model)
    assert done.returncode == 1
    header, *lines = done.stdout.decode().splitlines()
    assert header.split() == ["file", "label", "probability", "threshold", "milliseconds", "warnings"]
    assert len(lines) == len(folder.good) + len(folder.bad)  # a line end in a name does not start a line
    by_name = {name: line for name in [*folder.good, *folder.bad] for line in lines if name.split("\n")[0] in line}
    for name, label in folder.good.items():
        assert f" {label} " in by_name[name]
        assert " 0.400 " in by_name[name]
    for name, error in folder.bad.items():
        assert f" {error}: " in by_name[name]


def test_rows_are_in_the_order_of_the_arguments(folder: Folder, tiny_model: Path) -> None:
    names = ["text.png", "b.JPG", "a white.png", "missing.png", "b.JPG", "notes.txt"]
    done = osteolite("predict", *names, "--model", tiny_model, "--format", "jsonl", cwd=folder.path)
    rows = rows_of(done)
    assert [row["file"] for row in rows] == names
    assert [row.get("label") or row["error"]["type"] for row in rows] == [
        "UnreadableImage", "normal", "fractured", "UnreadableImage", "normal", "UnreadableImage",
    ]  # fmt: skip
    assert "No such file" in rows[3]["error"]["message"]
    assert done.returncode == 1


@pytest.mark.parametrize("style", ["table", "jsonl", "csv"])
def test_good_files_exit_with_0(style: str, folder: Folder, tiny_int8_model: Path) -> None:
    names = [folder.path / name for name in folder.good]
    done = osteolite("predict", *names, "--model", tiny_int8_model, "--format", style)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.count(b"fractured") == 2


def test_truncated_radiographs_do_not_stop_the_others(shared_data: Path, folder: Folder, tiny_model: Path) -> None:
    truncated = sorted((shared_data / "fracatlas" / "truncated_jpeg").glob("*.jpg"))
    good = folder.path / "a white.png"
    assert len(truncated) == 6
    names = [good, *truncated, good]
    done = osteolite("predict", *names, "--model", tiny_model, "--format", "jsonl")
    first, *errors, last = rows_of(done)
    assert done.returncode == 1
    assert first["label"] == last["label"] == "fractured"
    assert [row["file"] for row in errors] == list(map(str, truncated))
    assert all(row["error"]["type"] == "UnreadableImage" for row in errors)


@pytest.mark.parametrize("style", ["table", "jsonl", "csv"])
def test_file_names_that_are_not_text_are_escaped(style: str, tmp_path: Path, encode: Any, tiny_model: Path) -> None:
    name = os.path.join(os.fsencode(tmp_path), b"caf\xe9 \x1b[31m.png")
    try:
        with open(name, "wb") as file:  # noqa: PTH123 - pathlib takes no bytes
            file.write(encode(Image.new("L", (9, 9)), "PNG"))
    except OSError:
        pytest.skip("this file system allows only names that are text")
    for argument in (name, tmp_path):
        done = osteolite("predict", argument, "--model", tiny_model, "--format", style)
        assert (done.returncode, done.stderr) == (0, b"")
        assert b"normal" in done.stdout
        if style == "jsonl":
            assert os.fsencode(rows_of(done)[0]["file"]) == name
        else:
            assert rb"caf\udce9 " in done.stdout
        if style == "table":
            assert b"\x1b" not in done.stdout  # a name cannot control the terminal


def test_a_folder_without_images_is_refused(tmp_path: Path, tiny_model: Path) -> None:
    (tmp_path / "notes.txt").write_text("no image")
    done = osteolite("predict", tmp_path, "--model", tiny_model)
    assert done.returncode == 2
    assert done.stdout == b""
    assert ".png" in one_line(done)


@pytest.mark.parametrize("arguments", [[], ["--format", "xml", "a.png"], ["--no-such-option"]], ids=repr)
def test_a_wrong_call_prints_the_usage(arguments: list[str]) -> None:
    done = osteolite("predict", *arguments)
    assert done.returncode == 2
    assert done.stderr.startswith(b"Usage: ")


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


def test_predict_does_not_load_tensorflow(folder: Folder, tiny_model: Path) -> None:
    loaded = modules_loaded_by("predict", str(folder.path / "b.JPG"), "--model", tiny_model)
    assert {"numpy", "PIL"} <= loaded
    assert not loaded & {"tensorflow", "tf_keras", "keras", "sklearn", "gradio", "rich", "matplotlib"}


# The other commands


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

"""`osteolite predict` on good and bad files: rows, formats and exit codes."""

import csv
import io
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ..processes import modules_loaded_by, one_line, osteolite, rows_of

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


def test_predict_does_not_load_tensorflow(folder: Folder, tiny_model: Path) -> None:
    loaded = modules_loaded_by("predict", str(folder.path / "b.JPG"), "--model", tiny_model)
    assert {"numpy", "PIL"} <= loaded
    assert not loaded & {"tensorflow", "tf_keras", "keras", "sklearn", "gradio", "rich", "matplotlib"}

"""Reading and writing model files: damage, other files, invalid descriptions."""

import json
import os
import random
import struct
import zipfile
from pathlib import Path
from typing import Any

import pytest

from osteolite.edge.errors import ModelFileError
from osteolite.edge.labels import LABELS
from osteolite.edge.modelfile.archive import ModelDescription, read_description, write_model
from osteolite.edge.preprocess import PreprocessingSpec

from .model_files import FLATBUFFER, rewrite


def test_a_written_description_is_read_back(tmp_path: Path, tiny: Any) -> None:
    given = tiny.description(training={"images": 3, "note": "Röntgen"})
    returned = write_model(tmp_path / "model.tflite", FLATBUFFER, given)
    description = read_description(str(tmp_path / "model.tflite"))
    assert description == returned
    assert isinstance(description, ModelDescription)
    assert (description.name, description.variant) == ("tiny_float32", "float32")
    assert description.preprocessing == PreprocessingSpec(32, 32, channels="grey")
    assert (description.threshold, description.slope, description.intercept) == (0.4, 1.5, -0.25)
    assert given.items() <= description.details.items()
    assert description.details["labels"] == ["normal", "fractured"]


def test_the_file_starts_with_the_unchanged_flatbuffer(written: Path) -> None:
    assert written.read_bytes().startswith(FLATBUFFER)


def test_zipfile_and_json_can_read_the_description(written: Path, tiny: Any) -> None:
    with zipfile.ZipFile(written) as archive:
        assert archive.namelist() == ["labels.txt", "score_calibration.csv", "osteolite.json"]
        assert {entry.compress_type for entry in archive.infolist()} == {zipfile.ZIP_STORED}
        assert archive.read("labels.txt") == b"fractured"
        assert archive.read("score_calibration.csv") == b"1.0,1.5,-0.25"
        assert archive.testzip() is None
        values = json.loads(archive.read("osteolite.json"))
    assert tiny.description().items() <= values.items()


def test_the_same_input_gives_the_same_bytes(tmp_path: Path, tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    write_model(tmp_path / "a", FLATBUFFER, tiny.description())
    monkeypatch.setattr("time.time", lambda: 2_000_000_000.0)
    write_model(tmp_path / "b", FLATBUFFER, tiny.description())
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_schema_labels_and_checksum_of_the_caller_are_replaced(tmp_path: Path, tiny: Any) -> None:
    given = tiny.description(schema=7, labels=["a", "b"], flatbuffer={"bytes": 1, "sha256": ""})
    write_model(tmp_path / "model.tflite", FLATBUFFER, given)
    assert read_description(tmp_path / "model.tflite").details["labels"] == list(LABELS)


# Damage


def test_every_changed_byte_of_the_flatbuffer_is_detected(written: Path) -> None:
    content = written.read_bytes()
    for place in range(len(FLATBUFFER)):
        damaged = bytearray(content)
        damaged[place] ^= 1
        written.write_bytes(damaged)
        with pytest.raises(ModelFileError):
            read_description(written)


def test_every_truncation_is_detected(written: Path) -> None:
    content = written.read_bytes()
    for length in range(len(content)):
        written.write_bytes(content[:length])
        with pytest.raises(ModelFileError):
            read_description(written)


def test_damage_is_refused_or_harmless(written: Path) -> None:
    content, original, refused = written.read_bytes(), read_description(written), 0
    for number in range(500):
        chance, damaged = random.Random(number), bytearray(content)
        for _ in range(chance.randint(1, 4)):
            # Half of the damage goes to the few bytes of the archive, which more code reads.
            place = chance.randrange(chance.choice([0, len(FLATBUFFER)]), len(damaged))
            match chance.randrange(4):
                case 0:
                    del damaged[place : place + chance.randint(1, 9)]
                case 1:
                    damaged[place:place] = chance.randbytes(chance.randint(1, 9))
                case _:
                    damaged[place] = chance.choice([0, 1, 127, 128, 255, chance.randrange(256)])
            if len(damaged) <= len(FLATBUFFER):
                break
        written.write_bytes(damaged)
        try:
            assert read_description(written) == original, number
        except ModelFileError:
            refused += 1
    assert refused > 250


# Files that are not model files


@pytest.mark.parametrize("content", [b"", b"TFL3", b"A text file.\n" * 50, bytes(100)], ids=["empty", "4", "text", "0"])
def test_a_file_that_is_not_tflite_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "model.tflite").write_bytes(content)
    with pytest.raises(ModelFileError, match="not a TFLite model"):
        read_description(tmp_path / "model.tflite")


def test_a_tflite_file_without_a_description_is_refused(tmp_path: Path, tiny: Any) -> None:
    bare, other = tmp_path / "bare.tflite", tmp_path / "other.tflite"
    bare.write_bytes(tiny.mean())
    other.write_bytes(tiny.mean())
    with zipfile.ZipFile(other, "a") as archive:
        archive.writestr("labels.txt", "normal\nfractured\n")
    for path in (bare, other):
        with pytest.raises(ModelFileError, match=r"without osteolite\.json; use a file that `osteolite convert` wrote"):
            read_description(path)


@pytest.mark.timeout(30)
def test_folders_and_pipes_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.tflite")  # opening it would block
    for path in (tmp_path, tmp_path / "pipe.tflite"):
        with pytest.raises(ModelFileError, match="regular file"):
            read_description(path)


@pytest.mark.parametrize("name", ["missing.tflite", "a\0b.tflite", "a" * 5000])
def test_a_file_that_cannot_be_opened_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="cannot be opened"):
        read_description(str(tmp_path / name))


def test_a_description_that_unpacks_to_megabytes_is_refused(tmp_path: Path) -> None:
    bomb = rewrite(tmp_path / "bomb.tflite", b" " * (64 << 20) + b"{}")
    assert bomb.stat().st_size < 1 << 20
    with pytest.raises(ModelFileError, match="at most 4,194,304"):
        read_description(bomb)


def test_a_description_with_a_false_size_is_refused(tmp_path: Path) -> None:
    path = rewrite(tmp_path / "bomb.tflite", b" " * (64 << 20) + b"{}")
    path.write_bytes(path.read_bytes().replace(struct.pack("<I", (64 << 20) + 2), struct.pack("<I", 1000)))
    with pytest.raises(ModelFileError):
        read_description(path)


# Writing


@pytest.mark.parametrize("before", [None, b"the old model"])
@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"threshold": {"value": 1.0}}, ModelFileError),
        ({"preprocessing": {"width": 0}}, ModelFileError),
        ({"training": {"loss": float("nan")}}, ValueError),
        ({"training": object()}, TypeError),
    ],
    ids=["threshold", "preprocessing", "nan", "no json"],
)
def test_a_failed_write_changes_nothing(
    changes: dict[str, Any], error: type[Exception], before: bytes | None, tmp_path: Path, tiny: Any
) -> None:
    target = tmp_path / "model.tflite"
    if before:
        target.write_bytes(before)
    with pytest.raises(error):
        write_model(target, FLATBUFFER, tiny.description(**changes))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == ({target.name: before} if before else {})


def test_a_full_disk_changes_nothing(written: Path, tiny: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    before = written.read_bytes()
    monkeypatch.setattr(zipfile.ZipFile, "writestr", full)
    with pytest.raises(OSError, match="No space left"):
        write_model(written, FLATBUFFER, tiny.description(name="new"))
    monkeypatch.undo()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {written.name: before}


def test_a_flatbuffer_with_an_archive_is_refused(written: Path, tmp_path: Path, tiny: Any) -> None:
    """A second archive would hide the first, so a released file cannot get a new description."""
    with pytest.raises(ModelFileError, match="give the flatbuffer alone"):
        write_model(tmp_path / "twice.tflite", written.read_bytes(), tiny.description())
    assert not (tmp_path / "twice.tflite").exists()


def test_content_is_read_like_its_file(written: Path) -> None:
    assert read_description(written.read_bytes()) == read_description(written)
    with pytest.raises(ModelFileError, match="the model: not a TFLite model"):
        read_description(b"")

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

FLATBUFFER = struct.pack("<I4s", 8, b"TFL3") + bytes(range(256))


def rewrite(path: Path, text: str | bytes, flatbuffer: bytes = FLATBUFFER) -> Path:
    """A model file with that text as its description, as another tool might write it."""
    path.write_bytes(flatbuffer)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("osteolite.json", text)
    return path


@pytest.fixture
def written(tmp_path: Path, tiny: Any) -> Path:
    write_model(tmp_path / "model.tflite", FLATBUFFER, tiny.description())
    return tmp_path / "model.tflite"


@pytest.fixture
def values(written: Path) -> dict[str, Any]:
    """The content of a good `osteolite.json`, for spoiling."""
    with zipfile.ZipFile(written) as archive:
        result: dict[str, Any] = json.loads(archive.read("osteolite.json"))
    return result


def test_what_was_written_is_read(tmp_path: Path, tiny: Any) -> None:
    given = tiny.description(training={"images": 3, "note": "Röntgen"})
    returned = write_model(tmp_path / "model.tflite", FLATBUFFER, given)
    description = read_description(str(tmp_path / "model.tflite"))
    assert description == returned
    assert (description.name, description.variant) == ("tiny_float32", "float32")
    assert description.preprocessing == PreprocessingSpec(32, 32, channels="grey")
    assert (description.threshold, description.slope, description.intercept) == (0.4, 1.5, -0.25)
    assert given.items() <= description.details.items()
    assert description.details["labels"] == ["normal", "fractured"]


def test_the_file_starts_with_the_flatbuffer_as_it_was(written: Path) -> None:
    assert written.read_bytes().startswith(FLATBUFFER)


def test_other_tools_need_only_zipfile_and_json(written: Path, tiny: Any) -> None:
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


def test_schema_labels_and_checksum_are_not_the_callers_to_choose(tmp_path: Path, tiny: Any) -> None:
    given = tiny.description(schema=7, labels=["a", "b"], flatbuffer={"bytes": 1, "sha256": ""})
    write_model(tmp_path / "model.tflite", FLATBUFFER, given)
    assert read_description(tmp_path / "model.tflite").details["labels"] == list(LABELS)


# Damage


def test_every_changed_byte_of_the_flatbuffer_is_noticed(written: Path) -> None:
    content = written.read_bytes()
    for place in range(len(FLATBUFFER)):
        damaged = bytearray(content)
        damaged[place] ^= 1
        written.write_bytes(damaged)
        with pytest.raises(ModelFileError):
            read_description(written)


def test_every_truncation_is_noticed(written: Path) -> None:
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
            # Half of the damage in the archive's few bytes, where it finds the most code.
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


# What is no model file of ours


@pytest.mark.parametrize("content", [b"", b"TFL3", b"A text file.\n" * 50, bytes(100)], ids=["empty", "4", "text", "0"])
def test_no_tflite_file(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "model.tflite").write_bytes(content)
    with pytest.raises(ModelFileError, match="not a TFLite model"):
        read_description(tmp_path / "model.tflite")


def test_a_tflite_file_without_a_description(tmp_path: Path, tiny: Any) -> None:
    bare, other = tmp_path / "bare.tflite", tmp_path / "other.tflite"
    bare.write_bytes(tiny.mean())
    other.write_bytes(tiny.mean())
    with zipfile.ZipFile(other, "a") as archive:
        archive.writestr("labels.txt", "normal\nfractured\n")
    for path in (bare, other):
        with pytest.raises(ModelFileError, match=r"without osteolite\.json; `osteolite convert` writes one"):
            read_description(path)


@pytest.mark.timeout(30)
def test_what_is_no_regular_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.tflite")  # opening it would wait for a writer
    for path in (tmp_path, tmp_path / "pipe.tflite"):
        with pytest.raises(ModelFileError, match="regular file"):
            read_description(path)


@pytest.mark.parametrize("name", ["missing.tflite", "a\0b.tflite", "a" * 5000])
def test_what_cannot_be_opened(name: str, tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="cannot be opened"):
        read_description(str(tmp_path / name))


def test_a_description_that_would_unpack_to_gigabytes(tmp_path: Path) -> None:
    bomb = rewrite(tmp_path / "bomb.tflite", b" " * (64 << 20) + b"{}")
    assert bomb.stat().st_size < 1 << 20
    with pytest.raises(ModelFileError, match="at most 4,194,304"):
        read_description(bomb)


def test_a_description_that_lies_about_its_size(tmp_path: Path) -> None:
    path = rewrite(tmp_path / "bomb.tflite", b" " * (64 << 20) + b"{}")
    path.write_bytes(path.read_bytes().replace(struct.pack("<I", (64 << 20) + 2), struct.pack("<I", 1000)))
    with pytest.raises(ModelFileError):
        read_description(path)


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"[]", b"null", b'"text"', b"7", b"\xff\xfe", b"[" * 100_000, b'{"schema": 1}', b"{}"],
    ids=lambda text: repr(text[:12]),
)
def test_a_description_that_is_none(text: bytes, tmp_path: Path) -> None:
    with pytest.raises(ModelFileError):
        read_description(rewrite(tmp_path / "model.tflite", text))


FIELDS = ["schema", "labels", "name", "variant", "preprocessing", "threshold", "probability_calibration", "flatbuffer"]


@pytest.mark.parametrize("missing", FIELDS)
def test_a_missing_field(missing: str, values: dict[str, Any], tmp_path: Path) -> None:
    del values[missing]
    with pytest.raises(ModelFileError):
        read_description(rewrite(tmp_path / "bad.tflite", json.dumps(values)))


@pytest.mark.parametrize(
    "bad", [None, [], "text", 0, 0.5, False, {"other": 1}, [[]], 10**400], ids=lambda v: repr(v)[:20]
)
@pytest.mark.parametrize("field", [f for f in FIELDS if f not in ("name", "variant")])
def test_a_field_of_the_wrong_type(field: str, bad: Any, values: dict[str, Any], tmp_path: Path) -> None:
    values[field] = bad
    with pytest.raises(ModelFileError):
        read_description(rewrite(tmp_path / "bad.tflite", json.dumps(values)))


def spoil(values: dict[str, Any], path: str, bad: Any) -> str:
    *parents, last = path.split(".")
    inner = values
    for name in parents:
        inner = inner[name]
    inner[last] = bad
    return json.dumps(values)


@pytest.mark.parametrize(
    ("path", "bad"),
    [
        ("schema", 2),
        ("labels", ["fractured", "normal"]),
        ("labels", ["normal", "fractured", "unclear"]),
        *(
            ("threshold.value", bad)
            for bad in (0, 1, -0.1, 1.5, float("nan"), float("inf"), None, [0.5], "half", 10**400)
        ),
        *(("probability_calibration.slope", bad) for bad in (float("nan"), float("-inf"), 1e7, None, {}, 10**400)),
        *(("probability_calibration.intercept", bad) for bad in (float("nan"), -1e7, "", [])),
        ("preprocessing.width", -1),
        ("preprocessing.mean", float("nan")),
        ("preprocessing.std", 0),
        ("preprocessing.aspect", "crop"),
        ("preprocessing.gamma", 1.0),
        *(("flatbuffer.bytes", bad) for bad in (0, -1, 7, 8, len(FLATBUFFER) - 1, 10**30, 2.5, "264", None, True)),
        *(("flatbuffer.sha256", bad) for bad in ("", "0" * 64, None, 7, [])),
        ("training.loss", float("nan")),
    ],
    ids=lambda value: repr(value)[:24],
)
def test_a_value_outside_its_range(path: str, bad: Any, values: dict[str, Any], tmp_path: Path) -> None:
    values["training"] = {}
    with pytest.raises(ModelFileError):
        read_description(rewrite(tmp_path / "bad.tflite", spoil(values, path, bad)))


def test_an_empty_flatbuffer_does_not_pass_for_a_whole_one(values: dict[str, Any], tmp_path: Path) -> None:
    empty = {"bytes": 0, "sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}
    with pytest.raises(ModelFileError, match="damaged"):
        read_description(rewrite(tmp_path / "bad.tflite", json.dumps({**values, "flatbuffer": empty})))


def test_the_good_description_passes_the_same_way(values: dict[str, Any], tmp_path: Path) -> None:
    # Without this, a mistake in `rewrite` could refuse everything above.
    path = rewrite(tmp_path / "good.tflite", json.dumps(values))
    assert read_description(path).details == values == ModelDescription.from_dict(values).details


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
def test_a_failing_write_leaves_everything_as_it_was(
    changes: dict[str, Any], error: type[Exception], before: bytes | None, tmp_path: Path, tiny: Any
) -> None:
    target = tmp_path / "model.tflite"
    if before:
        target.write_bytes(before)
    with pytest.raises(error):
        write_model(target, FLATBUFFER, tiny.description(**changes))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == ({target.name: before} if before else {})


def test_a_full_disk_leaves_everything_as_it_was(
    written: Path, tiny: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    before = written.read_bytes()
    monkeypatch.setattr(zipfile.ZipFile, "writestr", full)
    with pytest.raises(OSError, match="No space left"):
        write_model(written, FLATBUFFER, tiny.description(name="new"))
    monkeypatch.undo()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {written.name: before}


def test_a_flatbuffer_that_carries_an_archive_is_refused(written: Path, tmp_path: Path, tiny: Any) -> None:
    """A second archive behind the first would hide it: a released file cannot be described once more."""
    with pytest.raises(ModelFileError, match="give the flatbuffer alone"):
        write_model(tmp_path / "twice.tflite", written.read_bytes(), tiny.description())
    assert not (tmp_path / "twice.tflite").exists()


def test_content_is_read_as_its_file_is(written: Path) -> None:
    assert read_description(written.read_bytes()) == read_description(written)
    with pytest.raises(ModelFileError, match="the model: not a TFLite model"):
        read_description(b"")

"""Several images: one row for each in order, limits, and a CSV file without formulas."""

import csv
import io
import unicodedata
import zipfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from osteolite.demo.service.batch import Row, count_images, display_name, score_images, summary, to_csv
from osteolite.demo.service.model_set import LIMITS, ModelSet
from osteolite.edge.errors import InputError
from osteolite.edge.prediction.prediction import Prediction


def zipped(files: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


def refuse_to_score(image: bytes) -> Prediction:
    pytest.fail("an image was scored")


def test_each_image_gives_a_row_in_order(batch_models: ModelSet, batch_images: list[bytes], upload: Any) -> None:
    archive = zipped(
        {"ward/b.png": batch_images[1], "notes.txt": b"no image", "../x.png": batch_images[0], "c.png": batch_images[2]}
    )
    uploads = [
        upload("z.png", batch_images[3]),
        upload("C:\\scans\\set.zip", archive),
        upload("bad.jpg", batch_images[0][:60]),
        upload("cut.zip", archive[:-9]),
        upload("/home/ann/a.png", batch_images[0]),
        upload("none.zip", zipped({"ward/": b""})),
    ]
    rows = list(score_images(uploads, lambda image: batch_models.score(image, "tiny_float32")))
    assert count_images(uploads) == len(rows)
    assert [row.file for row in rows] == [
        *("z.png", "set.zip/ward/b.png", "set.zip/notes.txt", "set.zip/../x.png", "set.zip/c.png"),
        *("bad.jpg", "cut.zip", "a.png", "none.zip"),
    ]
    assert [bool(row.error) for row in rows] == [False, False, True, True, False, True, True, False, True]
    for row, image in (
        (rows[0], batch_images[3]),
        (rows[1], batch_images[1]),
        (rows[4], batch_images[2]),
        (rows[7], batch_images[0]),
    ):
        expected = batch_models.score(image, "tiny_float32")
        assert (row.label, row.threshold, row.model) == (expected.label, expected.threshold, "tiny_float32")
        assert row.fracture_probability == round(expected.fracture_probability, 6)
        assert row.milliseconds is not None
    assert "damaged archive" in rows[6].error
    assert "has no files" in rows[8].error
    assert summary(rows) == "9 images: 2 fractured, 2 normal, 5 not scored"


def test_router_gives_the_body_part(batch_models: ModelSet, batch_images: list[bytes], upload: Any) -> None:
    (row,) = score_images([upload("a.png", batch_images[0])], lambda image: batch_models.score(image, "tiny_router"))
    assert row.body_part == "hand"
    assert row.warnings == ""


def test_images_are_read_one_at_a_time(upload: Any, batch_images: list[bytes]) -> None:
    read = []
    uploads = [upload("a.png", batch_images[0]), upload("b.zip", zipped({"b.png": b"b", "c.png": b"c"}))]

    def score(image: bytes) -> Any:
        read.append(image)
        raise InputError("none")

    rows = score_images(uploads, score)
    assert read == []
    for number, expected in enumerate([batch_images[0], b"b", b"c"], 1):
        next(rows)
        assert (len(read), read[-1]) == (number, expected)


def test_deleted_upload_gives_a_row_with_an_error(
    upload: Any, batch_images: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    gone, lost = upload("gone.png", batch_images[0]), upload("lost.png", batch_images[0])
    gone.path.unlink()

    def read_bytes(path: Path) -> bytes:  # just deleted
        raise FileNotFoundError(path)

    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    error = "the upload has been deleted; upload it again"
    assert list(score_images([gone, lost], refuse_to_score)) == [
        Row(name, error=error) for name in ("gone.png", "lost.png")
    ]


def test_too_many_images_or_bytes_are_refused(upload: Any) -> None:
    uploads = [upload("a.png", b"a"), upload("b.zip", zipped({f"{number}.png": b"" for number in range(4)}))]
    assert count_images(uploads, max_images=5) == 5
    with pytest.raises(InputError, match="more than 5 images; upload at most that many at once"):
        count_images([*uploads, upload("c.png", b"")], max_images=5)
    large = zipped({f"{number}.png": bytes(range(256)) * 4096 for number in range(3)})
    assert count_images([upload("large.zip", large)], max_bytes=3 * 1024**2) == 3
    with pytest.raises(InputError, match="more than 3 MiB of images"):
        count_images([upload("large.zip", large), upload("a.png", b"a")], max_bytes=3 * 1024**2)


def test_file_over_the_limit_gives_a_row_with_an_error(upload: Any) -> None:
    huge = upload("huge.png", b"")
    with huge.path.open("r+b") as file:
        file.truncate(LIMITS.max_bytes + 1)
    (row,) = score_images([huge], refuse_to_score)
    assert row.error == f"{LIMITS.max_bytes + 1:,} bytes; at most {LIMITS.max_bytes:,} are read"


@given(st.lists(st.text(), max_size=5))
def test_csv_has_no_formula_and_one_line_for_each_row(names: list[str]) -> None:
    text = to_csv([Row(display_name(name), body_part=name, warnings=name, error=name) for name in names])
    found = list(csv.reader(io.StringIO(text)))
    assert found[0][0] == "file"
    assert len(found) == len(text.splitlines()) == len(names) + 1
    assert not any(unicodedata.normalize("NFKC", cell).startswith(tuple("=+-@")) for line in found for cell in line)


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)", " =1", "\N{FULLWIDTH EQUALS SIGN}1"])
def test_formula_is_quoted(name: str) -> None:
    assert list(csv.reader(io.StringIO(to_csv([Row("a", error=name)]))))[1][-1] == f"'{name}"


def test_csv_has_the_values_of_the_rows() -> None:
    row = Row("a, b.png", "normal", 0.125, 0.25, "hand", 'he said "no"', 12.5, "m")
    (found,) = csv.DictReader(io.StringIO(to_csv([row])))
    assert found == {name: "" if value is None else str(value) for name, value in asdict(row).items()}


@given(st.text())
def test_display_name_is_one_short_line(name: str) -> None:
    found = display_name(name)
    assert len(found) <= 160
    assert len(found.splitlines()) <= 1
    assert found.encode()[-3:] == name.encode(errors="replace")[-3:] or not name.isprintable()

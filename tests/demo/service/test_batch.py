"""Several images at once: a row for each, in order, and a file of them that no spreadsheet takes for a program."""

import csv
import io
import os
import threading
import unicodedata
import zipfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from osteolite.demo.page.tabs import batch as tab
from osteolite.demo.service import batch
from osteolite.demo.service.batch import Row, Upload, count_images, score_images, shown, to_csv
from osteolite.demo.service.model_set import LIMITS, ModelSet
from osteolite.edge.errors import InputError


@pytest.fixture(scope="module")
def scorer(tiny_model: Path, tiny_router: Path) -> ModelSet:
    return ModelSet([str(tiny_model), str(tiny_router)])


@pytest.fixture(scope="module")
def images(encode: Callable[..., bytes]) -> list[bytes]:
    """Images of falling brightness, so that each has another answer."""
    ramp = np.linspace(0, 1, 1200).reshape(40, 30)
    return [encode(Image.fromarray((level + 9 * ramp).astype(np.uint8)), "PNG") for level in (240, 220, 60, 0)]


@pytest.fixture
def upload(tmp_path: Path) -> Callable[[str, bytes], Upload]:
    def upload(name: str, content: bytes) -> Upload:
        path = tmp_path / str(len(list(tmp_path.iterdir())))
        path.write_bytes(content)
        return Upload(name, path)

    return upload


def zipped(files: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


def test_a_row_for_each_image_in_the_order_given(scorer: ModelSet, images: list[bytes], upload: Any) -> None:
    archive = zipped({"ward/b.png": images[1], "notes.txt": b"no image", "../x.png": images[0], "c.png": images[2]})
    uploads = [
        upload("z.png", images[3]),
        upload("C:\\scans\\set.zip", archive),
        upload("bad.jpg", images[0][:60]),
        upload("cut.zip", archive[:-9]),
        upload("/home/ann/a.png", images[0]),
        upload("none.zip", zipped({"ward/": b""})),
    ]
    rows = list(score_images(uploads, lambda image: scorer.score(image, "tiny_float32")))
    assert count_images(uploads) == len(rows)
    assert [row.file for row in rows] == [
        *("z.png", "set.zip/ward/b.png", "set.zip/notes.txt", "set.zip/../x.png", "set.zip/c.png"),
        *("bad.jpg", "cut.zip", "a.png", "none.zip"),
    ]
    assert [bool(row.error) for row in rows] == [False, False, True, True, False, True, True, False, True]
    for row, image in ((rows[0], images[3]), (rows[1], images[1]), (rows[4], images[2]), (rows[7], images[0])):
        expected = scorer.score(image, "tiny_float32")
        assert (row.label, row.threshold, row.model) == (expected.label, expected.threshold, "tiny_float32")
        assert row.fracture_probability == round(expected.fracture_probability, 6)
        assert row.milliseconds is not None
    assert "damaged archive" in rows[6].error
    assert "holds no files" in rows[8].error
    assert batch.summary(rows) == "9 images: 2 fractured, 2 normal, 5 not scored"


def test_a_router_says_the_body_part(scorer: ModelSet, images: list[bytes], upload: Any) -> None:
    (row,) = score_images([upload("a.png", images[0])], lambda image: scorer.score(image, "tiny_router"))
    assert row.body_part == "hand"
    assert row.warnings == ""


def test_one_image_at_a_time_is_read(upload: Any, images: list[bytes]) -> None:
    read = []
    uploads = [upload("a.png", images[0]), upload("b.zip", zipped({"b.png": b"b", "c.png": b"c"}))]

    def score(image: bytes) -> Any:
        read.append(image)
        raise InputError("none")

    rows = score_images(uploads, score)
    assert read == []
    for number, expected in enumerate([images[0], b"b", b"c"], 1):
        next(rows)
        assert (len(read), read[-1]) == (number, expected)


def test_an_upload_that_is_gone_is_a_row(upload: Any, images: list[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    gone, lost = upload("gone.png", images[0]), upload("lost.png", images[0])
    gone.path.unlink()

    def read_bytes(path: Path) -> bytes:  # just deleted
        raise FileNotFoundError(path)

    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    error = "the upload is no longer kept; upload it again"
    assert list(score_images([gone, lost], pytest.fail)) == [
        Row(name, error=error) for name in ("gone.png", "lost.png")
    ]


def test_too_many_images_or_bytes_are_refused_before_any_is_scored(
    upload: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "MAX_IMAGES", 5)
    uploads = [upload("a.png", b"a"), upload("b.zip", zipped({f"{number}.png": b"" for number in range(4)}))]
    assert count_images(uploads) == 5
    with pytest.raises(InputError, match="more than 5 images; upload at most so many at once"):
        count_images([*uploads, upload("c.png", b"")])
    large = zipped({f"{number}.png": bytes(range(256)) * 4096 for number in range(3)})
    monkeypatch.setattr(batch, "MAX_BYTES", 3 * 1024**2)
    assert count_images([upload("large.zip", large)]) == 3
    with pytest.raises(InputError, match="more than 3 MiB of images"):
        count_images([upload("large.zip", large), upload("a.png", b"a")])


def test_a_file_over_the_limit_is_a_row_and_not_read(upload: Any) -> None:
    huge = upload("huge.png", b"")
    with huge.path.open("r+b") as file:
        file.truncate(LIMITS.max_bytes + 1)
    (row,) = score_images([huge], pytest.fail)
    assert row.error == f"{LIMITS.max_bytes + 1:,} bytes; at most {LIMITS.max_bytes:,} are read"


@given(st.lists(st.text(), max_size=5))
def test_no_cell_of_the_csv_is_a_formula_and_no_row_is_two(names: list[str]) -> None:
    text = to_csv([Row(shown(name), body_part=name, warnings=name, error=name) for name in names])
    found = list(csv.reader(io.StringIO(text)))
    assert found[0][0] == "file"
    assert len(found) == len(text.splitlines()) == len(names) + 1
    assert not any(unicodedata.normalize("NFKC", cell).startswith(tuple("=+-@")) for line in found for cell in line)


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)", " =1", "\N{FULLWIDTH EQUALS SIGN}1"])
def test_what_a_spreadsheet_would_compute_is_text(name: str) -> None:
    assert list(csv.reader(io.StringIO(to_csv([Row("a", error=name)]))))[1][-1] == f"'{name}"


def test_the_csv_says_what_the_rows_say() -> None:
    row = Row("a, b.png", "normal", 0.125, 0.25, "hand", 'he said "no"', 12.5, "m")
    (found,) = csv.DictReader(io.StringIO(to_csv([row])))
    assert found == {name: "" if value is None else str(value) for name, value in asdict(row).items()}


@given(st.text())
def test_a_name_that_is_shown_is_one_short_line(name: str) -> None:
    found = shown(name)
    assert len(found) <= 160
    assert len(found.splitlines()) <= 1
    assert found.encode()[-3:] == name.encode(errors="replace")[-3:] or not name.isprintable()


def steps(uploads: list[Upload], score: Any, stopped: threading.Event) -> list[str]:
    return [shown[0] for shown in tab._scored(uploads, score, stopped)]


def test_the_page_shows_progress_then_the_table(scorer: ModelSet, images: list[bytes], upload: Any) -> None:
    uploads = [upload(f"<b>{number}.png", image) for number, image in enumerate(images)]
    seen = steps(uploads, lambda image: scorer.score(image, "tiny_float32"), threading.Event())
    for number in range(5):
        assert f'value="{number}"' in seen[number]
        assert f"{number} of 4" in seen[number]
    assert "4 images: 2 fractured, 2 normal, 0 not scored." in seen[-1]
    assert "<b>" not in "".join(seen)
    assert "&lt;b&gt;3.png" in seen[-1]
    assert "Body part" not in seen[-1]
    assert "Body part" in steps(uploads, lambda image: scorer.score(image, "tiny_router"), threading.Event())[-1]


def test_cancelling_shows_what_was_scored_until_then(scorer: ModelSet, images: list[bytes], upload: Any) -> None:
    stopped = threading.Event()

    def score(image: bytes) -> Any:
        if image == images[1]:
            stopped.set()
        return scorer.score(image, "tiny_float32")

    uploads = [upload(f"{number}.png", image) for number, image in enumerate(images)]
    last = steps(uploads, score, stopped)[-1]
    assert "2 images: 2 fractured, 0 normal, 0 not scored. Cancelled after 2 of 4." in last
    assert "1.png" in last
    assert "2.png" not in last


def test_nothing_and_too_much_are_one_line(upload: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "no images; choose files first" in steps([], pytest.fail, threading.Event())[-1]
    monkeypatch.setattr(batch, "MAX_IMAGES", 0)
    (refused,) = steps([upload("a.png", b"a")], pytest.fail, threading.Event())
    assert "more than 0 images" in refused


def test_uploads_are_kept_from_the_press_on(scorer: ModelSet, images: list[bytes], upload: Any) -> None:
    uploads = [upload(f"{number}.png", image) for number, image in enumerate(images)]
    for one in uploads:
        os.utime(one.path, (0, 0))
    next(tab._scored(uploads, pytest.fail, threading.Event()))
    assert all(one.path.stat().st_mtime > 0 for one in uploads)

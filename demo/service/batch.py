"""Several images: what they are, their answers as rows, and the rows as CSV."""

import csv
import io
import os
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path

from osteolite.edge.errors import ImageTooLarge, InputError, OsteoliteError, UnreadableImage
from osteolite.edge.labels import FRACTURED
from osteolite.edge.prediction.prediction import Prediction

from .archive import content, entries, is_archive, open_archive
from .model_set import LIMITS

MAX_IMAGES = 200  # at once, those in archives among them
MAX_BYTES = 512 * 1024 * 1024  # of all of them, as they inflate
_NAME = 160  # characters of a name that are shown
_GONE = "the upload is no longer kept; upload it again"
_UNSEEN = {"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"}  # categories of Unicode
_FORMULA = tuple("=+-@")  # with which a cell is more than text to a spreadsheet


@dataclass(frozen=True)
class Upload:
    """A file as it was uploaded."""

    name: str  # as its owner has it: it may hold anything
    path: Path


@dataclass(frozen=True)
class Row:
    """The answer for one image, or why there is none."""

    file: str  # base name, or archive and the path in it; fit to be shown once it is escaped
    label: str = ""  # empty where the image was not scored
    fracture_probability: float | None = None  # calibrated, 0 to 1
    threshold: float | None = None
    body_part: str = ""  # where the model finds one
    warnings: str = ""
    milliseconds: float | None = None  # from bytes to answer
    model: str = ""
    error: str = ""  # one line


@dataclass(frozen=True)
class _Image:
    """An image before it is read."""

    name: str
    read: Callable[[], bytes]
    size: int  # bytes that it takes, at most


def count_images(uploads: Iterable[Upload]) -> int:
    """How many rows `score_images` will give.

    Raises:
        InputError: too many images, or too many bytes.
    """
    number, size = 0, 0
    for image in _images(uploads):
        number, size = number + 1, size + image.size
        if number > MAX_IMAGES:
            raise InputError(f"more than {MAX_IMAGES} images; upload at most so many at once")
        if size > MAX_BYTES:
            raise InputError(f"more than {MAX_BYTES // 1024**2} MiB of images; upload fewer at once")
    return number


def score_images(uploads: Iterable[Upload], score: Callable[[bytes], Prediction]) -> Iterator[Row]:
    """Score images one after the other, in the order given; one at a time is in memory.

    Args:
        uploads: images, and zip archives of them; call `count_images` on them first.
        score: from the bytes of an image file to its answer.

    Yields:
        A row for each image and for each that cannot be read, which says why.
    """
    for image in _images(uploads):
        try:
            yield _row(image.name, score(image.read()))
        except OsteoliteError as error:
            yield Row(image.name, error=str(error))
        except OSError:
            yield Row(image.name, error=_GONE)
        except MemoryError:
            yield Row(image.name, error="not enough memory on this machine for this image; make it smaller")


def to_csv(rows: Iterable[Row]) -> str:
    """Rows as CSV; no cell of it is a formula to a spreadsheet, whatever names strangers thought of.

    >>> print(to_csv([Row("=1+1.png", error="the file is empty")]).splitlines()[1])
    '=1+1.png,,,,,,,,the file is empty
    """
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    names = [field.name for field in fields(Row)]
    writer.writerow(names)
    writer.writerows([_cell(getattr(row, name)) for name in names] for row in rows)
    return stream.getvalue()


def summary(rows: Iterable[Row]) -> str:
    """How many images are fractured, normal, and not scored, in words.

    >>> summary([Row("a.png", "normal"), Row("b.png", error="the file is empty")])
    '2 images: 0 fractured, 1 normal, 1 not scored'
    """
    labels = [row.label for row in rows]
    fractured, lost = labels.count(FRACTURED), labels.count("")
    one = "image" if len(labels) == 1 else "images"
    return f"{len(labels)} {one}: {fractured} fractured, {len(labels) - fractured - lost} normal, {lost} not scored"


def shown(name: str) -> str:
    """A name that is fit to be shown once it is escaped: of one line, and not too long.

    >>> shown("a\\nb.png")
    'a\N{REPLACEMENT CHARACTER}b.png'
    """
    visible = _visible(name)
    return visible if len(visible) <= _NAME else f"{visible[: _NAME // 2]}…{visible[-_NAME // 2 + 1 :]}"


def _visible(text: str) -> str:
    """With a mark in place of each character that draws nothing, ends a line, or is none."""
    return "".join("\N{REPLACEMENT CHARACTER}" if unicodedata.category(one) in _UNSEEN else one for one in text)


def _images(uploads: Iterable[Upload]) -> Iterator[_Image]:
    for upload in uploads:
        name = shown(upload.name.replace("\\", "/").rpartition("/")[2])
        try:
            with upload.path.open("rb") as file:
                size, start = os.fstat(file.fileno()).st_size, file.read(4)
            if is_archive(start):
                yield from _archived(name, upload.path)
            elif size > LIMITS.max_bytes:
                yield _refused(name, ImageTooLarge(f"{size:,} bytes; at most {LIMITS.max_bytes:,} are read"))
            else:
                yield _Image(name, upload.path.read_bytes, size)
        except OSError:
            yield _refused(name, UnreadableImage(_GONE))


def _archived(name: str, path: Path) -> Iterator[_Image]:
    try:
        with open_archive(path) as archive:
            found = entries(archive)
            for entry in found:
                size = 0 if entry.refusal else entry.size
                yield _Image(f"{name}/{shown(entry.name)}", partial(content, archive, entry), size)
    except OsteoliteError as error:
        yield _refused(name, error)
        return
    if not found:
        yield _refused(name, UnreadableImage("the archive holds no files; zip the images and upload it again"))


def _refused(name: str, error: OsteoliteError) -> _Image:
    def read() -> bytes:
        raise error

    return _Image(name, read, 0)


def _row(name: str, prediction: Prediction) -> Row:
    return Row(
        file=name,
        label=prediction.label,
        fracture_probability=round(prediction.fracture_probability, 6),
        threshold=round(prediction.threshold, 6),
        body_part=prediction.body_part or "",
        warnings="; ".join(prediction.warnings.values()),
        milliseconds=round(sum(prediction.milliseconds.values()), 1),
        model=prediction.model,
    )


def _cell(value: str | float | None) -> str | float | None:
    if not isinstance(value, str):
        return value
    value = _visible(value)  # a line's end, which csv would not quote, begins a cell to some programs
    # Spreadsheets also take the wide forms of these characters, which normalising makes plain.
    risky = unicodedata.normalize("NFKC", value).lstrip(" ").startswith(_FORMULA)
    return f"'{value}" if risky else value

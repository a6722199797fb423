"""Score several images: uploads and zip archives in, one row for each image out, as CSV if wanted."""

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

MAX_IMAGES = 200  # images of one batch, including those in archives
MAX_BYTES = 512 * 1024 * 1024  # inflated size of all images of a batch
_MAX_NAME = 160  # characters shown of a name
_GONE = "the upload has been deleted; upload it again"
_INVISIBLE = {"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"}  # Unicode categories
_FORMULA = tuple("=+-@")  # first characters that make a spreadsheet evaluate a cell


@dataclass(frozen=True)
class Upload:
    """A file as it was uploaded."""

    name: str  # the visitor's file name; may hold any text
    path: Path


@dataclass(frozen=True)
class Row:
    """The prediction for one image, or why there is none."""

    file: str  # base name, or archive name and path in the archive; escape it before showing it
    label: str = ""  # "" if the image was not scored
    fracture_probability: float | None = None  # calibrated, 0 to 1
    threshold: float | None = None
    body_part: str = ""  # from routers only
    warnings: str = ""
    milliseconds: float | None = None  # from bytes to prediction
    model: str = ""
    error: str = ""  # one line


@dataclass(frozen=True)
class _Image:
    """An image that is not read yet."""

    name: str
    read: Callable[[], bytes]
    size: int  # maximum size in bytes


def count_images(uploads: Iterable[Upload], max_images: int = MAX_IMAGES, max_bytes: int = MAX_BYTES) -> int:
    """Count the rows that `score_images` will give.

    Args:
        uploads: images and zip archives of images.
        max_images: maximum number of images, including those in archives.
        max_bytes: maximum inflated size of all images, bytes.

    Raises:
        InputError: there are too many images or bytes.
    """
    number, size = 0, 0
    for image in _images(uploads):
        number, size = number + 1, size + image.size
        if number > max_images:
            raise InputError(f"more than {max_images} images; upload at most that many at once")
        if size > max_bytes:
            raise InputError(f"more than {max_bytes // 1024**2} MiB of images; upload fewer at once")
    return number


def score_images(uploads: Iterable[Upload], score: Callable[[bytes], Prediction]) -> Iterator[Row]:
    """Score images one after the other in the given order. Only one image is in memory at a time.

    Args:
        uploads: images and zip archives of images; check them with `count_images` first.
        score: gives the prediction for the bytes of an image file.

    Yields:
        One row for each image; the row of an unreadable image has the reason.
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
    """Rows as CSV. No cell is a formula to a spreadsheet, whatever the file names are.

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
    """The number of fractured, normal and unscored images, in words.

    >>> summary([Row("a.png", "normal"), Row("b.png", error="the file is empty")])
    '2 images: 0 fractured, 1 normal, 1 not scored'
    """
    labels = [row.label for row in rows]
    fractured, unscored = labels.count(FRACTURED), labels.count("")
    noun = "image" if len(labels) == 1 else "images"
    normal = len(labels) - fractured - unscored
    return f"{len(labels)} {noun}: {fractured} fractured, {normal} normal, {unscored} not scored"


def display_name(name: str) -> str:
    """A name in one line of limited length. Escape it before showing it in HTML.

    >>> display_name("a\\nb.png")
    'a\N{REPLACEMENT CHARACTER}b.png'
    """
    visible = _visible(name)
    return visible if len(visible) <= _MAX_NAME else f"{visible[: _MAX_NAME // 2]}…{visible[-_MAX_NAME // 2 + 1 :]}"


def _visible(text: str) -> str:
    """Replace each character that is invisible, ends a line or is unassigned."""
    return "".join(
        "\N{REPLACEMENT CHARACTER}" if unicodedata.category(character) in _INVISIBLE else character
        for character in text
    )


def _images(uploads: Iterable[Upload]) -> Iterator[_Image]:
    for upload in uploads:
        name = display_name(upload.name.replace("\\", "/").rpartition("/")[2])
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
                yield _Image(f"{name}/{display_name(entry.name)}", partial(content, archive, entry), size)
    except OsteoliteError as error:
        yield _refused(name, error)
        return
    if not found:
        yield _refused(name, UnreadableImage("the archive has no files; zip the images and upload it again"))


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
    value = _visible(value)  # csv does not quote every line end, and some programs start a new cell there
    # Spreadsheets also accept the full-width forms of these characters, which NFKC maps to the plain ones.
    risky = unicodedata.normalize("NFKC", value).lstrip(" ").startswith(_FORMULA)
    return f"'{value}" if risky else value

"""Images that a person can try the page on without one of their own."""

import shutil
from collections.abc import Iterator
from pathlib import Path

from osteolite.edge.errors import ImageError, OsteoliteError, UsageError
from osteolite.edge.imaging.radiograph import FORMATS, read_radiograph
from osteolite.edge.preprocess import PreprocessingSpec

from .model_set import LIMITS

MOST = 12  # examples
_TRIED = 200  # files that are opened to find them
_DRAWN = Path(__file__).parent / "drawn"
_SMALL = PreprocessingSpec(64, 64)  # a JPEG is decoded no larger than that takes, as only its being readable counts


def example_files(folder: Path | None, into: Path) -> list[Path]:
    """Copy the examples into a folder of the page's own, so that nothing else is ever served.

    Args:
        folder: its readable images, the first 12 by name; of them only regular files that lie in it.
            None, a few drawn phantoms, whose names say so.
        into: an existing, empty folder.

    Returns:
        The copies, by name.

    Raises:
        UsageError: no such folder, or no image in it can be read.
    """
    found = sorted(_DRAWN.glob("*.png")) if folder is None else _readable(folder)
    return [Path(shutil.copyfile(path, into / path.name)) for path in found]


def _readable(folder: Path) -> list[Path]:
    try:
        inside = sorted(_inside(folder))
    except OSError as error:
        raise UsageError(
            f"{folder}: cannot be listed ({error.strerror}); name a folder of images by --examples"
        ) from error
    found: list[Path] = []
    reason = "it is empty"
    for path in inside[:_TRIED]:
        try:
            read_radiograph(path, _SMALL, LIMITS)
        except OsteoliteError as error:  # also of a format whose reader is not installed
            reason = f"{path.name}: {error}" if isinstance(error, ImageError) else str(error)
            continue
        found.append(path)
        if len(found) == MOST:
            break
    if not found:
        raise UsageError(f"{folder} holds no image that can be read ({reason}); give {', '.join(FORMATS)} or DICOM")
    return found


def _inside(folder: Path) -> Iterator[Path]:
    """Regular files with names that a page can show: no links, which could lead anywhere, and no folders."""
    for path in folder.iterdir():
        if path.is_file() and not path.is_symlink() and not path.name.startswith(".") and path.name.isprintable():
            yield path

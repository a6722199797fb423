"""Example images for visitors without one of their own."""

import shutil
from collections.abc import Iterator
from pathlib import Path

from osteolite.edge.errors import ImageError, OsteoliteError, UsageError
from osteolite.edge.imaging.radiograph import FORMATS, read_radiograph
from osteolite.edge.preprocess import PreprocessingSpec

from .model_set import LIMITS

MAX_EXAMPLES = 12
_MAX_TRIED = 200  # files opened in search of readable ones
_DRAWN = Path(__file__).parent / "drawn"
_SMALL = PreprocessingSpec(64, 64)  # small, because the image is only checked to be readable


def example_files(folder: Path | None, into: Path) -> list[Path]:
    """Copy the examples into the page's own folder, so that no other file can be served.

    Args:
        folder: a folder of which the first 12 readable images by name are copied. Links and subfolders are
            ignored. None copies a few drawn phantoms, whose names say so.
        into: an existing, empty folder.

    Returns:
        The copies, ordered by name.

    Raises:
        UsageError: the folder does not exist or has no readable image.
    """
    found = sorted(_DRAWN.glob("*.png")) if folder is None else _readable(folder)
    return [Path(shutil.copyfile(path, into / path.name)) for path in found]


def _readable(folder: Path) -> list[Path]:
    try:
        inside = sorted(_inside(folder))
    except OSError as error:
        raise UsageError(
            f"{folder}: cannot be listed ({error.strerror}); give a folder of images to --examples"
        ) from error
    found: list[Path] = []
    reason = "it is empty"
    for path in inside[:_MAX_TRIED]:
        try:
            read_radiograph(path, _SMALL, LIMITS)
        except OsteoliteError as error:  # includes formats whose reader is not installed
            reason = f"{path.name}: {error}" if isinstance(error, ImageError) else str(error)
            continue
        found.append(path)
        if len(found) == MAX_EXAMPLES:
            break
    if not found:
        raise UsageError(f"{folder} has no readable image ({reason}); give {', '.join(FORMATS)} or DICOM")
    return found


def _inside(folder: Path) -> Iterator[Path]:
    """The regular files with printable names; links are left out because they can point anywhere."""
    for path in folder.iterdir():
        if path.is_file() and not path.is_symlink() and not path.name.startswith(".") and path.name.isprintable():
            yield path

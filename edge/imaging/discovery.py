"""Find the image files of a folder."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from ..errors import UsageError
from .dicom.reader import HEAD, is_dicom
from .radiograph import SUFFIXES

_STARTS = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_BMP_HEADERS = (12, 40, 52, 56, 64, 108, 124)  # header sizes, bytes; "BM" alone also starts text files


def image_files(paths: Iterable[str]) -> list[str]:
    """List image files: files as given, and for each folder the images in it and below, sorted by name.

    Hidden files and folders, temporary files ending in .part, and links that lead out of the folder are left out.

    Raises:
        UsageError: a folder holds no image.
    """
    found: list[str] = []
    for path in paths:
        if not os.path.isdir(path):
            found.append(path)
            continue
        inside = sorted(_inside(path))
        if not inside:
            raise UsageError(
                f"{path} holds no image; looked for {', '.join(sorted(SUFFIXES))}, and for these formats in other files"
            )
        found += inside
    return found


def is_image_file(path: str | os.PathLike[str]) -> bool:
    """Whether a file is an image, by its suffix or its first 132 bytes.

    Hidden files, temporary files ending in .part, and everything that is not a regular file are not images.

    >>> is_image_file(__file__)
    False
    """
    path = Path(path)
    if path.name.startswith(".") or path.suffix == ".part":
        return False
    try:
        if not path.is_file():  # opening a pipe would block
            return False
        return path.suffix.lower() in SUFFIXES or _is_image(_start(path))
    except OSError:
        return False


def _inside(top: str) -> Iterator[str]:
    root = os.path.join(os.path.realpath(top), "")
    for folder, folders, names in os.walk(top):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            path = os.path.join(folder, name)
            outside = Path(path).is_symlink() and not os.path.realpath(path).startswith(root)
            if not outside and is_image_file(path):
                yield path


def _start(path: Path) -> bytes:
    with path.open("rb", buffering=0) as stream:
        return stream.read(HEAD)


def _is_image(start: bytes) -> bool:
    if start.startswith(_STARTS) or (start[:4] == b"RIFF" and start[8:12] == b"WEBP"):
        return True
    if start[:2] == b"BM":
        return int.from_bytes(start[14:18], "little") in _BMP_HEADERS
    return is_dicom(start)

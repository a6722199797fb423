"""Which images of a folder are measured."""

import os
from collections.abc import Iterable

from PIL import Image

from osteolite.edge.errors import UsageError
from osteolite.edge.imaging.discovery import image_files


def parse_size(text: str | None) -> tuple[int, int] | None:
    """`373x454` as (373, 454).

    Raises:
        UsageError: no such text.
    """
    if text is None:
        return None
    try:
        width, height = map(int, text.split("x"))
    except ValueError as error:
        raise UsageError(f"--size {text}: give width and height in pixels, as in 373x454") from error
    return width, height


def select(paths: Iterable[str], size: tuple[int, int] | None = None, most: int | None = None) -> list[str]:
    """Images of files and folders, in order.

    Args:
        paths: files, and folders with images in them or below.
        size: width and height of those to take, in this or the other order; default, all.
        most: take so many, spread evenly.

    Raises:
        UsageError: no image is left, or one of a kind that Pillow does not know.
    """
    found = image_files(paths)
    if size is not None:
        found = [file for file in found if size_of(file) in (size, size[::-1])]
    if not found:
        raise UsageError("no image of that size; give other images, or another --size")
    if most is not None and most < len(found):
        found = [found[index * len(found) // most] for index in range(most)]
    return found


def size_of(file: str) -> tuple[int, int]:
    """Width and height that an image claims to have.

    Raises:
        UsageError: no image.
    """
    try:
        with Image.open(file) as image:
            return image.size
    except OSError as error:
        raise UsageError(f"{os.path.basename(file)} cannot be read; leave it out") from error

"""Select the images to measure."""

import os
from collections.abc import Iterable

from PIL import Image

from osteolite.edge.errors import UsageError
from osteolite.edge.imaging.discovery import image_files


def parse_size(text: str | None) -> tuple[int, int] | None:
    """Parse WIDTHxHEIGHT.

    Raises:
        UsageError: the text has another form.

    >>> parse_size("373x454")
    (373, 454)
    """
    if text is None:
        return None
    try:
        width, height = map(int, text.split("x"))
    except ValueError as error:
        raise UsageError(f"--size {text}: give width and height in pixels, for example 373x454") from error
    return width, height


def select(paths: Iterable[str], size: tuple[int, int] | None = None, most: int | None = None) -> list[str]:
    """Select images from files and folders, in order.

    Args:
        paths: files, and folders with images in them or below.
        size: width and height of the images to select, in either order; None: all.
        most: largest number of images, spread evenly; None: all.

    Raises:
        UsageError: no image is left, or Pillow cannot read one.
    """
    found = image_files(paths)
    if size is not None:
        found = [file for file in found if size_of(file) in (size, size[::-1])]
    if not found:
        raise UsageError("no image has that size; give other images, or another --size")
    if most is not None and most < len(found):
        found = [found[index * len(found) // most] for index in range(most)]
    return found


def size_of(file: str) -> tuple[int, int]:
    """The width and height in the header of an image.

    Raises:
        UsageError: Pillow cannot read the file.
    """
    try:
        with Image.open(file) as image:
            return image.size
    except OSError as error:
        raise UsageError(f"{os.path.basename(file)} cannot be read; leave it out") from error

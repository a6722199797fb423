"""Grey pictures in all formats and orientations, for the tests of imaging."""

from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

Encode = Callable[..., bytes]
Pixels = np.ndarray[Any, np.dtype[np.uint8]]
# Format: options of the encoder
LOSSLESS: dict[str, dict[str, Any]] = {"PNG": {}, "TIFF": {}, "BMP": {}, "WEBP": {"lossless": True}}
FORMATS: dict[str, dict[str, Any]] = {**LOSSLESS, "JPEG": {"quality": 95}}

# EXIF orientation: how the upright picture is stored under it
STORED: dict[int, Callable[[Pixels], Pixels]] = {
    1: lambda up: up,
    2: np.fliplr,
    3: lambda up: np.rot90(up, 2),
    4: np.flipud,
    5: np.transpose,
    6: lambda up: np.rot90(up, 1),
    7: lambda up: np.rot90(up, 2).T,
    8: lambda up: np.rot90(up, -1),
}


def picture(width: int = 64, height: int = 48) -> Pixels:
    """A smooth grey picture that every flip and rotation changes: dark top left, white bottom right, grey between."""
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    grey: Pixels = np.rint(255 * (0.7 * x * y + 0.3 * x)).astype(np.uint8)
    return grey


def difference(image: Image.Image, expected: np.ndarray[Any, Any]) -> float:
    """Return the largest difference between an image of mode "L" and pixels of the same size, grey levels."""
    assert image.mode == "L"
    assert image.size == expected.shape[::-1]
    return float(np.abs(np.asarray(image, np.int16) - expected).max())


def with_orientation(orientation: int, image_format: str, up: Pixels, encode: Encode) -> bytes:
    """Encode an upright picture as it is stored under an EXIF orientation."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.ascontiguousarray(STORED[orientation](up)))
    return encode(stored, image_format, exif=exif, **FORMATS[image_format])

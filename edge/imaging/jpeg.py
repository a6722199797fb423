"""Decode JPEG files only as far as the model's input needs."""

import io
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from PIL import Image

from .limits import UntrustedFile

if TYPE_CHECKING:
    from ..preprocess import PreprocessingSpec

_CHUNK = 8192  # bytes decoded between two checks of the deadline; some eighty scans of a hostile file
_MARGIN = 1.5  # smallest size after a reduction, relative to the size needed
_MAX_PARSED = 16 * 1024 * 1024  # largest file whose scans are parsed, bytes
_RGB = (ord("R"), ord("G"), ord("B"))

# Ends the coded data of a scan; 00 is byte stuffing, and D0 to D7 are restart markers.
_MARKER_IN_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_START_OF_SCAN, _END = 0xDA, 0xD9


def prepare_jpeg(image: Any, stream: UntrustedFile, spec: "PreprocessingSpec | None", turned: bool) -> Any:
    """Prepare an opened JPEG file to be decoded at the smallest scale that the spec allows.

    Refinement scans, whose detail is lost at a reduced scale, are left out.

    Args:
        image: a Pillow image whose pixels are not loaded yet.
        stream: the file that it was opened from.
        spec: preprocessing of the model; None decodes everything.
        turned: whether the EXIF orientation swaps width and height.

    Returns:
        The image to load: of mode "L", or for a colour file "YCbCr" ("RGB" or "CMYK" if it is encoded so).
    """
    width, height = image.size
    scale = _scale(width, height, spec, turned) if spec else 1
    progressive = image.format == "JPEG" and image.info.get("progressive")
    if scale > 1 and progressive:
        stream.seek(0)
        content = stream.read(_MAX_PARSED + 1)
        if len(content) <= _MAX_PARSED:
            lighter = UntrustedFile(io.BytesIO(without_refinements(content)), stream.deadline)
            image = Image.open(lighter, formats=("JPEG",))
    image.decodermaxblock = _CHUNK
    luminance = image.mode == "RGB" and image.info.get("adobe_transform") != 0
    luminance = luminance and tuple(layer[0] for layer in image.layer) != _RGB
    image.draft("YCbCr" if luminance else image.mode, (width // scale, height // scale))
    return image


def _scale(width: int, height: int, spec: "PreprocessingSpec", turned: bool) -> int:
    """Return the factor, 1 to 8, by which the decoder may reduce each side.

    The decoder rounds a reduced side up. A factor at which this would move the image's edge in the model's input by a
    pixel is not used.
    """

    def fitted(width: int, height: int) -> tuple[int, int]:
        return spec.fitted_size(height, width)[::-1] if turned else spec.fitted_size(width, height)

    needed = fitted(width, height)
    for scale in (8, 4, 2):
        enough = width // scale >= _MARGIN * needed[0] and height // scale >= _MARGIN * needed[1]
        if enough and fitted(-(-width // scale), -(-height // scale)) == needed:
            return scale
    return 1


def without_refinements(content: bytes) -> bytes:
    """Remove the scans of a progressive JPEG file that only refine AC coefficients.

    These scans are most of the file and of its decoding time, and averaging over the pixels of a reduced image removes
    what they add. All other scans and tables are kept, also the refinement of DC coefficients (Ss of 0), without which
    the image would be darker. Source: ISO/IEC 10918-1, annex G, successive approximation: scans with Ah above 0.

    Args:
        content: content of the file.

    Returns:
        A file that any decoder reads; the content unchanged if it does not follow the standard.
    """
    kept, end = [content[:2]], 2
    try:
        for start, end, refines in _segments(content):
            if not refines:
                kept.append(content[start:end])
    except IndexError:  # truncated or damaged: the decoder reports it
        return content
    return b"".join([*kept, content[end:]])


def _segments(content: bytes) -> Iterator[tuple[int, int, bool]]:
    """Yield start, end and whether it refines AC coefficients of each segment; a scan includes its coded data."""
    place = 2
    while True:
        if content[place] != 0xFF:
            raise IndexError
        marker = content[place + 1]
        if marker == _END:
            return
        end = place + 2 + int.from_bytes(content[place + 2 : place + 4], "big")
        refines = False
        if marker == _START_OF_SCAN:
            spectral, approximation = content[end - 3], content[end - 1]
            refines = spectral > 0 and approximation >> 4 > 0
            found = _MARKER_IN_SCAN.search(content, end)
            if found is None:
                raise IndexError
            end = found.start()
        yield place, end, refines
        place = end

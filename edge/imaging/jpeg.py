"""What of a JPEG file is decoded: as much as the model's input needs."""

import io
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from PIL import Image

from .limits import UntrustedFile

if TYPE_CHECKING:
    from ..preprocess import PreprocessingSpec

_CHUNK = 8192  # bytes decoded between two looks at the clock; some eighty scans of a hostile file
_LEFT = 1.5  # times the size that is needed, at least, after a reduction
_MOST_SEARCHED = 16 * 1024 * 1024  # bytes of a file whose scans are looked at one by one
_RGB = (ord("R"), ord("G"), ord("B"))

_MARKER_IN_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # ends the coded data; 00 is a stuffed byte, D0 to D7 go on
_START_OF_SCAN, _END = 0xDA, 0xD9


def prepare_jpeg(image: Any, stream: UntrustedFile, spec: "PreprocessingSpec | None", turned: bool) -> Any:
    """Set a JPEG file just opened to be decoded for a spec: reduced, and without what the reduction loses.

    Args:
        image: of Pillow, not loaded yet.
        stream: what it was opened from.
        spec: of the model's input; None decodes everything.
        turned: whether its width becomes its height when it is put upright.

    Returns:
        The image to load, of mode "L", or where the file has colours "YCbCr" (or "RGB" or "CMYK" if it was
        encoded so).
    """
    width, height = image.size
    scale = _scale(width, height, spec, turned) if spec else 1
    progressive = image.format == "JPEG" and image.info.get("progressive")
    if scale > 1 and progressive:
        stream.seek(0)
        content = stream.read(_MOST_SEARCHED + 1)
        if len(content) <= _MOST_SEARCHED:
            lighter = UntrustedFile(io.BytesIO(without_refinements(content)), stream.deadline)
            image = Image.open(lighter, formats=("JPEG",))
    image.decodermaxblock = _CHUNK
    luminance = image.mode == "RGB" and image.info.get("adobe_transform") != 0
    luminance = luminance and tuple(layer[0] for layer in image.layer) != _RGB
    image.draft("YCbCr" if luminance else image.mode, (width // scale, height // scale))
    return image


def _scale(width: int, height: int, spec: "PreprocessingSpec", turned: bool) -> int:
    """By how much the decoder may reduce each side.

    It rounds a reduced side up; a scale at which that would move the picture's edge inside the model's
    input by a pixel is passed over.
    """

    def fitted(width: int, height: int) -> tuple[int, int]:
        return spec.fitted_size(height, width)[::-1] if turned else spec.fitted_size(width, height)

    needed = fitted(width, height)
    for scale in (8, 4, 2):
        enough = width // scale >= _LEFT * needed[0] and height // scale >= _LEFT * needed[1]
        if enough and fitted(-(-width // scale), -(-height // scale)) == needed:
            return scale
    return 1


def without_refinements(content: bytes) -> bytes:
    """A progressive JPEG file without the scans that only add lower bits to the details of its blocks.

    They are most of such a file, and of its decoding. Averaged over the pixels that become one, what
    they add is lost. All other scans and tables stay. Source: ISO/IEC 10918-1, annex G: successive
    approximation, scans with Ah above 0; those of the mean of a block (Ss of 0) are kept, as it would become
    darker.

    Args:
        content: of the file.

    Returns:
        A file that any decoder takes; the content itself where it is not built as the standard says.
    """
    kept, end = [content[:2]], 2
    try:
        for start, end, refines in _segments(content):
            if not refines:
                kept.append(content[start:end])
    except IndexError:  # cut short or damaged: let the decoder say so
        return content
    return b"".join([*kept, content[end:]])


def _segments(content: bytes) -> Iterator[tuple[int, int, bool]]:
    """Start and end of each segment, a scan's with its coded data, and whether it is a refinement of details."""
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

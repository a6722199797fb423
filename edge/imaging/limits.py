"""What an untrusted file may cost, and the stream that stops it."""

import io
import math
import time
from dataclasses import dataclass

from ..errors import ImageTooLarge, ImageTooSlow, UnreadableImage

RADIOGRAPHS = frozenset({"CR", "DR", "DX", "RG"})  # computed, digital (two spellings) and film radiography


@dataclass(frozen=True)
class Limits:
    """What an untrusted file may cost, and which DICOM files are taken for radiographs.

    TIFF, WebP and the frame of a DICOM file are read first and then decoded in one go, which
    `max_seconds` cannot stop and `max_pixels` bounds. The worst files of 64 million pixels that could
    be made took 3 s (TIFF), 7 s (WebP) and 16 s (JPEG 2000) of one core at 2.5 GHz; a DICOM file of
    run lengths takes up to twice the limit. A Pillow image or an array is not timed.

    >>> Limits(max_pixels=4_000_000).max_seconds
    30.0
    """

    max_bytes: int = 256 * 1024 * 1024  # size of the file, and of what a deflated DICOM file inflates to
    max_pixels: int = 64_000_000  # width x height; a stitched whole-leg radiograph has some 30 million
    max_seconds: float = 30.0  # decoding stops at its next read of the file; see above for what has none left
    modalities: frozenset[str] | None = RADIOGRAPHS  # DICOM modalities to read; None reads any, and none named


class Deadline:
    """The moment, some seconds from now, when decoding has to end.

    >>> Deadline(seconds=0).check()
    Traceback (most recent call last):
    osteolite.edge.errors.ImageTooSlow: not decoded after 0 seconds, the limit; export it again or raise max_seconds
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._end = time.monotonic() + seconds

    def check(self) -> None:
        """Raise ImageTooSlow once the time is over."""
        if time.monotonic() >= self._end:
            raise ImageTooSlow(
                f"not decoded after {self._seconds:g} seconds, the limit; export it again or raise max_seconds"
            )


class UntrustedFile(io.BufferedReader):
    """A binary file whose reads end with an error once its time, or its allowance of bytes, is spent.

    Decoders ask for a file piece by piece, so that a file made to keep them busy is stopped between
    two pieces, without a thread or a process to kill.

    Attributes:
        deadline: when reading ends with ImageTooSlow.
        allowance: bytes that may still be read before UnreadableImage; endless until someone sets an end.

    >>> UntrustedFile(io.BytesIO(b"pixels"), Deadline(seconds=9)).read()
    b'pixels'
    """

    def __init__(self, raw: io.RawIOBase | io.BytesIO, deadline: Deadline) -> None:
        super().__init__(raw)
        self.deadline = deadline
        self.allowance = math.inf

    def read(self, size: int | None = -1, /) -> bytes:
        self.deadline.check()
        content = super().read(size)
        self.allowance -= len(content)
        if self.allowance < 0:
            raise UnreadableImage("damaged file: far more of it is header than any image needs")
        return content


def check_pixels(width: int, height: int, limits: Limits) -> None:
    """Raise UnreadableImage for an image without pixels, ImageTooLarge for one over the limit."""
    if width < 1 or height < 1:
        raise UnreadableImage(f"the image has no pixels ({width} x {height})")
    if width * height > limits.max_pixels:
        raise ImageTooLarge(f"{width} x {height} pixels; at most {limits.max_pixels:,} pixels are read")

"""Limits for untrusted files, and a stream that enforces them."""

import io
import math
import time
from dataclasses import dataclass

from ..errors import ImageTooLarge, ImageTooSlow, UnreadableImage

RADIOGRAPHS = frozenset({"CR", "DR", "DX", "RG"})  # computed, digital (two codes) and film radiography


@dataclass(frozen=True)
class Limits:
    """Limits for untrusted files, and the DICOM modalities that count as radiographs.

    TIFF, WebP and the frame of a DICOM file are read first and then decoded in one step, which `max_seconds` cannot
    stop and `max_pixels` bounds. The worst files of 64 million pixels that could be constructed took 3 s (TIFF), 7 s
    (WebP) and 16 s (JPEG 2000) on one core at 2.5 GHz; an RLE-compressed DICOM file takes up to twice `max_seconds`.
    Pillow images and arrays have no time limit.

    >>> Limits(max_pixels=4_000_000).max_seconds
    30.0
    """

    max_bytes: int = 256 * 1024 * 1024  # size of the file, and of a deflated DICOM file after inflation
    max_pixels: int = 64_000_000  # width x height; a stitched whole-leg radiograph has about 30 million
    max_seconds: float = 30.0  # checked at each read of the file, see above
    modalities: frozenset[str] | None = RADIOGRAPHS  # DICOM modalities to read; None: any, also files without one


class Deadline:
    """A time limit for decoding that starts now.

    >>> Deadline(seconds=0).check()
    Traceback (most recent call last):
    osteolite.edge.errors.ImageTooSlow: not decoded within the limit of 0 seconds; export it again or raise max_seconds
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._end = time.monotonic() + seconds

    def check(self) -> None:
        """Raise ImageTooSlow if the time is over."""
        if time.monotonic() >= self._end:
            raise ImageTooSlow(
                f"not decoded within the limit of {self._seconds:g} seconds; export it again or raise max_seconds"
            )


class UntrustedFile(io.BufferedReader):
    """A binary file whose reads fail after a deadline or a number of bytes.

    Decoders read a file in pieces, so a file made to keep them busy is stopped between two reads, without a thread or
    a process to kill.

    Attributes:
        deadline: time limit, after which a read raises ImageTooSlow.
        allowance: bytes that may still be read before a read raises UnreadableImage; at first unlimited.

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
            raise UnreadableImage("damaged file: its header is too large for an image; export it again from its source")
        return content


def check_pixels(width: int, height: int, limits: Limits) -> None:
    """Raise UnreadableImage for an image without pixels, ImageTooLarge for one over the limit."""
    if width < 1 or height < 1:
        raise UnreadableImage(f"the image has no pixels ({width} x {height}); export it again from its source")
    if width * height > limits.max_pixels:
        raise ImageTooLarge(f"{width} x {height} pixels; at most {limits.max_pixels:,} pixels are read")

"""Check the size in a compressed DICOM frame before it is decoded.

The frame repeats the size in the header, and decoders allocate memory by the frame. The limits are checked on the
header, so a frame of another size is refused.
"""

import itertools
import struct

from ...errors import UnreadableImage
from ..limits import Deadline

_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {0xF7}  # SOF markers of JPEG and JPEG-LS
# Baseline, extended, lossless and JPEG-LS. DICOM does not allow progressive JPEG, whose many scans no limit would stop.
_SEQUENTIAL = frozenset({0xC0, 0xC1, 0xC3, 0xF7})
_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD9)})
_SCAN, _END = 0xDA, b"\xff\xd9"
OTHER_SIZE = "its compressed frame has another size than its header says; export it again from its source"
Shape = tuple[int, int, int]  # rows, columns, samples per pixel


def check_jpeg(frame: bytes, shape: Shape) -> None:
    """Check the size of a JPEG or JPEG-LS frame.

    Raises:
        UnreadableImage: another size than `shape`, a process that DICOM does not allow, damaged or truncated.
    """
    found, place = [], 2
    while frame[place + 1] != _SCAN:
        marker = frame[place + 1]
        if frame[place] != 0xFF:
            raise UnreadableImage("its JPEG frame is damaged; export it again from its source")
        if marker == 0xFF:  # a fill byte
            place += 1
        elif marker in _WITHOUT_LENGTH:
            place += 2
        else:
            if marker in _FRAMES - _SEQUENTIAL:
                raise UnreadableImage(
                    "its JPEG frame is progressive or arithmetic, which DICOM forbids; export it again"
                )
            if marker in _SEQUENTIAL:
                found.append(struct.unpack_from(">HHB", frame, place + 5))
            place += 2 + struct.unpack_from(">H", frame, place + 2)[0]
    if found != [shape]:
        raise UnreadableImage(OTHER_SIZE)
    if not frame.rstrip(b"\0\xff").endswith(_END):  # a decoder would fill the missing rows with grey
        raise UnreadableImage("its JPEG frame is cut short; export it again from its source")


def check_rle(frame: bytes, shape: Shape, deadline: Deadline) -> None:
    """Check the decoded size of an RLE frame (PS3.5 annex G).

    The frame does not state its size, so the runs are counted. One byte can stand for 64.

    Raises:
        UnreadableImage: damaged, or more pixels than `shape`.
        ImageTooSlow: over the time limit.
    """
    most = 2 * shape[0] * shape[1] + 2  # two bytes per sample, and padding
    count, *offsets = struct.unpack_from("<16I", frame)
    if not 1 <= count <= 15:
        raise UnreadableImage("its run-length frame is damaged; export it again from its source")
    offsets = [*offsets[:count], len(frame)]
    for start, end in itertools.pairwise(offsets):
        if _run_length(frame[start:end], most, deadline) > most:
            raise UnreadableImage("its run-length frame holds more pixels than its header says; export it again")


def _run_length(segment: bytes, most: int, deadline: Deadline) -> int:
    place = length = steps = 0
    while place < len(segment) and length <= most:
        code = segment[place]
        if code < 128:
            length += code + 1
            place += code + 2
        else:
            length += 257 - code if code > 128 else 0
            place += 2 if code > 128 else 1
        steps += 1
        if steps % 65536 == 0:
            deadline.check()
    return length

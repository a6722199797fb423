"""Check what it would cost to decode a JPEG 2000 frame of a DICOM file.

The decoder allocates about 1.2 kB per code block and 6 kB per tile, and a header of a few bytes can divide an image
into millions of either: 16 million pixels in the smallest blocks took 5 GB.
"""

import struct
from collections.abc import Iterator

from ...errors import UnreadableImage
from .frame_size import OTHER_SIZE, Shape

_CODING, _COMPONENT, _TILE_PART, _DATA, _END = b"\xff\x52", b"\xff\x53", b"\xff\x90", b"\xff\x93", b"\xff\xd9"
_MAX_TILES = 1024  # 64 million pixels in tiles of 256 x 256
_MAX_MARKERS = 65_536
_MIN_BLOCK = 512  # smallest average code block, pixels; encoders use 1024 or 4096
_DAMAGED = "its JPEG 2000 frame is damaged or not allowed in DICOM; export it again from its source"


def check_jpeg2000(frame: bytes, shape: Shape) -> None:
    """Check the size of a JPEG 2000 or HTJ2K frame, and its number of tiles and code blocks.

    Raises:
        UnreadableImage: another size than `shape`, wrapped as a JP2 file, damaged, or too many tiles or code blocks.
    """
    # A frame wrapped as a JP2 file violates the standard, and could hide a second, larger frame.
    if frame[:4] != b"\xff\x4f\xff\x51":
        raise UnreadableImage(_DAMAGED)
    right, bottom, left, top, tile_width, tile_height, tile_left, tile_top, samples = struct.unpack_from(
        ">8IH", frame, 8
    )
    steps = frame[43 : 42 + 3 * samples : 3] + frame[44 : 42 + 3 * samples : 3]
    if (bottom - top, right - left, samples) != shape or steps != b"\1" * (2 * samples):
        raise UnreadableImage(OTHER_SIZE)
    tiles = -(-(right - tile_left) // tile_width) * -(-(bottom - tile_top) // tile_height)
    size = min(tile_width, shape[1]), min(tile_height, shape[0])
    most = shape[0] * shape[1] // _MIN_BLOCK + 4096
    for style in _coding_styles(frame):
        if tiles > _MAX_TILES or tiles * _blocks(size, style) > most:
            raise UnreadableImage(
                "its JPEG 2000 frame has too many tiles or code blocks; export it again from its source"
            )


def _coding_styles(frame: bytes) -> Iterator[bytes]:
    """Yield each coding style of the frame, its tiles and its components: levels, block size, ..., precincts."""
    place, part, markers = 2, 0, 0
    while frame[place : place + 2] not in (_END, b""):
        markers += 1
        marker = frame[place : place + 2]
        if marker == _DATA:
            length = struct.unpack_from(">I", frame, part + 6)[0]
            if length == 0:  # the last tile part, up to the end
                return
            if part + length <= place:
                raise UnreadableImage(_DAMAGED)
            place = part + length
            continue
        length = struct.unpack_from(">H", frame, place + 2)[0]
        if marker[0] != 0xFF or length < 2 or markers > _MAX_MARKERS:
            raise UnreadableImage(_DAMAGED)
        if marker == _TILE_PART:
            part = place
        if marker == _CODING:
            yield frame[place + 9 : place + 2 + length]
        elif marker == _COMPONENT:
            yield frame[place + 6 : place + 2 + length]
        place += 2 + length


def _blocks(size: tuple[int, int], style: bytes) -> int:
    """Return the number of code blocks of a tile."""
    levels, blocks = style[0], 0
    for resolution in range(levels + 1):
        precinct = style[5 + resolution] if len(style) > 5 else 0xFF
        bands = 3 if resolution else 1
        counts = []
        for side, block, exponent in zip(size, style[1:3], (precinct & 15, precinct >> 4), strict=True):
            # A precinct's exponent refers to its resolution; each of the three bands has half that size.
            reach = min(block + 2, exponent - 1 if resolution else exponent) + (1 if resolution else 0)
            counts.append(-(-side // 2 ** max(0, levels - resolution + reach)))
        blocks += bands * counts[0] * counts[1]
    return blocks

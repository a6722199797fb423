"""Limits of bytes, pixels and seconds."""

import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from osteolite.edge.errors import ImageTooLarge, ImageTooSlow
from osteolite.edge.imaging.limits import Limits
from osteolite.edge.imaging.radiograph import read_radiograph
from osteolite.edge.preprocess import PreprocessingSpec

from .pictures import FORMATS, Encode, picture


def test_limits_are_inclusive(encode: Encode) -> None:
    content = encode(Image.new("L", (10, 20)), "PNG")
    assert read_radiograph(content, limits=Limits(len(content), 200)).size == (10, 20)
    with pytest.raises(ImageTooLarge, match=f"at most {len(content) - 1}"):
        read_radiograph(content, limits=Limits(max_bytes=len(content) - 1))
    for source in (content, Image.new("L", (10, 20)), np.zeros((20, 10), np.uint8)):
        with pytest.raises(ImageTooLarge, match="at most 199 pixels"):
            read_radiograph(source, limits=Limits(max_pixels=199))


BOMBS = """
import resource, sys
from osteolite.edge.errors import ImageTooLarge
from osteolite.edge.imaging.radiograph import read_radiograph

resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))  # the pixels alone would take 3.6 GB
for path in sys.argv[1:]:
    try:
        read_radiograph(path)
    except ImageTooLarge as error:
        print(error)
# Not ru_maxrss, which Linux inherits from the parent process.
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


def test_huge_images_are_refused_before_they_are_decoded(
    encode: Encode, hollow_png: Callable[[int, int], bytes], tmp_path: Path
) -> None:
    small = Image.fromarray(picture())
    tiff, jpeg = bytearray(encode(small, "TIFF")), bytearray(encode(small, "JPEG"))
    for tag in (256, 257):  # width and height
        place = tiff.index(struct.pack("<HHI", tag, 4, 1)) + 8
        tiff[place : place + 4] = struct.pack("<I", 60000)
    frame = jpeg.index(b"\xff\xc0")
    jpeg[frame + 5 : frame + 9] = struct.pack(">HH", 60000, 60000)
    bmp = struct.pack("<2sIHHIIiiHHIIiiII", b"BM", 154, 0, 0, 54, 40, 60000, 60000, 1, 24, 0, 0, 0, 0, 0, 0)
    contents = [
        hollow_png(60000, 60000),
        hollow_png(13000, 10000),
        hollow_png(8001, 8000),
        bytes(tiff),
        bytes(jpeg),
        bmp,
    ]
    paths = [tmp_path / f"{number}.png" for number in range(len(contents))]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)
    done = subprocess.run([sys.executable, "-c", BOMBS, *paths], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    *messages, kilobytes = done.stdout.splitlines()
    assert len(messages) == len(paths)
    assert all("at most 64,000,000 pixels" in message for message in messages)
    assert int(kilobytes) < 300_000


# Time


def progressive_jpeg(side: int, scans: int) -> bytes:
    """A JPEG of side x side pixels. Each scan has a hundred bytes or less and covers all pixels."""

    def segment(marker: int, body: bytes) -> bytes:
        return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body

    def table(kind: int, symbol: int) -> bytes:  # one code, a single 0
        return segment(0xC4, bytes([kind, 1, *[0] * 15, symbol]))

    start = segment(0xDB, b"\0" + b"\1" * 64) + segment(0xC2, struct.pack(">BHHB", 8, side, side, 1) + b"\1\x11\0")
    runs = "0" + 14 * "1"  # 32,767 blocks without a change
    bits = runs * -(-(((side + 7) // 8) ** 2) // 32767)
    bits += "1" * (-len(bits) % 8)
    scan = segment(0xDA, b"\1\1\0\1\x3f\0") + int(bits, 2).to_bytes(len(bits) // 8).replace(b"\xff", b"\xff\0")
    return b"\xff\xd8" + start + table(0x00, 0) + table(0x10, 0xE0) + scan * scans + b"\xff\xd9"


@pytest.mark.parametrize("spec", [None, PreprocessingSpec()], ids=["whole", "reduced"])
def test_a_jpeg_of_very_many_scans_is_stopped(spec: PreprocessingSpec | None, tmp_path: Path) -> None:
    assert read_radiograph(progressive_jpeg(4000, 2), limits=Limits(max_seconds=60)).size == (4000, 4000)
    content = progressive_jpeg(4000, 100_000)  # 4 MB, minutes of decoding
    (tmp_path / "scan.jpg").write_bytes(content)
    for source in (content, tmp_path / "scan.jpg"):
        start = time.monotonic()
        with pytest.raises(ImageTooSlow, match=r"not decoded within the limit of 0\.3 seconds"):
            read_radiograph(source, spec, Limits(max_seconds=0.3))
        assert time.monotonic() - start < 20


@pytest.mark.parametrize("image_format", FORMATS)
def test_a_time_limit_of_0_stops_every_format(image_format: str, encode: Encode) -> None:
    content = encode(Image.fromarray(picture()), image_format, **FORMATS[image_format])
    with pytest.raises(ImageTooSlow, match="raise max_seconds"):
        read_radiograph(content, limits=Limits(max_seconds=0))
    assert read_radiograph(content, limits=Limits(max_seconds=float("inf"))).size == (64, 48)


def test_a_png_of_a_million_chunks_is_stopped(encode: Encode) -> None:
    content = encode(Image.fromarray(picture()), "PNG")
    place = content.index(b"IDAT") - 4
    empty = struct.pack(">I", 0) + b"teSt" + struct.pack(">I", zlib.crc32(b"teSt"))
    with pytest.raises(ImageTooSlow):
        read_radiograph(content[:place] + empty * 1_000_000 + content[place:], limits=Limits(max_seconds=0.1))

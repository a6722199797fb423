"""Limits for DICOM files, and damaged files."""

import io
import random
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pydicom import uid
from pydicom.encaps import encapsulate, get_frame

from osteolite.edge.errors import ImageError, ImageTooLarge, ImageTooSlow, UnreadableImage
from osteolite.edge.imaging.dicom.reader import HEAD
from osteolite.edge.imaging.limits import Limits
from osteolite.edge.imaging.radiograph import read_radiograph

from .dicoms import (
    ANY,
    ENDLESS,
    RAMP,
    STORED_AS,
    Encode,
    before_the_pixels,
    compressed,
    dataset,
    dicom,
    element,
    jpeg2000,
    read,
    table,
    write,
)

# Limits


def sized(width: int, height: int) -> bytes:
    found = dataset(np.zeros((2, 2), np.uint16))
    found.Rows, found.Columns = height, width
    return write(found)


def test_the_limit_of_pixels_is_checked_before_decoding() -> None:
    with pytest.raises(ImageTooLarge, match="at most 64,000,000 pixels"):
        read(sized(60000, 60000))
    with pytest.raises(ImageTooLarge, match="at most 3,071 pixels"):
        read(dicom(RAMP), Limits(max_pixels=3071))
    assert read(dicom(RAMP), Limits(max_pixels=3072)).size == 3072


def test_a_frame_of_another_size_than_the_header_is_refused(encode: Encode) -> None:
    large = np.zeros((400, 300), np.uint8)
    frames = {
        uid.JPEGBaseline8Bit: encode(Image.fromarray(large), "JPEG"),
        uid.JPEG2000Lossless: jpeg2000(large),
        uid.RLELossless: struct.pack("<16I", 1, 64, *[0] * 14) + b"\x81\0" * 1000,
    }
    for syntax, frame in frames.items():
        with pytest.raises(UnreadableImage, match=r"another size|more pixels"):
            read(compressed(frame, (20, 30), syntax))


def test_a_progressive_jpeg_is_refused(encode: Encode) -> None:
    frame = encode(Image.fromarray((RAMP // 13).astype(np.uint8)), "JPEG", progressive=True)
    with pytest.raises(UnreadableImage, match="progressive"):
        read(compressed(frame, RAMP.shape, uid.JPEGBaseline8Bit))


def test_a_truncated_jpeg_frame_is_refused(shared_data: Path) -> None:
    found = pydicom.dcmread(shared_data / "dicom" / "JPEG-LL.dcm")
    frame = get_frame(found.PixelData, 0, number_of_frames=1)
    found.PixelData = encapsulate([frame[: len(frame) // 2]])
    found["PixelData"].is_undefined_length = True
    stream = io.BytesIO()
    found.save_as(stream)
    with pytest.raises(UnreadableImage, match="cut short"):
        read(stream.getvalue(), ANY)


@pytest.mark.parametrize(
    "options", [{"codeblock_size": (4, 4)}, {"codeblock_size": (8, 8)}, {"tile_size": (16, 16)}], ids=str
)
def test_a_jpeg_2000_frame_of_too_many_blocks_is_refused(options: Any) -> None:
    frame = jpeg2000(np.zeros((1000, 1000), np.uint16), **options)
    with pytest.raises(UnreadableImage, match="too many tiles or code blocks"):
        read(compressed(frame, (1000, 1000), uid.JPEG2000Lossless, dtype=np.uint16))


@pytest.mark.parametrize(
    "options",
    [{"codeblock_size": (32, 32)}, {"tile_size": (256, 256)}, {"num_resolutions": 1}, {"progression": "RPCL"}],
    ids=str,
)
def test_usual_jpeg_2000_tiles_and_blocks_are_read(options: Any) -> None:
    stored = (np.arange(1_000_000) % 251).astype(np.uint8).reshape(1000, 1000)
    content = compressed(jpeg2000(stored, **options), stored.shape, uid.JPEG2000Lossless)
    assert np.array_equal(read(content), read(dicom(stored)))


def test_endlessly_nested_sequences_are_refused() -> None:
    opening = element(0x0008, 0x1140, b"", length=ENDLESS) + struct.pack("<HHI", 0xFFFE, 0xE000, ENDLESS)
    with pytest.raises(UnreadableImage, match="damaged"):
        read(before_the_pixels(dicom(RAMP), opening * 20_000))


def test_a_large_private_element_is_skipped() -> None:
    content = before_the_pixels(dicom(RAMP), element(0x0009, 0x1010, bytes(5_000_000), b"OB"))
    assert np.array_equal(read(content), read(dicom(RAMP)))


def test_reading_stops_at_the_time_limit() -> None:
    with pytest.raises(ImageTooSlow, match=r"within the limit of 0\.01 seconds"):
        read(
            before_the_pixels(dicom(RAMP), element(0x0009, 0x1010, b"", b"OB") * 1_000_000),
            Limits(max_seconds=0.01),
        )


BOMBS = """
import sys
from osteolite.edge.errors import ImageError
from osteolite.edge.imaging.limits import Limits
from osteolite.edge.imaging.radiograph import read_radiograph

def peak():
    return int(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))

good, *bad = sys.argv[1:]
read_radiograph(good)
before = peak()
for path in bad:
    try:
        read_radiograph(path, limits=Limits(max_bytes=50_000_000))
    except ImageError as error:
        print(error)
print(peak() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads peak memory from /proc")
def test_decompression_bombs_take_little_memory(tmp_path: Path) -> None:
    deflated = dicom(RAMP, uid.DeflatedExplicitVRLittleEndian)
    start = deflated.index(b"1.2.840.10008.1.2.1.99") + 22
    start += struct.unpack("<I", deflated[140:144])[0] + 144 - start  # the end of the group, which states its length
    packer = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
    packed = b"".join(packer.compress(bytes(1 << 20)) for _ in range(500)) + packer.flush()
    wide = bytearray(jpeg2000(np.zeros((8, 8), np.uint16)))
    wide[8:16] = struct.pack(">II", 60000, 60000)
    blocks = jpeg2000(np.zeros((2000, 2000), np.uint16), codeblock_size=(4, 4))  # its blocks would take 1.2 GB
    items = struct.pack("<HHI", 0xFFFE, 0xE000, 0) * 1_000_000
    runs = struct.pack("<16I", 2, 64, 64, *[0] * 13) + b"\x81\0" * 10_000_000
    bombs = [
        deflated[:start] + packed,
        compressed(bytes(wide), (8, 8), uid.JPEG2000Lossless, dtype=np.uint16),
        compressed(blocks, (2000, 2000), uid.JPEG2000Lossless, dtype=np.uint16),
        compressed(runs, (1000, 1000), uid.RLELossless, dtype=np.uint16),
        sized(65535, 65535),
        before_the_pixels(dicom(RAMP), element(0x0008, 0x1140, items, length=ENDLESS)),
    ]
    paths = [tmp_path / f"{number}.dcm" for number in range(len(bombs) + 1)]
    for path, content in zip(paths, [dicom(RAMP), *bombs], strict=True):
        path.write_bytes(content)
    done = subprocess.run([sys.executable, "-c", BOMBS, *paths], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    *messages, kilobytes = done.stdout.splitlines()
    assert ["inflates" in messages[0], len(messages)] == [True, len(bombs)]
    assert int(kilobytes) < 200_000


# Damage


@pytest.mark.parametrize("kind", STORED_AS)
def test_a_truncated_file_is_refused(kind: str) -> None:
    content = STORED_AS[kind]((RAMP % 251).astype(np.uint16))
    for end in {*range(HEAD, len(content) - 16, max(1, len(content) // 40)), len(content) * 9 // 10}:
        with pytest.raises(ImageError):
            read(content[:end])


def mutated(content: bytes, chance: random.Random) -> bytes:
    data = bytearray(content)
    for _ in range(chance.randint(1, 6)):
        place = chance.randrange(HEAD, len(data))
        match chance.randrange(6):
            case 0:
                del data[place : place + chance.randint(1, 20)]
            case 1:
                data[place:place] = chance.randbytes(chance.randint(1, 20))
            case _:
                data[place] = chance.choice([0, 1, 127, 128, 255, chance.randrange(256)])
        if len(data) <= HEAD:
            break
    return bytes(data)


@pytest.mark.parametrize("kind", STORED_AS)
def test_mutated_files_give_an_image_or_an_image_error(kind: str) -> None:
    elements: dict[str, Any] = {"WindowCenter": 100, "WindowWidth": 50, "VOILUTSequence": [table(range(256), bits=8)]}
    contents = [
        STORED_AS[kind](RAMP[:8, :8] % 251),
        dicom(RAMP[:8, :8], RescaleSlope=1, RescaleIntercept=2, **elements),
    ]
    limits, outcomes = Limits(max_pixels=100_000, modalities=None), set()
    for number in range(150):
        content = mutated(contents[number % 2], random.Random(f"{kind} {number}"))
        try:
            image = read_radiograph(content, limits=limits)
        except ImageError:
            outcomes.add("refused")
        else:
            outcomes.add("read")
            assert (image.mode, len(image.tobytes())) == ("L", image.width * image.height), number
    assert outcomes == {"refused", "read"}


@given(st.binary(max_size=300))
def test_random_bytes_after_the_preamble_are_refused(tail: bytes) -> None:
    with pytest.raises(ImageError):
        read_radiograph(bytes(128) + b"DICM" + tail)

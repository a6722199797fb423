"""Images of more than 8 bits per sample."""

import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from osteolite.edge.errors import UnsupportedImage
from osteolite.edge.imaging.radiograph import read_radiograph

from .pictures import Encode, difference, picture

Samples = np.ndarray[Any, np.dtype[np.uint16]]


@given(arrays(np.uint16, st.tuples(st.integers(1, 6), st.integers(1, 6))))
def test_samples_are_scaled_by_the_smallest_depth_that_holds_them(samples: Samples) -> None:
    depth = next(bits for bits in (8, 10, 12, 14, 16) if samples.max() < 2**bits)
    assert difference(read_radiograph(samples), samples.astype(np.int64) * 256 // 2**depth) == 0


@pytest.mark.parametrize(
    ("top", "white"), [(255, 255), (256, 64), (1023, 255), (1024, 64), (4095, 255), (4096, 64), (16383, 255)]
)
@pytest.mark.parametrize("image_format", ["PNG", "TIFF"])
def test_files_are_scaled_as_arrays_are(image_format: str, top: int, white: int, encode: Encode) -> None:
    samples = np.array([[0, top // 2, top]], np.uint16)
    grey = read_radiograph(encode(Image.fromarray(samples), image_format))
    assert grey.getpixel((2, 0)) == white
    assert grey == read_radiograph(samples)


def test_big_endian_samples_are_read(encode: Encode) -> None:
    samples = np.arange(0, 4096, 16, dtype=np.uint16).reshape(16, 16)
    content = encode(Image.frombytes("I;16B", (16, 16), samples.astype(">u2").tobytes()), "TIFF")
    assert content.startswith(b"MM")
    assert difference(read_radiograph(content), np.arange(256).reshape(16, 16)) == 0


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits"])
@pytest.mark.parametrize("mode", ["I;16", "I;16B"])
def test_a_compressed_tiff_of_16_bits_is_read(compression: str, mode: str, encode: Encode) -> None:
    samples = np.arange(0, 4096, 16, dtype=np.uint16).reshape(16, 16)
    image = Image.frombytes(mode, (16, 16), samples.astype(">u2" if mode == "I;16B" else "<u2").tobytes())
    assert (
        difference(read_radiograph(encode(image, "TIFF", compression=compression)), np.arange(256).reshape(16, 16)) == 0
    )


def deep_png(samples: Samples, colour_type: int) -> bytes:
    """A PNG of 16 bits per sample, which Pillow cannot write in colour."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    header = struct.pack(">IIBBBBB", samples.shape[1], samples.shape[0], 16, colour_type, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def deep_tiff(samples: Samples, order: str, compressed: bool) -> bytes:
    """A TIFF of three 16-bit samples per pixel, little or big endian."""
    height, width, count = samples.shape
    data = samples.astype(order + "u2").tobytes()
    data = zlib.compress(data) if compressed else data
    tags = {256: width, 257: height, 259: 8 if compressed else 1, 262: 2, 277: count, 278: height, 279: len(data)}
    bits_at = 8 + 2 + 12 * (len(tags) + 2) + 4
    tags |= {258: bits_at, 273: bits_at + 6}
    entries = [
        struct.pack(order + "HHII", tag, 3 if tag == 258 else 4, 3 if tag == 258 else 1, tags[tag])
        for tag in sorted(tags)
    ]
    start = (b"MM" if order == ">" else b"II") + struct.pack(order + "HIH", 42, 8, len(entries))
    return start + b"".join(entries) + bytes(4) + struct.pack(order + "HHH", 16, 16, 16) + data


DEEP_COLOUR: dict[str, Callable[[Samples], bytes]] = {
    "png": lambda samples: deep_png(samples, 2),
    "png with transparency": lambda samples: deep_png(np.insert(samples, 3, 65535, axis=2), 6),
    "tiff": lambda samples: deep_tiff(samples, "<", compressed=False),
    "big endian tiff": lambda samples: deep_tiff(samples, ">", compressed=False),
    "compressed tiff": lambda samples: deep_tiff(samples, "<", compressed=True),
    "compressed big endian tiff": lambda samples: deep_tiff(samples, ">", compressed=True),
}


@pytest.mark.parametrize("kind", DEEP_COLOUR)
def test_16_bit_colour_is_read_only_if_it_uses_all_bits(kind: str) -> None:
    samples = np.repeat(picture()[:, :, None].astype(np.uint16) * 257, 3, axis=2)
    assert difference(read_radiograph(DEEP_COLOUR[kind](samples)), picture()) <= 1
    with pytest.raises(UnsupportedImage, match="16-bit grey"):
        read_radiograph(DEEP_COLOUR[kind](samples >> np.uint16(4)))


@pytest.mark.parametrize("samples", [picture(), picture().astype(np.uint16) << 4], ids=["8 bit", "12 bit"])
def test_a_tiff_whose_zero_is_white_is_inverted(samples: np.ndarray[Any, Any], encode: Encode) -> None:
    content = encode(Image.fromarray(samples), "TIFF")
    black_is_zero, white_is_zero = (struct.pack("<HHII", 262, 3, 1, meaning) for meaning in (1, 0))
    assert content.count(black_is_zero) == 1
    inverted = read_radiograph(content.replace(black_is_zero, white_is_zero))
    assert difference(inverted, 255 - picture()) == 0


@pytest.mark.parametrize("samples", [[[-1, 0]], [[0, 65536]]], ids=["negative", "too large"])
def test_samples_beyond_16_bits_are_refused(samples: list[list[int]], encode: Encode) -> None:
    with pytest.raises(UnsupportedImage, match="65535"):
        read_radiograph(encode(Image.fromarray(np.array(samples, np.int32)), "TIFF"))

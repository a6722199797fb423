"""Damaged and hostile files: they give an image or an `ImageError`."""

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from osteolite.edge.errors import ImageError
from osteolite.edge.imaging.limits import Limits
from osteolite.edge.imaging.radiograph import read_radiograph
from osteolite.edge.preprocess import PreprocessingSpec

from .pictures import Encode, picture


def mutated(content: bytes, chance: random.Random) -> bytes:
    """Change, remove or insert some bytes of `content`, or cut off its end."""
    data = bytearray(content)
    for _ in range(chance.randint(1, 6)):
        place = chance.randrange(len(data))
        match chance.randrange(6):
            case 0:
                del data[place : place + chance.randint(1, 20)]
            case 1:
                data[place:place] = chance.randbytes(chance.randint(1, 20))
            case 2:
                del data[max(1, place) :]
            case _:  # values at the ends of their range find more errors than random ones
                data[place] = chance.choice([0, 1, 127, 128, 255, chance.randrange(256)])
        if not data:
            return b"\0"
    return bytes(data)


def seeds(encode: Encode) -> dict[str, bytes]:
    exif = Image.Exif()
    exif[0x0112] = 6
    grey, deep = Image.fromarray(picture(24, 16)), Image.fromarray(picture(24, 16).astype(np.uint16) << 4)
    colour = Image.merge("RGBA", [grey, grey, grey, grey])
    return {
        "png": encode(grey, "PNG", exif=exif),
        "png16": encode(deep, "PNG"),
        "png-palette": encode(grey.convert("P"), "PNG", transparency=9),
        "jpeg": encode(grey, "JPEG", exif=exif),
        "jpeg-cmyk": encode(grey.convert("CMYK"), "JPEG", progressive=True),
        "mpo": encode(grey, "MPO", save_all=True, append_images=[grey]),
        "tiff": encode(grey, "TIFF", exif=exif),
        "tiff16": encode(deep, "TIFF", compression="tiff_lzw"),
        "tiff-deflate": encode(colour, "TIFF", compression="tiff_adobe_deflate"),
        "bmp": encode(grey, "BMP"),
        "bmp-colour": encode(colour, "BMP"),
        "webp": encode(colour, "WEBP", exif=exif),
        "webp-lossless": encode(grey, "WEBP", lossless=True),
    }


@pytest.mark.parametrize(
    "kind",
    [
        *("png", "png16", "png-palette", "jpeg", "jpeg-cmyk", "mpo", "tiff", "tiff16", "tiff-deflate"),
        *("bmp", "bmp-colour", "webp", "webp-lossless"),
    ],
)
def test_mutated_files_give_an_image_or_an_image_error(kind: str, encode: Encode) -> None:
    original, limits, spec = seeds(encode)[kind], Limits(max_pixels=200_000), PreprocessingSpec(4, 4)
    assert read_radiograph(original).size in {(24, 16), (16, 24)}
    outcomes = set()
    for number in range(300):
        content = mutated(original, random.Random(f"{kind} {number}"))
        try:
            image = read_radiograph(content, spec if number % 2 else None, limits)
        except ImageError:
            outcomes.add("refused")
        else:
            outcomes.add("read")
            assert (image.mode, len(image.tobytes())) == ("L", image.width * image.height), number
    assert outcomes == {"refused", "read"}


@given(st.binary(max_size=200), st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\0", b"BM", b"RIFF"]))
def test_random_bytes_are_refused(tail: bytes, start: bytes) -> None:
    with pytest.raises(ImageError):
        read_radiograph(start + tail)

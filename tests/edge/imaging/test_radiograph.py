import io
import os
import random
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from osteolite.edge.errors import ImageError, ImageTooLarge, ImageTooSlow, UnreadableImage, UnsupportedImage
from osteolite.edge.imaging.radiograph import Limits, read_radiograph
from osteolite.edge.preprocess import PreprocessingSpec, fit

Encode = Callable[..., bytes]
LOSSLESS = {"PNG": {}, "TIFF": {}, "BMP": {}, "WEBP": {"lossless": True}}
FORMATS = {**LOSSLESS, "JPEG": {"quality": 95}}

STORED = {  # how a camera stores an upright picture that it marks with this EXIF orientation
    1: lambda up: up,
    2: np.fliplr,
    3: lambda up: np.rot90(up, 2),
    4: np.flipud,
    5: np.transpose,
    6: lambda up: np.rot90(up, 1),
    7: lambda up: np.rot90(up, 2).T,
    8: lambda up: np.rot90(up, -1),
}


def picture(width: int = 64, height: int = 48) -> np.ndarray:
    """A smooth grey picture that no flip or turn leaves alone: dark top left, white bottom right, grey elsewhere."""
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    return np.rint(255 * (0.7 * x * y + 0.3 * x)).astype(np.uint8)


def difference(image: Image.Image, expected: np.ndarray) -> float:
    """Largest difference of two pictures of one size, in grey levels."""
    assert image.mode == "L"
    assert image.size == expected.shape[::-1]
    return float(np.abs(np.asarray(image, np.int16) - expected).max())


def marked(orientation: int, image_format: str, up: np.ndarray, encode: Encode) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.ascontiguousarray(STORED[orientation](up)))
    return encode(stored, image_format, exif=exif, **FORMATS[image_format])


# Formats and modes


@pytest.mark.parametrize("image_format", LOSSLESS)
def test_lossless_formats_keep_every_grey_value(image_format: str, encode: Encode) -> None:
    content = encode(Image.fromarray(picture()), image_format, **FORMATS[image_format])
    assert difference(read_radiograph(content), picture()) == 0


def test_jpeg_is_read(encode: Encode) -> None:
    assert difference(read_radiograph(encode(Image.fromarray(picture()), "JPEG", quality=95)), picture()) <= 4


@pytest.mark.parametrize("image_format", ["PNG", "TIFF", "BMP"])
def test_palette_is_looked_up(image_format: str, encode: Encode) -> None:
    reversed_palette = Image.fromarray(picture()).convert("P")
    reversed_palette.putpalette([v for level in range(255, -1, -1) for v in (level, level, level)])
    assert difference(read_radiograph(encode(reversed_palette, image_format)), 255 - picture()) == 0


@pytest.mark.parametrize("image_format", ["PNG", "TIFF", "BMP"])
def test_one_bit_is_black_and_white(image_format: str, encode: Encode) -> None:
    bits = picture() > 100
    assert difference(read_radiograph(encode(Image.fromarray(bits), image_format)), 255 * bits.astype(np.uint8)) == 0


@pytest.mark.parametrize("image_format", ["PNG", "TIFF", "BMP", "WEBP"])
def test_colour_becomes_its_luminance(image_format: str, encode: Encode) -> None:
    primaries = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255], [9, 9, 9]]], np.uint8)
    content = encode(Image.fromarray(primaries), image_format, **FORMATS[image_format])
    assert difference(read_radiograph(content), np.array([[76, 150, 29, 255, 9]])) <= 1


@pytest.mark.parametrize("image_format", ["JPEG", "TIFF"])
def test_cmyk_is_read_with_ink_as_dark(image_format: str, encode: Encode) -> None:
    none = Image.new("L", (64, 48), 0)
    inks = Image.merge("CMYK", [none, none, none, Image.fromarray(255 - picture())])
    options = {"quality": 95} if image_format == "JPEG" else {}
    assert difference(read_radiograph(encode(inks, image_format, **options)), picture()) <= 4


@pytest.mark.parametrize(("mode", "image_format"), [("LA", "PNG"), ("RGBA", "PNG"), ("RGBA", "TIFF"), ("RGBA", "WEBP")])
def test_transparency_is_laid_on_black(mode: str, image_format: str, encode: Encode) -> None:
    alpha = np.full((48, 64), 255, np.uint8)
    alpha[:10], alpha[10:20] = 0, 128
    image = Image.fromarray(picture()).convert(mode)
    image.putalpha(Image.fromarray(alpha))
    options = {"lossless": True, "exact": True} if image_format == "WEBP" else {}
    expected = picture() * (alpha / 255)
    assert difference(read_radiograph(encode(image, image_format, **options)), expected) <= 1


@pytest.mark.parametrize("mode", ["L", "P"])
def test_one_transparent_value_is_laid_on_black(mode: str, encode: Encode) -> None:
    content = encode(Image.fromarray(picture()).convert(mode), "PNG", transparency=200)
    assert (picture() == 200).any()
    assert difference(read_radiograph(content), np.where(picture() == 200, 0, picture())) == 0


@pytest.mark.parametrize("image_format", FORMATS)
@pytest.mark.parametrize("name", ["scan.png", "scan.jpg", "scan", "scan.txt"])
def test_the_format_is_known_by_content(image_format: str, name: str, encode: Encode, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(encode(Image.fromarray(picture()), image_format, **FORMATS[image_format]))
    assert difference(read_radiograph(tmp_path / name), picture()) <= 4
    assert read_radiograph(str(tmp_path / name)) == read_radiograph((tmp_path / name).read_bytes())


# Orientation


def test_the_picture_tells_orientations_apart() -> None:
    up = picture(48, 48)
    for orientation in range(2, 9):
        assert np.abs(STORED[orientation](up).astype(int) - up).mean() > 20


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_every_orientation_is_put_upright(image_format: str, orientation: int, encode: Encode, tmp_path: Path) -> None:
    content = marked(orientation, image_format, picture(), encode)
    (tmp_path / "image").write_bytes(content)
    for source in (content, tmp_path / "image"):  # Pillow takes another way to a file than to bytes
        assert difference(read_radiograph(source), picture()) <= 4


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("image_format", ["JPEG", "TIFF"])
def test_a_pillow_image_is_put_upright(image_format: str, orientation: int, encode: Encode) -> None:
    with Image.open(io.BytesIO(marked(orientation, image_format, picture(), encode))) as image:
        assert difference(read_radiograph(image), picture()) <= 4


@pytest.mark.parametrize("orientation", STORED)
def test_reduced_decoding_honours_orientation(orientation: int, encode: Encode) -> None:
    content = marked(orientation, "JPEG", picture(1200, 800), encode)
    spec = PreprocessingSpec(64, 64)
    reduced, full = read_radiograph(content, spec), read_radiograph(content)
    assert full.size == (1200, 800)
    assert reduced.size == (150, 100)
    assert np.abs(fit(reduced, spec).astype(int) - fit(full, spec)).max() <= 4


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP"])
def test_a_damaged_exif_block_does_not_refuse_the_picture(image_format: str, encode: Encode) -> None:
    exif = (b"Exif\0\0" if image_format == "JPEG" else b"") + b"no TIFF header"
    content = encode(Image.fromarray(picture()), image_format, exif=exif, **FORMATS[image_format])
    assert difference(read_radiograph(content), picture()) <= 4


# Reduced decoding


@given(
    size=st.tuples(st.integers(1, 900), st.integers(1, 900)),
    wanted=st.tuples(st.integers(1, 300), st.integers(1, 300)),
    aspect=st.sampled_from(["pad", "squeeze"]),
    orientation=st.integers(1, 8),
)
def test_reduced_decoding_leaves_enough_and_the_place(
    encode: Encode, size: tuple[int, int], wanted: tuple[int, int], aspect: str, orientation: int
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encode(Image.new("L", size), "JPEG", exif=exif)
    spec = PreprocessingSpec(*wanted, aspect=aspect)
    reduced, full = read_radiograph(content, spec), read_radiograph(content)
    fitted = spec.fitted_size(*full.size)
    assert spec.fitted_size(*reduced.size) == fitted
    for needed, left, whole in zip(fitted, reduced.size, full.size, strict=True):
        assert left >= min(whole, 1.5 * needed)


@pytest.mark.parametrize(("size", "reduced"), [((768, 384), (96, 48)), ((767, 383), (192, 96)), ((190, 95), (190, 95))])
def test_reduced_decoding_takes_what_it_can(size: tuple[int, int], reduced: tuple[int, int], encode: Encode) -> None:
    # One and a half times 64 x 32 must be left: an eighth of 768 x 384 is just that, of 767 x 383 a little less.
    assert read_radiograph(encode(Image.new("L", size), "JPEG"), PreprocessingSpec(64, 64)).size == reduced


@pytest.mark.parametrize("wanted", [(400, 10), (10, 400)])
def test_the_side_that_needs_more_decides(wanted: tuple[int, int], encode: Encode) -> None:
    spec = PreprocessingSpec(*wanted, aspect="squeeze")
    assert read_radiograph(encode(Image.new("L", (1000, 1000)), "JPEG"), spec).size == (1000, 1000)


def test_reduced_decoding_differs_little_on_real_radiographs(shared_data: Path) -> None:
    spec = PreprocessingSpec(224, 224)
    paths = sorted((shared_data / "fracatlas" / "fullres").rglob("*.jpg"))[:3]
    assert paths
    for path in paths:
        reduced, full = read_radiograph(path, spec), read_radiograph(path)
        assert reduced.width * 2 <= full.width
        delta = np.abs(fit(reduced, spec).astype(int) - fit(full, spec))
        assert delta.mean() < 1.0
        assert np.percentile(delta, 99) <= 8


@pytest.mark.parametrize("image_format", LOSSLESS)
def test_a_spec_changes_nothing_for_other_formats(image_format: str, encode: Encode) -> None:
    content = encode(Image.fromarray(picture(640, 480)), image_format, **FORMATS[image_format])
    assert difference(read_radiograph(content, PreprocessingSpec(32, 32)), picture(640, 480)) == 0


# More than 8 bits


@given(arrays(np.uint16, st.tuples(st.integers(1, 6), st.integers(1, 6))))
def test_deep_samples_are_scaled_by_the_smallest_depth_that_holds_them(samples: np.ndarray) -> None:
    depth = next(bits for bits in (8, 10, 12, 14, 16) if samples.max() < 2**bits)
    assert difference(read_radiograph(samples), samples.astype(np.int64) * 256 // 2**depth) == 0


@pytest.mark.parametrize(
    ("top", "white"), [(255, 255), (256, 64), (1023, 255), (1024, 64), (4095, 255), (4096, 64), (16383, 255)]
)
@pytest.mark.parametrize("image_format", ["PNG", "TIFF"])
def test_deep_files_follow_the_same_rule(image_format: str, top: int, white: int, encode: Encode) -> None:
    samples = np.array([[0, top // 2, top]], np.uint16)
    grey = read_radiograph(encode(Image.fromarray(samples), image_format))
    assert grey.getpixel((2, 0)) == white
    assert grey == read_radiograph(samples)


def test_big_endian_samples(encode: Encode) -> None:
    samples = np.arange(0, 4096, 16, dtype=np.uint16).reshape(16, 16)
    content = encode(Image.frombytes("I;16B", (16, 16), samples.astype(">u2").tobytes()), "TIFF")
    assert content.startswith(b"MM")
    assert difference(read_radiograph(content), np.arange(256).reshape(16, 16)) == 0


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits"])
@pytest.mark.parametrize("mode", ["I;16", "I;16B"])
def test_compressed_deep_tiff(compression: str, mode: str, encode: Encode) -> None:
    samples = np.arange(0, 4096, 16, dtype=np.uint16).reshape(16, 16)
    image = Image.frombytes(mode, (16, 16), samples.astype(">u2" if mode == "I;16B" else "<u2").tobytes())
    assert (
        difference(read_radiograph(encode(image, "TIFF", compression=compression)), np.arange(256).reshape(16, 16)) == 0
    )


def deep_png(samples: np.ndarray, colour_type: int) -> bytes:
    """A PNG of 16 bits a sample, which Pillow cannot write in colour."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    header = struct.pack(">IIBBBBB", samples.shape[1], samples.shape[0], 16, colour_type, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def deep_tiff(samples: np.ndarray, order: str, compressed: bool) -> bytes:
    """A TIFF of three samples of 16 bits a pixel, little or big endian."""
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


DEEP_COLOUR = {
    "png": lambda samples: deep_png(samples, 2),
    "png with transparency": lambda samples: deep_png(np.insert(samples, 3, 65535, axis=2), 6),
    "tiff": lambda samples: deep_tiff(samples, "<", compressed=False),
    "big endian tiff": lambda samples: deep_tiff(samples, ">", compressed=False),
    "compressed tiff": lambda samples: deep_tiff(samples, "<", compressed=True),
    "compressed big endian tiff": lambda samples: deep_tiff(samples, ">", compressed=True),
}


@pytest.mark.parametrize("kind", DEEP_COLOUR)
def test_16_bit_colour_is_read_where_it_fills_its_bits(kind: str) -> None:
    samples = np.repeat(picture()[:, :, None].astype(np.uint16) * 257, 3, axis=2)
    assert difference(read_radiograph(DEEP_COLOUR[kind](samples)), picture()) <= 1
    with pytest.raises(UnsupportedImage, match="16-bit grey"):
        read_radiograph(DEEP_COLOUR[kind](samples >> 4))


@pytest.mark.parametrize("samples", [picture(), picture().astype(np.uint16) << 4], ids=["8 bit", "12 bit"])
def test_a_tiff_whose_zero_is_white_is_inverted(samples: np.ndarray, encode: Encode) -> None:
    content = encode(Image.fromarray(samples), "TIFF")
    black_is_zero, white_is_zero = (struct.pack("<HHII", 262, 3, 1, meaning) for meaning in (1, 0))
    assert content.count(black_is_zero) == 1
    inverted = read_radiograph(content.replace(black_is_zero, white_is_zero))
    assert difference(inverted, 255 - picture()) == 0


@pytest.mark.parametrize("samples", [[[-1, 0]], [[0, 65536]]], ids=["negative", "too large"])
def test_samples_beyond_16_bits_are_refused(samples: list[list[int]], encode: Encode) -> None:
    with pytest.raises(UnsupportedImage, match="65535"):
        read_radiograph(encode(Image.fromarray(np.array(samples, np.int32)), "TIFF"))


# Arrays


def test_arrays_are_read() -> None:
    assert difference(read_radiograph(picture()), picture()) == 0
    assert difference(read_radiograph(np.repeat(picture()[:, :, None], 3, axis=2)), picture()) == 0
    assert difference(read_radiograph(picture().T), picture().T) == 0


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 4), np.float32),
        np.zeros((4, 4), np.int64),
        np.zeros(4, np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3), np.uint16),
        np.zeros((1, 4, 4, 3), np.uint8),
    ],
    ids=lambda array: f"{array.dtype}{array.shape}",
)
def test_other_arrays_are_refused(array: np.ndarray) -> None:
    with pytest.raises(UnsupportedImage, match="uint8 or uint16"):
        read_radiograph(array)


def test_an_array_without_pixels_is_refused() -> None:
    with pytest.raises(UnreadableImage, match="no pixels"):
        read_radiograph(np.zeros((0, 5), np.uint8))


# Refusals


def test_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    with pytest.raises(UnreadableImage, match="empty"):
        read_radiograph(tmp_path / "empty.png")


def test_text_named_as_an_image(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no image at all\n" * 100)
    with pytest.raises(UnreadableImage, match="PNG, JPEG, TIFF, BMP, WEBP, DICOM"):
        read_radiograph(tmp_path / "text.png")


def test_an_image_of_another_format(encode: Encode) -> None:
    with pytest.raises(UnreadableImage, match="PNG, JPEG, TIFF, BMP, WEBP, DICOM"):
        read_radiograph(encode(Image.fromarray(picture()), "GIF"))


@pytest.mark.parametrize("size", [(0, 0), (0, 5), (5, 0)])
def test_images_without_pixels(size: tuple[int, int], hollow_png: Callable[[int, int], bytes]) -> None:
    bmp = struct.pack("<2sIHHIIiiHHIIiiII", b"BM", 154, 0, 0, 54, 40, *size, 1, 24, 0, 0, 0, 0, 0, 0) + bytes(100)
    for content in (hollow_png(*size), bmp):
        with pytest.raises(UnreadableImage):
            read_radiograph(content)


@pytest.mark.parametrize("image_format", FORMATS)
@pytest.mark.parametrize("spec", [None, PreprocessingSpec(32, 32)], ids=["whole", "reduced"])
def test_half_a_file(image_format: str, spec: PreprocessingSpec | None, encode: Encode) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (480, 640), np.uint8)
    content = encode(Image.fromarray(noise), image_format, **FORMATS[image_format])
    with pytest.raises(UnreadableImage):
        read_radiograph(content[: len(content) // 2], spec)


@pytest.mark.parametrize("spec", [None, PreprocessingSpec()], ids=["whole", "reduced"])
def test_truncated_radiographs(spec: PreprocessingSpec | None, shared_data: Path) -> None:
    paths = sorted((shared_data / "fracatlas" / "truncated_jpeg").glob("*.jpg"))
    assert len(paths) == 6
    for path in paths:
        with pytest.raises(UnreadableImage):
            read_radiograph(path, spec)


def test_a_truncated_file_that_pillow_opened(encode: Encode, tmp_path: Path) -> None:
    content = encode(Image.fromarray(picture(640, 480)), "PNG")
    (tmp_path / "half.png").write_bytes(content[: len(content) // 2])
    with Image.open(tmp_path / "half.png") as image, pytest.raises(UnreadableImage):
        read_radiograph(image)


@pytest.mark.parametrize("image_format", ["TIFF", "PNG", "WEBP"])
def test_several_frames(image_format: str, encode: Encode) -> None:
    frames = [Image.fromarray(picture()), Image.fromarray(255 - picture())]
    with pytest.raises(UnsupportedImage, match="frames"):
        read_radiograph(encode(frames[0], image_format, save_all=True, append_images=frames[1:]))


def test_the_preview_in_a_phones_jpeg_is_no_second_frame(encode: Encode) -> None:
    frames = [Image.fromarray(picture()), Image.fromarray(255 - picture())]
    content = encode(frames[0], "MPO", save_all=True, append_images=frames[1:], quality=95)
    assert difference(read_radiograph(content), picture()) <= 4


def test_floating_point_samples(encode: Encode) -> None:
    with pytest.raises(UnsupportedImage, match="8 or 16 bits"):
        read_radiograph(encode(Image.new("F", (4, 4), 0.5), "TIFF"))


@pytest.mark.timeout(30)
def test_what_is_no_regular_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")  # opening it would wait for a writer
    for path in (tmp_path, tmp_path / "pipe.png"):
        with pytest.raises(UnreadableImage, match="regular file"):
            read_radiograph(path)


@pytest.mark.parametrize("name", ["missing.png", "a\0b.png", "a" * 5000])
def test_what_cannot_be_opened(name: str, tmp_path: Path) -> None:
    with pytest.raises(UnreadableImage, match="cannot be opened"):
        read_radiograph(str(tmp_path / name))


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

resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))  # the pixels alone would take 3.6 billion bytes
for path in sys.argv[1:]:
    try:
        read_radiograph(path)
    except ImageTooLarge as error:
        print(error)
# Not ru_maxrss, which Linux carries over from the process that started this one.
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
    contents = [hollow_png(60000, 60000), hollow_png(13000, 10000), hollow_png(8001, 8000), tiff, jpeg, bmp]
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
    """A JPEG of side x side pixels whose every scan, of a hundred bytes or less, passes over all of them."""

    def segment(marker: int, body: bytes) -> bytes:
        return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body

    def table(kind: int, symbol: int) -> bytes:  # of one code, a single 0
        return segment(0xC4, bytes([kind, 1, *[0] * 15, symbol]))

    start = segment(0xDB, b"\0" + b"\1" * 64) + segment(0xC2, struct.pack(">BHHB", 8, side, side, 1) + b"\1\x11\0")
    runs = "0" + 14 * "1"  # 32,767 blocks in which nothing changes
    bits = runs * -(-(((side + 7) // 8) ** 2) // 32767)
    bits += "1" * (-len(bits) % 8)
    scan = segment(0xDA, b"\1\1\0\1\x3f\0") + int(bits, 2).to_bytes(len(bits) // 8).replace(b"\xff", b"\xff\0")
    return b"\xff\xd8" + start + table(0x00, 0) + table(0x10, 0xE0) + scan * scans + b"\xff\xd9"


@pytest.mark.parametrize("spec", [None, PreprocessingSpec()], ids=["whole", "reduced"])
def test_a_jpeg_of_endless_scans_is_stopped(spec: PreprocessingSpec | None, tmp_path: Path) -> None:
    assert read_radiograph(progressive_jpeg(4000, 2), limits=Limits(max_seconds=60)).size == (4000, 4000)
    content = progressive_jpeg(4000, 100_000)  # 4 MB, minutes of decoding
    (tmp_path / "scan.jpg").write_bytes(content)
    for source in (content, tmp_path / "scan.jpg"):
        start = time.monotonic()
        with pytest.raises(ImageTooSlow, match=r"0\.3 seconds, the limit"):
            read_radiograph(source, spec, Limits(max_seconds=0.3))
        assert time.monotonic() - start < 20


@pytest.mark.parametrize("image_format", FORMATS)
def test_no_time_at_all(image_format: str, encode: Encode) -> None:
    content = encode(Image.fromarray(picture()), image_format, **FORMATS[image_format])
    with pytest.raises(ImageTooSlow, match="raise max_seconds"):
        read_radiograph(content, limits=Limits(max_seconds=0))
    assert read_radiograph(content, limits=Limits(max_seconds=float("inf"))).size == (64, 48)


def test_a_million_chunks_are_stopped(encode: Encode) -> None:
    content = encode(Image.fromarray(picture()), "PNG")
    place = content.index(b"IDAT") - 4
    empty = struct.pack(">I", 0) + b"teSt" + struct.pack(">I", zlib.crc32(b"teSt"))
    with pytest.raises(ImageTooSlow):
        read_radiograph(content[:place] + empty * 1_000_000 + content[place:], limits=Limits(max_seconds=0.1))


# Hostile bytes


def mutated(content: bytes, chance: random.Random) -> bytes:
    """`content` with some bytes changed, cut out, put in, or its end missing."""
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
            case _:  # numbers at the limits of their range find more than random ones
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
def test_random_bytes_are_no_image(tail: bytes, start: bytes) -> None:
    with pytest.raises(ImageError):
        read_radiograph(start + tail)


@pytest.mark.parametrize("source", [None, 7, 1.5, ["a.png"], {}], ids=repr)
def test_what_is_no_source(source: Any) -> None:
    with pytest.raises(ImageError):
        read_radiograph(source)

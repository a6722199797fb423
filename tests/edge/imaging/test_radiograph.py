"""Formats, modes, orientation, arrays and refused files."""

import io
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from osteolite.edge.errors import UnreadableImage, UnsupportedImage
from osteolite.edge.imaging.radiograph import read_radiograph
from osteolite.edge.preprocess import PreprocessingSpec

from .pictures import FORMATS, LOSSLESS, STORED, Encode, difference, picture, with_orientation

# Formats and modes


@pytest.mark.parametrize("image_format", LOSSLESS)
def test_lossless_formats_keep_every_grey_value(image_format: str, encode: Encode) -> None:
    content = encode(Image.fromarray(picture()), image_format, **FORMATS[image_format])
    assert difference(read_radiograph(content), picture()) == 0


def test_jpeg_is_read(encode: Encode) -> None:
    assert difference(read_radiograph(encode(Image.fromarray(picture()), "JPEG", quality=95)), picture()) <= 4


@pytest.mark.parametrize("image_format", ["PNG", "TIFF", "BMP"])
def test_a_palette_is_applied(image_format: str, encode: Encode) -> None:
    reversed_palette = Image.fromarray(picture()).convert("P")
    reversed_palette.putpalette([v for level in range(255, -1, -1) for v in (level, level, level)])
    assert difference(read_radiograph(encode(reversed_palette, image_format)), 255 - picture()) == 0


@pytest.mark.parametrize("image_format", ["PNG", "TIFF", "BMP"])
def test_one_bit_images_become_black_and_white(image_format: str, encode: Encode) -> None:
    bits = picture() > 100
    assert difference(read_radiograph(encode(Image.fromarray(bits), image_format)), 255 * bits.astype(np.uint8)) == 0


@pytest.mark.parametrize("image_format", ["PNG", "TIFF", "BMP", "WEBP"])
def test_colour_becomes_luminance(image_format: str, encode: Encode) -> None:
    primaries = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255], [9, 9, 9]]], np.uint8)
    content = encode(Image.fromarray(primaries), image_format, **FORMATS[image_format])
    assert difference(read_radiograph(content), np.array([[76, 150, 29, 255, 9]])) <= 1


@pytest.mark.parametrize("image_format", ["JPEG", "TIFF"])
def test_ink_of_cmyk_becomes_dark(image_format: str, encode: Encode) -> None:
    no_ink = Image.new("L", (64, 48), 0)
    inks = Image.merge("CMYK", [no_ink, no_ink, no_ink, Image.fromarray(255 - picture())])
    options = {"quality": 95} if image_format == "JPEG" else {}
    assert difference(read_radiograph(encode(inks, image_format, **options)), picture()) <= 4


@pytest.mark.parametrize(("mode", "image_format"), [("LA", "PNG"), ("RGBA", "PNG"), ("RGBA", "TIFF"), ("RGBA", "WEBP")])
def test_transparency_is_composited_on_black(mode: str, image_format: str, encode: Encode) -> None:
    alpha = np.full((48, 64), 255, np.uint8)
    alpha[:10], alpha[10:20] = 0, 128
    image = Image.fromarray(picture()).convert(mode)
    image.putalpha(Image.fromarray(alpha))
    options = {"lossless": True, "exact": True} if image_format == "WEBP" else {}
    expected = picture() * (alpha / 255)
    assert difference(read_radiograph(encode(image, image_format, **options)), expected) <= 1


@pytest.mark.parametrize("mode", ["L", "P"])
def test_one_transparent_value_becomes_black(mode: str, encode: Encode) -> None:
    content = encode(Image.fromarray(picture()).convert(mode), "PNG", transparency=200)
    assert (picture() == 200).any()
    assert difference(read_radiograph(content), np.where(picture() == 200, 0, picture())) == 0


@pytest.mark.parametrize("image_format", FORMATS)
@pytest.mark.parametrize("name", ["scan.png", "scan.jpg", "scan", "scan.txt"])
def test_the_format_is_detected_from_the_content(image_format: str, name: str, encode: Encode, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(encode(Image.fromarray(picture()), image_format, **FORMATS[image_format]))
    assert difference(read_radiograph(tmp_path / name), picture()) <= 4
    assert read_radiograph(str(tmp_path / name)) == read_radiograph((tmp_path / name).read_bytes())


# Orientation


def test_the_picture_differs_under_every_orientation() -> None:
    up = picture(48, 48)
    for orientation in range(2, 9):
        assert np.abs(STORED[orientation](up).astype(int) - up).mean() > 20


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_files_of_any_orientation_are_put_upright(
    image_format: str, orientation: int, encode: Encode, tmp_path: Path
) -> None:
    content = with_orientation(orientation, image_format, picture(), encode)
    (tmp_path / "image").write_bytes(content)
    for source in (content, tmp_path / "image"):  # Pillow reads a file and bytes in different ways
        assert difference(read_radiograph(source), picture()) <= 4


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("image_format", ["JPEG", "TIFF"])
def test_a_pillow_image_of_any_orientation_is_put_upright(image_format: str, orientation: int, encode: Encode) -> None:
    with Image.open(io.BytesIO(with_orientation(orientation, image_format, picture(), encode))) as image:
        assert difference(read_radiograph(image), picture()) <= 4


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP"])
def test_a_damaged_exif_block_is_ignored(image_format: str, encode: Encode) -> None:
    exif = (b"Exif\0\0" if image_format == "JPEG" else b"") + b"no TIFF header"
    content = encode(Image.fromarray(picture()), image_format, exif=exif, **FORMATS[image_format])
    assert difference(read_radiograph(content), picture()) <= 4


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
def test_arrays_of_other_shapes_or_types_are_refused(array: np.ndarray[Any, Any]) -> None:
    with pytest.raises(UnsupportedImage, match="uint8 or uint16"):
        read_radiograph(array)


def test_an_array_without_pixels_is_refused() -> None:
    with pytest.raises(UnreadableImage, match="no pixels"):
        read_radiograph(np.zeros((0, 5), np.uint8))


# Refusals


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    with pytest.raises(UnreadableImage, match="empty"):
        read_radiograph(tmp_path / "empty.png")


def test_text_with_the_suffix_of_an_image_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("not an image\n" * 100)
    with pytest.raises(UnreadableImage, match="PNG, JPEG, TIFF, BMP, WEBP, DICOM"):
        read_radiograph(tmp_path / "text.png")


def test_another_image_format_is_refused(encode: Encode) -> None:
    with pytest.raises(UnreadableImage, match="PNG, JPEG, TIFF, BMP, WEBP, DICOM"):
        read_radiograph(encode(Image.fromarray(picture()), "GIF"))


@pytest.mark.parametrize("size", [(0, 0), (0, 5), (5, 0)])
def test_images_without_pixels_are_refused(size: tuple[int, int], hollow_png: Callable[[int, int], bytes]) -> None:
    bmp = struct.pack("<2sIHHIIiiHHIIiiII", b"BM", 154, 0, 0, 54, 40, *size, 1, 24, 0, 0, 0, 0, 0, 0) + bytes(100)
    for content in (hollow_png(*size), bmp):
        with pytest.raises(UnreadableImage):
            read_radiograph(content)


@pytest.mark.parametrize("image_format", FORMATS)
@pytest.mark.parametrize("spec", [None, PreprocessingSpec(32, 32)], ids=["whole", "reduced"])
def test_half_a_file_is_refused(image_format: str, spec: PreprocessingSpec | None, encode: Encode) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (480, 640), np.uint8)
    content = encode(Image.fromarray(noise), image_format, **FORMATS[image_format])
    with pytest.raises(UnreadableImage):
        read_radiograph(content[: len(content) // 2], spec)


@pytest.mark.parametrize("spec", [None, PreprocessingSpec()], ids=["whole", "reduced"])
def test_truncated_radiographs_are_refused(spec: PreprocessingSpec | None, shared_data: Path) -> None:
    paths = sorted((shared_data / "fracatlas" / "truncated_jpeg").glob("*.jpg"))
    assert len(paths) == 6
    for path in paths:
        with pytest.raises(UnreadableImage):
            read_radiograph(path, spec)


def test_a_truncated_file_opened_by_pillow_is_refused(encode: Encode, tmp_path: Path) -> None:
    content = encode(Image.fromarray(picture(640, 480)), "PNG")
    (tmp_path / "half.png").write_bytes(content[: len(content) // 2])
    with Image.open(tmp_path / "half.png") as image, pytest.raises(UnreadableImage):
        read_radiograph(image)


@pytest.mark.parametrize("image_format", ["TIFF", "PNG", "WEBP"])
def test_several_frames_are_refused(image_format: str, encode: Encode) -> None:
    frames = [Image.fromarray(picture()), Image.fromarray(255 - picture())]
    with pytest.raises(UnsupportedImage, match="frames"):
        read_radiograph(encode(frames[0], image_format, save_all=True, append_images=frames[1:]))


def test_the_preview_in_a_phones_jpeg_is_ignored(encode: Encode) -> None:
    frames = [Image.fromarray(picture()), Image.fromarray(255 - picture())]
    content = encode(frames[0], "MPO", save_all=True, append_images=frames[1:], quality=95)
    assert difference(read_radiograph(content), picture()) <= 4


def test_floating_point_samples_are_refused(encode: Encode) -> None:
    with pytest.raises(UnsupportedImage, match="8 or 16 bits"):
        read_radiograph(encode(Image.new("F", (4, 4), 0.5), "TIFF"))


@pytest.mark.timeout(30)
def test_folders_and_pipes_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")  # opening it would block
    for path in (tmp_path, tmp_path / "pipe.png"):
        with pytest.raises(UnreadableImage, match="regular file"):
            read_radiograph(path)


@pytest.mark.parametrize("name", ["missing.png", "a\0b.png", "a" * 5000])
def test_a_file_that_cannot_be_opened_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(UnreadableImage, match="cannot be opened"):
        read_radiograph(str(tmp_path / name))


@pytest.mark.parametrize("source", [None, 7, 1.5, ["a.png"], {}], ids=repr)
def test_a_source_of_another_type_is_refused(source: Any) -> None:
    with pytest.raises(UnreadableImage):
        read_radiograph(source)

"""The page reads image files as edge.imaging.radiograph does: the same grey pixels and the same refusals."""

import base64
import itertools
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from osteolite.edge.errors import ImageError
from osteolite.edge.imaging.radiograph import decode
from osteolite.edge.preprocess import PreprocessingSpec

_READ = """async (js, bytes, names, base64) => {
  const found = [];
  for (const name of names) {
    try {
      const {grey, chroma, jpegOrientation} = await js.readRadiograph(new Blob([await bytes(name)]));
      found.push({size: [grey.width, grey.height], data: base64(grey.data), chroma, jpegOrientation});
    } catch (error) { found.push({error: error.message}); }
  }
  return found;
}"""


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(samples: np.ndarray[Any, Any], colour: int, depth: int, *extra: bytes, interlaced: bool = False) -> bytes:
    """An interlaced or 16-bit colour PNG, which Pillow does not write, from (height, width, channels) samples."""
    height, width = samples.shape[:2]
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    rows = []
    for left, top, across, down in passes if interlaced else [(0, 0, 1, 1)]:
        for row in samples[top::down, left::across]:
            if depth == 16:
                line = row.astype(">u2").tobytes()
            else:
                bits = np.unpackbits(row.astype(np.uint8).reshape(-1, 1), axis=1)[:, 8 - depth :]
                line = np.packbits(bits).tobytes()
            rows.append(b"\0" + line if line else b"")
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, int(interlaced))
    content = chunk(b"IDAT", zlib.compress(b"".join(rows)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + b"".join(extra) + content + chunk(b"IEND", b"")


def noise(mode: str, size: tuple[int, int] = (61, 47), seed: int = 1) -> Image.Image:
    count = size[0] * size[1] * (1 if mode == "L" else len(mode))
    return Image.frombytes(mode, size, np.random.default_rng(seed).bytes(count))


def smooth(mode: str) -> Image.Image:
    """Smooth like a radiograph, so that lossy compression changes it little."""
    return noise("RGB" if mode == "RGB" else "L", (9, 7)).resize((131, 93), Image.Resampling.BICUBIC)


def orientation(value: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = value
    return exif


def exact_files(encode: Callable[..., bytes]) -> dict[str, bytes]:
    random = np.random.default_rng(2)
    palette = noise("RGB").quantize(13)
    clear = bytes(random.integers(0, 256, 13, np.uint8))
    deep = random.integers(0, 65536, (47, 61, 4))
    files = {f"{mode}.png": encode(noise(mode), "PNG") for mode in ("L", "RGB", "LA", "RGBA")}
    files |= {f"filtered{level}.png": encode(smooth("RGB"), "PNG", compress_level=level) for level in (1, 9)}
    files |= {
        "bilevel.png": encode(noise("L").convert("1"), "PNG"),
        "palette.png": encode(palette, "PNG"),
        "few.png": encode(palette, "PNG", bits=4),
        "clear_palette.png": encode(palette, "PNG", transparency=clear),
        "clear_entry.png": encode(palette, "PNG", transparency=3),
        "clear_grey.png": encode(noise("L"), "PNG", transparency=int(np.asarray(noise("L"))[0, 0])),
        "clear_colour.png": encode(noise("RGB"), "PNG", transparency=noise("RGB").getpixel((0, 0))),
        "grey2.png": png(deep[:, :, :1] % 4, 0, 2),
        "grey4.png": png(deep[:, :, :1] % 16, 0, 4),
        "grey16.png": png(deep[:, :, :1], 0, 16),
        "rgb16.png": png(deep[:, :, :3], 2, 16),
        "grey_alpha16.png": png(deep[:, :, :2], 4, 16),
        "rgba16.png": png(deep, 6, 16),
        "passes.png": png(deep[:, :, :3] % 256, 2, 8, interlaced=True),
        "passes1.png": png(deep[:, :, :1] % 2, 0, 1, interlaced=True),
        "passes16.png": png(deep[:5, :3, :1] % 4096, 0, 16, interlaced=True),
        "one.png": encode(noise("L", (1, 1)), "PNG"),
        "grey.bmp": encode(noise("L"), "BMP"),
        "rgb.bmp": encode(noise("RGB"), "BMP"),
        "bilevel.bmp": encode(noise("L").convert("1"), "BMP"),
        "lossless.webp": encode(noise("RGB"), "WEBP", lossless=True),
        "grey.jpg": encode(smooth("L"), "JPEG", quality=90),
        "progressive.jpg": encode(smooth("L"), "JPEG", progressive=True),
        "tall.jpg": encode(smooth("L").resize((9, 5000)), "JPEG"),
    }
    files |= {f"bits{bits}.png": encode(Image.fromarray((deep[:, :, 0] % 2**bits).astype(np.uint16)), "PNG")
              for bits in (7, 8, 9, 10, 12, 13, 16)}  # fmt: skip
    for value, kind in itertools.product(range(10), ("JPEG", "PNG", "WEBP")):
        options = {"lossless": True} if kind == "WEBP" else {}
        files[f"turned{value}.{kind}"] = encode(smooth("L"), kind, exif=orientation(value), **options)
    return files


def test_grey_pixels_are_bit_identical(evaluate: Callable[..., Any], encode: Callable[..., bytes]) -> None:
    files = exact_files(encode)
    for (name, content), found in zip(files.items(), evaluate(_READ, list(files), files), strict=True):
        expected = decode(content)
        assert "error" not in found, (name, found)
        assert tuple(found["size"]) == expected.grey.size, name
        grey = np.frombuffer(base64.b64decode(found["data"]), np.uint8).reshape(expected.grey.size[::-1])
        assert (grey == np.asarray(expected.grey)).all(), name
        assert found["chroma"] == pytest.approx(expected.chroma, abs=1e-9), name


def test_pixels_that_browsers_round_differently_are_similar(
    evaluate: Callable[..., Any], encode: Callable[..., bytes]
) -> None:
    """Browsers convert JPEG colours to RGB before grey, and premultiply the transparency of WebP."""
    tint = smooth("L").point(lambda value: value * 3 // 4)
    files = {
        "colour.jpg": encode(smooth("RGB").convert("HSV").convert("RGB"), "JPEG", quality=95, subsampling=0),
        "tinted.jpg": encode(Image.merge("RGB", [smooth("L"), smooth("L"), tint]), "JPEG"),
        "alpha.webp": encode(noise("RGBA"), "WEBP", lossless=True, exact=True),
    }  # fmt: skip
    for (name, content), found in zip(files.items(), evaluate(_READ, list(files), files), strict=True):
        expected = decode(content)
        grey = np.frombuffer(base64.b64decode(found["data"]), np.uint8).reshape(expected.grey.size[::-1])
        difference = np.abs(grey.astype(int) - np.asarray(expected.grey))
        assert (difference > 1).mean() < 0.01 and difference.mean() < 0.3, name
        assert found["chroma"] == pytest.approx(expected.chroma, abs=0.5), name


def bad_files(encode: Callable[..., bytes], hollow_png: Callable[[int, int], bytes]) -> dict[str, tuple[bytes, str]]:
    """Unreadable files, each with a part of its error message."""
    jpeg, deep = encode(smooth("L"), "JPEG"), np.full((4, 4, 3), 16383)
    frame = jpeg.index(b"\xff\xc0") + 5
    vp8x = b"RIFF\x16\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + b"\xff\xff\x3f" * 2 + b"\0\0"
    return {
        "empty": (b"", "the file is empty"),
        "text": (b"no image at all", "not an image of a known format; this page reads PNG, JPEG, WebP and BMP"),
        "short": (b"\xff\xd8\xff", "damaged image"),
        "xray.tif": (encode(noise("L"), "TIFF"), "a TIFF file; this page reads PNG, JPEG, WebP and BMP"),
        "xray.dcm": (bytes(128) + b"DICM" + bytes(99), "a DICOM file; this page reads"),
        "photo.heic": (b"\0\0\0\x18ftypheic" + bytes(99), "a HEIC or AVIF photograph; this page reads"),
        "few.gif": (encode(noise("L"), "GIF"), "a GIF file"),
        "cmyk.jpg": (encode(noise("CMYK"), "JPEG"), "CMYK"),
        "cut.jpg": (jpeg[: len(jpeg) // 2], "it is cut short"),
        "cut.png": (encode(noise("L"), "PNG")[:-1500], "cut short"),
        "cut.webp": (encode(noise("L"), "WEBP")[:-50], "it is cut short"),
        "cut.bmp": (encode(noise("L"), "BMP")[:20], "damaged image"),
        "wrong.jpg": (jpeg[: frame + 40] + bytes(200) + b"\xff\xd9", "damaged image"),
        "header.png": (encode(noise("L"), "PNG").replace(b"\0\0\0\x3d", b"\0\0\0\x3c", 1), "checksum"),
        "packed.png": (encode(noise("L"), "PNG").replace(b"IDAT\x78", b"IDAT\x00"), "or damaged"),
        "hollow.png": (hollow_png(300, 300), "cut short"),
        "bomb.png": (hollow_png(60000, 60000), "60000 x 60000 pixels; at most 64,000,000 pixels are read"),
        "bomb.jpg": (jpeg[:frame] + b"\xff\xff\xff\xff" + jpeg[frame + 4 :], "65535 x 65535 pixels; at most"),
        "wide.jpg": (encode(noise("L", (16385, 1)), "JPEG"), "16385 pixels wide; at most 16,384 are read, or use PNG"),
        "bomb.bmp": (b"BM" + bytes(12) + struct.pack("<IiiHH", 40, 99999, -99999, 1, 8) + bytes(99), "99999 x 99999"),
        "bomb.webp": (vp8x, "4194304 x 4194304 pixels"),
        "none.bmp": (b"BM" + bytes(12) + struct.pack("<IiiHH", 40, 0, 7, 1, 8) + bytes(99), "no pixels (0 x 7)"),
        "deep.png": (png(deep, 2, 16), "16-bit colours that use 14 bits or fewer"),
        "frames.png": (encode(noise("L"), "PNG", save_all=True, append_images=[noise("L", seed=9)]), "several frames"),
        "frames.webp": (encode(noise("RGB"), "WEBP", save_all=True, append_images=[noise("RGB", seed=9)]), "frames"),
    }  # fmt: skip


def test_unreadable_file_is_refused_in_one_line(
    evaluate: Callable[..., Any], encode: Callable[..., bytes], hollow_png: Callable[[int, int], bytes]
) -> None:
    bad = bad_files(encode, hollow_png)
    files = {name: content for name, (content, _) in bad.items()}
    for (name, (content, reason)), found in zip(bad.items(), evaluate(_READ, list(files), files), strict=True):
        assert reason in found.get("error", ""), (name, found)
        assert "\n" not in found["error"], name
        if name not in ("xray.tif", "cmyk.jpg", "wide.jpg"):  # Python reads these
            with pytest.raises(ImageError):
                decode(content)


def test_file_over_the_limit_is_not_read(evaluate: Callable[..., Any]) -> None:
    message = evaluate(
        "(js) => js.readRadiograph(new Blob([new Uint8Array(2 ** 26 + 1)])).catch((error) => error.message)"
    )
    assert message == "67,108,865 bytes; at most 67,108,864 are read"


def test_wrong_name_and_type_are_ignored(evaluate: Callable[..., Any], encode: Callable[..., bytes]) -> None:
    found = evaluate(
        """async (js, bytes) => {
          const file = new File([await bytes("image")], "xray.png", {type: "image/png"});
          return Array.from((await js.readRadiograph(file)).grey.data);
        }""",
        files={"image": encode(smooth("L"), "JPEG")},
    )
    assert found == list(decode(encode(smooth("L"), "JPEG")).grey.tobytes())


def test_browser_that_alters_pixels_is_refused(page: Any, server: Any, encode: Callable[..., bytes]) -> None:
    """Some browsers do so to prevent tracking. A PNG needs no canvas."""
    server.contents |= {"/files/f.jpg": encode(smooth("L"), "JPEG"), "/files/f.png": encode(smooth("L"), "PNG")}
    other = page.context.new_page()
    other.add_init_script(
        """const original = CanvasRenderingContext2D.prototype.getImageData;
        CanvasRenderingContext2D.prototype.getImageData = function (...place) {
          const found = original.apply(this, place);
          found.data[40] ^= 1;
          return found;
        };"""
    )
    other.goto(f"{server.address}/test.html")
    read = """async (name) => {
      const {readRadiograph} = await import("/js/image.js");
      const blob = await (await fetch(`/files/${name}`)).blob();
      return readRadiograph(blob).then(({grey}) => grey.width, (error) => error.message);
    }"""
    assert "this browser alters the pixels that a page reads" in other.evaluate(read, "f.jpg")
    assert other.evaluate(read, "f.png") == 131
    other.close()


def test_large_jpeg_is_reduced_as_in_python(evaluate: Callable[..., Any], encode: Callable[..., bytes]) -> None:
    """In every orientation, with sides that are not multiples of the block size."""
    spec = PreprocessingSpec(64, 64)
    picture = noise("L", (40, 30)).resize((801, 607), Image.Resampling.BICUBIC)
    files = {f"large{value}.jpg": encode(picture, "JPEG", quality=95, exif=orientation(value)) for value in range(1, 9)}
    found = evaluate(
        """async (js, bytes, {spec, names}, base64) => Promise.all(names.map(async (name) => {
          const {width, height, data} = js.forInput(await js.readRadiograph(new Blob([await bytes(name)])), spec);
          return [width, height, base64(data)];
        }))""",
        {"spec": spec.to_dict(), "names": list(files)},
        files,
    )
    for content, (width, height, data) in zip(files.values(), found, strict=True):
        expected = decode(content, spec).grey
        assert expected.size == (width, height) and max(expected.size) == 101
        difference = np.frombuffer(base64.b64decode(data), np.uint8).astype(int) - np.asarray(expected).ravel()
        assert np.abs(difference).max() <= 1 and (difference != 0).mean() < 0.15

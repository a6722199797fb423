"""Whatever the file format, 8-bit grey pixels."""

import io
import os
import stat
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from .errors import ImageError, ImageTooLarge, UnreadableImage, UnsupportedImage

if TYPE_CHECKING:
    from .preprocess import PreprocessingSpec

FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "WEBP")
SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp"})
_BIT_DEPTHS = (8, 10, 12, 14, 16)
_ORIENTATION = 0x0112
_PHOTOMETRIC = 0x0106
_UPRIGHT = {  # what puts an image of this EXIF orientation upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_TURNED = {5, 6, 7, 8}  # of these, the ones that swap width and height

ImageSource = str | os.PathLike[str] | bytes | Image.Image | np.ndarray[Any, Any]


@dataclass(frozen=True)
class Limits:
    """What an untrusted file may cost."""

    max_bytes: int = 256 * 1024 * 1024  # size of the file
    max_pixels: int = 64_000_000  # width x height; a stitched whole-leg radiograph has some 30 million


def read_radiograph(
    source: ImageSource,
    spec: "PreprocessingSpec | None" = None,
    limits: Limits = Limits(),
) -> Image.Image:
    """Read PNG, JPEG, TIFF, BMP or WebP of 8 or 16 bit, grey or colour, as 8-bit grey.

    The format is known by content, not by name; EXIF orientation is honoured; transparency is
    laid on black. 16-bit samples are taken as the smallest of 8, 10, 12, 14 or 16 bits that holds
    their maximum, since radiographs of 10 to 14 bits are commonly stored in 16.

    Args:
        source: a path, the bytes of a file, a Pillow image, or an array of shape (height, width)
            or (height, width, 3), uint8 or uint16.
        spec: when given, a JPEG far larger than the model needs is decoded at a reduced scale,
            still at least twice the size that the spec asks for.
        limits: the largest file and image to accept.

    Returns:
        A Pillow image of mode "L".

    Raises:
        UnreadableImage: empty, truncated, or no image at all.
        UnsupportedImage: several frames, or floating-point samples.
        ImageTooLarge: over the limits; the pixels are then never decoded.

    >>> read_radiograph(np.full((2, 3), 4095, np.uint16)).getpixel((0, 0))
    255
    """
    try:
        image, orientation = _open(source, spec, limits)
        return _upright(_to_grey(image), orientation)
    except ImageError:
        raise
    except MemoryError:
        raise
    except Exception as error:  # the decoders raise almost anything on hostile bytes
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UnreadableImage(f"damaged image ({reason}); export it again from its source") from error


def _open(source: Any, spec: "PreprocessingSpec | None", limits: Limits) -> tuple[Image.Image, int]:
    if isinstance(source, np.ndarray):
        return _from_array(source, limits), 1
    if isinstance(source, Image.Image):
        _check_pixels(source.size, limits)
        source.load()
        return source, _orientation(source)
    stream = _stream(source, limits)
    with stream:
        image = _identify(stream, limits)
        _check_pixels(image.size, limits)
        # A phone's MPO is a JPEG whose further frames are previews of the first.
        if image.format != "MPO" and getattr(image, "is_animated", False):
            raise UnsupportedImage("the file holds several frames; save the one to score as a file of its own")
        if spec is not None and image.format in ("JPEG", "MPO"):
            _reduce(image, spec)
        image.load()
        # Asked for only now: Pillow puts a TIFF upright, and forgets the tag, while it loads the pixels.
        return image, _orientation(image)


def _orientation(image: Image.Image) -> Any:
    try:
        return image.getexif().get(_ORIENTATION, 1)
    except Exception:  # a damaged EXIF block says nothing against the pixels
        return 1


def _stream(source: Any, limits: Limits) -> BinaryIO:
    if isinstance(source, bytes):
        size, stream = len(source), io.BytesIO(source)
    else:
        try:
            status = Path(source).stat()
        except OSError as error:
            raise UnreadableImage(f"cannot be opened: {error.strerror or error}") from error
        except ValueError as error:
            raise UnreadableImage(f"cannot be opened: {error}") from error
        if not stat.S_ISREG(status.st_mode):
            raise UnreadableImage("not a regular file; name an image file or a folder of them")
        size, stream = status.st_size, None
    if size == 0:
        raise UnreadableImage("the file is empty")
    if size > limits.max_bytes:
        raise ImageTooLarge(f"{size:,} bytes; at most {limits.max_bytes:,} are read")
    try:
        return stream or Path(source).open("rb")
    except OSError as error:
        raise UnreadableImage(f"cannot be opened: {error.strerror or error}") from error


def _identify(stream: BinaryIO, limits: Limits) -> Image.Image:
    with warnings.catch_warnings():
        # Pillow warns of sizes that our own limit, checked next, refuses with a clear error.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            return Image.open(stream, formats=FORMATS)
        except Image.DecompressionBombError as error:
            raise ImageTooLarge(f"far too many pixels; at most {limits.max_pixels:,} pixels are read") from error
        except UnidentifiedImageError as error:
            raise UnreadableImage(f"not an image of a known format ({', '.join(FORMATS)})") from error


def _check_pixels(size: tuple[int, int], limits: Limits) -> None:
    width, height = size
    if width < 1 or height < 1:
        raise UnreadableImage(f"the image has no pixels ({width} x {height})")
    if width * height > limits.max_pixels:
        raise ImageTooLarge(f"{width} x {height} pixels; at most {limits.max_pixels:,} pixels are read")


def _reduce(image: Image.Image, spec: "PreprocessingSpec") -> None:
    """Ask the JPEG decoder for grey at 1/2, 1/4 or 1/8 while at least twice the needed size is left.

    The decoder rounds a reduced side up; a scale at which that would move the picture's edge inside
    the model's input by a pixel is passed over.
    """
    turned = _orientation(image) in _TURNED

    def fitted(width: int, height: int) -> tuple[int, int]:
        return spec.fitted_size(height, width)[::-1] if turned else spec.fitted_size(width, height)

    width, height = image.size
    needed = fitted(width, height)
    for scale in (8, 4, 2):
        enough = width // scale >= 2 * needed[0] and height // scale >= 2 * needed[1]
        if enough and fitted(-(-width // scale), -(-height // scale)) == needed:
            image.draft("L", (width // scale, height // scale))
            return
    image.draft("L", image.size)


def _from_array(array: np.ndarray[Any, Any], limits: Limits) -> Image.Image:
    grey = array.ndim == 2 and array.dtype in (np.uint8, np.uint16)
    colour = array.ndim == 3 and array.shape[2] == 3 and array.dtype == np.uint8
    if not grey and not colour:
        raise UnsupportedImage(
            f"an array of shape {array.shape} and type {array.dtype}; give (height, width) of uint8 or uint16, "
            "or (height, width, 3) of uint8"
        )
    _check_pixels((array.shape[1], array.shape[0]), limits)
    return Image.fromarray(np.ascontiguousarray(array))


def _to_grey(image: Image.Image) -> Image.Image:
    if image.mode == "L" and not image.has_transparency_data:
        return image
    if image.mode == "F":
        raise UnsupportedImage("floating-point samples have no defined black and white; save it with 8 or 16 bits")
    if image.mode == "I" or image.mode.startswith("I;16"):
        grey = _from_deep(np.asarray(image))
        # Pillow inverts a TIFF whose zero is white if it has 8 bits or fewer, but not one of 16.
        return ImageOps.invert(grey) if getattr(image, "tag_v2", {}).get(_PHOTOMETRIC) == 0 else grey
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "black"), image)
    return image.convert("L")


def _from_deep(samples: np.ndarray[Any, Any]) -> Image.Image:
    low, high = int(samples.min()), int(samples.max())
    bits = next((b for b in _BIT_DEPTHS if high < 1 << b), None)
    if bits is None or low < 0:
        raise UnsupportedImage(f"samples from {low} to {high}; 0 to 65535 is read")
    return Image.fromarray((samples >> (bits - 8)).astype(np.uint8))


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    method = _UPRIGHT.get(orientation)
    return image if method is None else image.transpose(method)

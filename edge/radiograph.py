"""Whatever the file format, 8-bit grey pixels."""

import io
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from .dicom import HEAD, is_dicom, read_dicom
from .errors import ImageTooLarge, OsteoliteError, UnreadableImage, UnsupportedImage
from .limits import Deadline, UntrustedFile, check_pixels
from .limits import Limits as Limits  # a part of what `read_radiograph` is called with
from .muted import muted

if TYPE_CHECKING:
    from .preprocess import PreprocessingSpec

FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "WEBP")  # read by Pillow; DICOM is read besides
SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".dcm", ".dicom"})
_BIT_DEPTHS = (8, 10, 12, 14, 16)
_ORIENTATION = 0x0112
_PHOTOMETRIC = 0x0106
_JPEG_CHUNK = 8192  # bytes decoded between two looks at the clock; some eighty scans of a hostile JPEG
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


def read_radiograph(
    source: ImageSource,
    spec: "PreprocessingSpec | None" = None,
    limits: Limits = Limits(),
) -> Image.Image:
    """Read PNG, JPEG, TIFF, BMP, WebP or DICOM of 8 to 16 bit, grey or colour, as 8-bit grey.

    The format is known by content, not by name; EXIF orientation is honoured; transparency is
    laid on black. 16-bit samples are taken as the smallest of 8, 10, 12, 14 or 16 bits that holds
    their maximum, since radiographs of 10 to 14 bits are commonly stored in 16. A DICOM file is
    shown as its header says, by its look-up tables or its first window.

    Args:
        source: a path, the bytes of a file, a Pillow image, or an array of shape (height, width)
            or (height, width, 3), uint8 or uint16.
        spec: when given, a JPEG far larger than the model needs is decoded at a reduced scale,
            still at least twice the size that the spec asks for.
        limits: the largest file and image to accept, the longest time for a file, and the DICOM
            modalities that are radiographs.

    Returns:
        A Pillow image of mode "L".

    Raises:
        UnreadableImage: empty, truncated, or no image at all.
        UnsupportedImage: several frames, floating-point samples, 16-bit colour of fewer bits than
            that, or a DICOM file that is no radiograph.
        ImageTooLarge: over the limits; the pixels are then never decoded.
        ImageTooSlow: over the limit of seconds.
        MissingExtra: a DICOM file, and pydicom is not installed.

    >>> read_radiograph(np.full((2, 3), 4095, np.uint16)).getpixel((0, 0))
    255
    """
    try:
        if isinstance(source, np.ndarray):
            return _to_grey(_from_array(source, limits))
        if isinstance(source, Image.Image):
            check_pixels(source.width, source.height, limits)
            source.load()
            return _upright(_to_grey(source), _orientation(source))
        with _stream(source, limits) as stream:
            start = stream.read(HEAD)
            stream.seek(0)
            return read_dicom(stream, limits) if is_dicom(start) else _from_file(stream, spec, limits)
    except (OsteoliteError, MemoryError):
        raise
    except Exception as error:  # the decoders raise almost anything on hostile bytes
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UnreadableImage(f"damaged image ({reason}); export it again from its source") from error


def _from_file(stream: UntrustedFile, spec: "PreprocessingSpec | None", limits: Limits) -> Image.Image:
    image = _identify(stream, limits)
    check_pixels(image.width, image.height, limits)
    # A phone's MPO is a JPEG whose further frames are previews of the first.
    if image.format != "MPO" and getattr(image, "is_animated", False):
        raise UnsupportedImage("the file holds several frames; save the one to score as a file of its own")
    if image.format in ("JPEG", "MPO"):
        image.decodermaxblock = _JPEG_CHUNK
        if spec is not None:
            _reduce(image, spec)
    deep_colour = _is_deep_colour(image)
    image.load()
    grey = _to_grey(image)
    # Of 16 bits Pillow keeps the upper 8; of colours that use 14 or fewer that leaves 6 at most.
    if deep_colour and np.asarray(grey).max() < 64:
        raise UnsupportedImage("16-bit colours that fill 14 bits or fewer; save it with 8 bits, or as 16-bit grey")
    # Asked for only now: Pillow puts a TIFF upright, and forgets the tag, while it loads the pixels.
    return _upright(grey, _orientation(image))


def _is_deep_colour(image: Any) -> bool:
    """Whether a file just opened holds colours of 16 bits, which Pillow's mode does not say."""
    return image.mode in ("RGB", "RGBA") and any(";16" in str(tile.args) for tile in image.tile)


def _orientation(image: Image.Image) -> Any:
    try:
        return image.getexif().get(_ORIENTATION, 1)
    except Exception:  # a damaged EXIF block says nothing against the pixels
        return 1


def _stream(source: Any, limits: Limits) -> UntrustedFile:
    deadline = Deadline(limits.max_seconds)
    if isinstance(source, bytes):
        size = len(source)
    else:
        try:
            status = Path(source).stat()
        except OSError as error:
            raise UnreadableImage(f"cannot be opened: {error.strerror or error}") from error
        except ValueError as error:
            raise UnreadableImage(f"cannot be opened: {error}") from error
        if not stat.S_ISREG(status.st_mode):
            raise UnreadableImage("not a regular file; name an image file or a folder of them")
        size = status.st_size
    if size == 0:
        raise UnreadableImage("the file is empty")
    if size > limits.max_bytes:
        raise ImageTooLarge(f"{size:,} bytes; at most {limits.max_bytes:,} are read")
    try:
        raw = io.BytesIO(source) if isinstance(source, bytes) else io.FileIO(source)
    except OSError as error:
        raise UnreadableImage(f"cannot be opened: {error.strerror or error}") from error
    return UntrustedFile(raw, deadline)


def _identify(stream: UntrustedFile, limits: Limits) -> Any:
    with muted():  # Pillow warns of sizes that our own limit, checked next, refuses with a clear error
        try:
            return Image.open(stream, formats=FORMATS)
        except Image.DecompressionBombError as error:
            raise ImageTooLarge(f"far too many pixels; at most {limits.max_pixels:,} pixels are read") from error
        except UnidentifiedImageError as error:
            raise UnreadableImage(f"not an image of a known format ({', '.join(FORMATS)}, DICOM)") from error


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
    check_pixels(array.shape[1], array.shape[0], limits)
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

"""Read an image of any supported format as 8-bit grey pixels."""

import io
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageChops, UnidentifiedImageError

from ..errors import ImageTooLarge, OsteoliteError, UnreadableImage, UnsupportedImage
from ..silence import muted
from .dicom.reader import HEAD, is_dicom, read_dicom
from .jpeg import prepare_jpeg
from .limits import Deadline, UntrustedFile, check_pixels
from .limits import Limits as Limits  # re-exported: an argument of `read_radiograph`

if TYPE_CHECKING:
    from ..preprocess import PreprocessingSpec

FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "WEBP")  # read by Pillow; DICOM files are read by pydicom
SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".dcm", ".dicom"})
_BIT_DEPTHS = (8, 10, 12, 14, 16)
_ORIENTATION = 0x0112
_PHOTOMETRIC = 0x0106
_UPRIGHT = {  # EXIF orientation: the operation that puts the image upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_TURNED = {5, 6, 7, 8}  # EXIF orientations that swap width and height
_SAMPLES = 64  # pixels sampled in each direction to measure colour

ImageSource = str | os.PathLike[str] | bytes | Image.Image | np.ndarray[Any, Any]


@dataclass(frozen=True)
class DecodedImage:
    """A decoded image and the colour of its file."""

    grey: Image.Image  # mode "L", upright
    chroma: float  # mean difference between the channels of a pixel in the file, grey levels; 0 for grey formats


def read_radiograph(
    source: ImageSource,
    spec: "PreprocessingSpec | None" = None,
    limits: Limits = Limits(),
) -> Image.Image:
    """Read PNG, JPEG, TIFF, BMP, WebP or DICOM of 8 to 16 bits, grey or colour, as 8-bit grey.

    The format is detected from the content, not the name. EXIF orientation is applied, and transparency is composited
    on black. 16-bit samples are scaled as the smallest of 8, 10, 12, 14 or 16 bits that holds their maximum, because
    radiographs of 10 to 14 bits are commonly stored in 16. The look-up tables or the first window of a DICOM file are
    applied.

    Args:
        source: a path, the bytes of a file, a Pillow image, or an array of shape (height, width), uint8 or uint16, or
            (height, width, 3), uint8.
        spec: if given, a JPEG file far larger than the model's input is decoded at a reduced scale (see `jpeg`), at
            least one and a half times the size that the spec needs.
        limits: largest file and image, longest decoding time, and the DICOM modalities to read.

    Returns:
        A Pillow image of mode "L".

    Raises:
        UnreadableImage: the file is empty, truncated, or not an image.
        UnsupportedImage: several frames, floating-point samples, 16-bit colour that uses 14 bits or fewer, a DICOM
            file of another modality, or a DICOM file while pydicom is not installed.
        ImageTooLarge: over the limits; the pixels are not decoded.
        ImageTooSlow: over the time limit.

    >>> read_radiograph(np.full((2, 3), 4095, np.uint16)).getpixel((0, 0))
    255
    """
    return decode(source, spec, limits).grey


def decode(source: ImageSource, spec: "PreprocessingSpec | None" = None, limits: Limits = Limits()) -> DecodedImage:
    """Read an image as `read_radiograph` does, and measure its colour."""
    try:
        if isinstance(source, np.ndarray):
            return _decoded(_from_array(source, limits), 1)
        if isinstance(source, Image.Image):
            check_pixels(source.width, source.height, limits)
            source.load()
            return _decoded(source, _orientation(source))
        with _stream(source, limits) as stream:
            start = stream.read(HEAD)
            stream.seek(0)
            if is_dicom(start):
                return DecodedImage(read_dicom(stream, limits), 0.0)
            return _from_file(stream, spec, limits)
    except (OsteoliteError, MemoryError):
        raise
    except Exception as error:  # decoders raise almost anything on hostile input
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UnreadableImage(f"damaged image ({reason}); export it again from its source") from error


def _from_file(stream: UntrustedFile, spec: "PreprocessingSpec | None", limits: Limits) -> DecodedImage:
    image = _identify(stream, limits)
    check_pixels(image.width, image.height, limits)
    # MPO, which phones write, is a JPEG whose further frames are previews of the first.
    if image.format != "MPO" and getattr(image, "is_animated", False):
        raise UnsupportedImage("the file has several frames; save the one to score as a separate file")
    if image.format in ("JPEG", "MPO"):
        image = prepare_jpeg(image, stream, spec, turned=_orientation(image) in _TURNED)
    deep_colour = _is_deep_colour(image)
    image.load()
    # Read after loading: Pillow puts a TIFF upright and drops the tag while it loads the pixels.
    decoded = _decoded(image, _orientation(image))
    # Pillow keeps the upper 8 of 16 bits, which leaves at most 6 for colours that use 14 or fewer.
    if deep_colour and np.asarray(decoded.grey).max() < 64:
        raise UnsupportedImage("16-bit colours that use 14 bits or fewer; save it with 8 bits, or as 16-bit grey")
    return decoded


def _decoded(image: Image.Image, orientation: int) -> DecodedImage:
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "black"), image)
    return DecodedImage(_upright(_to_grey(image), orientation), _chroma(image))


def _chroma(image: Image.Image) -> float:
    if image.mode in ("1", "L", "F") or image.mode.startswith("I"):
        return 0.0
    samples = image.resize((_SAMPLES, _SAMPLES), Image.Resampling.NEAREST).convert("RGB")
    return float(np.ptp(np.asarray(samples), axis=2).mean())


def _is_deep_colour(image: Any) -> bool:
    """Whether an opened file has 16-bit colour, which Pillow's mode does not show."""
    return image.mode in ("RGB", "RGBA") and any(";16" in str(tile.args) for tile in image.tile)


def _orientation(image: Image.Image) -> Any:
    try:
        return image.getexif().get(_ORIENTATION, 1)
    except Exception:  # the pixels may be intact behind a damaged EXIF block
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
        raise UnreadableImage("the file is empty; export it again from its source")
    if size > limits.max_bytes:
        raise ImageTooLarge(f"{size:,} bytes; at most {limits.max_bytes:,} are read")
    try:
        raw = io.BytesIO(source) if isinstance(source, bytes) else io.FileIO(source)
    except OSError as error:
        raise UnreadableImage(f"cannot be opened: {error.strerror or error}") from error
    return UntrustedFile(raw, deadline)


def _identify(stream: UntrustedFile, limits: Limits) -> Any:
    with muted():  # Pillow warns about sizes that `check_pixels` refuses next, with a clear error
        try:
            return Image.open(stream, formats=FORMATS)
        except Image.DecompressionBombError as error:
            raise ImageTooLarge(f"too many pixels; at most {limits.max_pixels:,} pixels are read") from error
        except UnidentifiedImageError as error:
            raise UnreadableImage(f"not an image of a known format ({', '.join(FORMATS)}, DICOM)") from error


def _from_array(array: np.ndarray[Any, Any], limits: Limits) -> Image.Image:
    grey = array.ndim == 2 and array.dtype in (np.uint8, np.uint16)
    colour = array.ndim == 3 and array.shape[2] == 3 and array.dtype == np.uint8
    if not grey and not colour:
        raise UnsupportedImage(
            f"an array of shape {array.shape} and type {array.dtype}; pass (height, width) of uint8 or uint16, "
            "or (height, width, 3) of uint8"
        )
    check_pixels(array.shape[1], array.shape[0], limits)
    return Image.fromarray(np.ascontiguousarray(array))


def _to_grey(image: Image.Image) -> Image.Image:
    if image.mode == "L":
        return image
    if image.mode == "F":
        raise UnsupportedImage("floating-point samples have no defined black and white; save it with 8 or 16 bits")
    if image.mode == "I" or image.mode.startswith("I;16"):
        grey = _from_deep(np.asarray(image))
        # Pillow inverts a TIFF whose zero is white if it has at most 8 bits, but not if it has 16.
        return ImageChops.invert(grey) if getattr(image, "tag_v2", {}).get(_PHOTOMETRIC) == 0 else grey
    return image.convert("L")


def _from_deep(samples: np.ndarray[Any, Any]) -> Image.Image:
    low, high = int(samples.min()), int(samples.max())
    bits = next((b for b in _BIT_DEPTHS if high < 1 << b), None)
    if bits is None or low < 0:
        raise UnsupportedImage(f"samples from {low} to {high}; 0 to 65535 is allowed; save it with 8 or 16 bits")
    return Image.fromarray((samples >> (bits - 8)).astype(np.uint8))


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    method = _UPRIGHT.get(orientation)
    return image if method is None else image.transpose(method)

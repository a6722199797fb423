"""Read a DICOM radiograph as 8-bit grey pixels, without any patient data."""

import io
import math
import zlib
from typing import TYPE_CHECKING, Any

from PIL import Image

from ...errors import ImageTooLarge, OsteoliteError, UnreadableImage, UnsupportedImage
from ...silence import muted
from ..limits import Limits, UntrustedFile, check_pixels
from .grayscale import display_values
from .pixels import decode_frame

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

HEAD = 132  # bytes that identify a DICOM file: a preamble of any content, then "DICM"
# First elements of a file without a preamble: those of groups 0002 and 0008 that may come first.
_FIRST_TAGS = (
    *(b"\x02\0\0\0", b"\x02\0\1\0"),
    *(b"\x08\0" + bytes([element, 0]) for element in (0x00, 0x01, 0x05, 0x08, 0x12, 0x13, 0x16, 0x18)),
)
_HEADER_BYTES = 1024 * 1024  # largest header, without skipped elements; look-up tables take 128 KiB each
_PIXELS = 0x7FE00010
_EXPLICIT, _DEFLATED, _BIG = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2"
_IMPLICIT = "1.2.840.10008.1.2"
# The only elements that are read: patient data that is not in memory cannot leak.
_HEADER = (
    *("Modality", "SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration", "NumberOfFrames"),
    *("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelPaddingValue"),
    *("PixelPaddingRangeLimit", "RescaleIntercept", "RescaleSlope", "ModalityLUTSequence"),
    *("WindowCenter", "WindowWidth", "VOILUTFunction", "VOILUTSequence"),
)
# Modalities that a message may name (PS3.3 C.7.3.1.1.1). Any other text could be a patient's name in the wrong place.
_NAMED = frozenset(
    {"BMD", "CR", "CT", "DX", "ES", "IO", "KO", "MG", "MR", "NM", "OP", "OT", "PR", "PT", "PX", "RF", "RG"}
    | {"RTDOSE", "RTIMAGE", "RTPLAN", "RTSTRUCT", "SEG", "SM", "SR", "US", "XA", "XC"}
)
_GREY = ("MONOCHROME1", "MONOCHROME2")
_COLOUR = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
_REPAIR = "export it again from its source"


def is_dicom(start: bytes) -> bool:
    """Whether a file is a DICOM file, by its first `HEAD` bytes or its whole content.

    Files without the preamble, which old archives hold, are recognised by their first element.

    >>> is_dicom(bytes(128) + b"DICM"), is_dicom(b"DICM")
    (True, False)
    """
    if start[128:132] == b"DICM":
        return True
    if len(start) < 8 or start[:4] not in _FIRST_TAGS:
        return False
    explicit = start[4:6] in (b"UL", b"OB", b"UI", b"CS", b"DA", b"TM")
    return explicit or start[5:8] == bytes(3)  # an implicit element has its length here, below 256


def read_dicom(stream: UntrustedFile, limits: Limits) -> Image.Image:
    """Read the image of a single-frame DICOM file as a radiologist's display shows it, in 8 bits.

    Size, frames and modality are checked before pixels are decoded. The errors, warnings and logs of pydicom are
    dropped, because they may quote any value of the file.

    Args:
        stream: the file, at its start.
        limits: largest file and image, and the modalities to read.

    Returns:
        A Pillow image of mode "L".

    Raises:
        UnreadableImage: the file is damaged or truncated.
        UnsupportedImage: another modality than `limits.modalities`, several frames, a palette, a compression that no
            installed decoder reads, or pydicom is not installed.
        ImageTooLarge, ImageTooSlow: over the limits.
    """
    try:
        import pydicom
    except ImportError as error:  # an error of this file only: other formats can still be read
        raise UnsupportedImage(
            "DICOM files need pydicom, which is not installed; pip install 'osteolite[dicom]'"
        ) from error
    failure: Exception
    with muted(pydicom.__name__, "pylibjpeg", "openjpeg", "_openjpeg"):
        try:
            return _read(stream, limits)
        except MemoryError:
            raise
        except OsteoliteError as error:
            failure = error
        except Exception as error:
            failure = UnreadableImage(f"damaged DICOM file ({type(error).__name__}); {_REPAIR}")
    stream.deadline.check()  # pydicom replaces some errors of the stream by its own
    # Raised outside the except block and without cause, so that the traceback does not show pydicom's message.
    failure.__cause__ = failure.__context__ = None
    raise failure


def _read(stream: UntrustedFile, limits: Limits) -> Image.Image:
    from pydicom.filereader import read_dataset

    stream.allowance = _HEADER_BYTES
    stream, syntax = _dataset_stream(stream, limits)
    implicit, little = syntax == _IMPLICIT, syntax != _BIG
    wanted = _tags(_HEADER)
    header = read_dataset(
        stream, implicit, little, stop_when=lambda tag, vr, size: tag >= _PIXELS, specific_tags=wanted
    )
    for tag in [element.tag for element in header if element.is_empty]:
        del header[tag]  # the same as an absent element
    _check_modality(header, limits)
    _check_kind(header, limits)
    stream.allowance = math.inf
    stored = decode_frame(_pixel_element(stream, header), header, syntax, stream.deadline)
    if stored.ndim == 3:
        return Image.fromarray(stored).convert("L")
    return Image.fromarray(display_values(stored, header))


def _pixel_element(stream: UntrustedFile, header: "Dataset") -> Any:
    """Read the pixel data element at the position of the stream, without conversion."""
    from pydicom.filereader import data_element_generator

    implicit, little = header.original_encoding
    try:
        element = next(data_element_generator(stream, bool(implicit), bool(little)), None)
    except EOFError:
        element = None
    if element is None or element.tag != _PIXELS or not element.value:
        raise UnreadableImage(f"a DICOM file without pixels, or a truncated one; {_REPAIR}")
    return element


def _tags(keywords: Any) -> Any:
    from pydicom.tag import Tag

    return [Tag(keyword) for keyword in keywords]


def _dataset_stream(stream: UntrustedFile, limits: Limits) -> tuple[UntrustedFile, str]:
    """Return the stream at the start of the data set, inflated if necessary, and the transfer syntax UID."""
    from pydicom.filereader import read_dataset

    start = stream.read(HEAD)
    stream.seek(HEAD if start[128:] == b"DICM" else 0)
    wanted = _tags(["TransferSyntaxUID"])
    meta = read_dataset(stream, False, True, stop_when=lambda tag, vr, size: tag >> 16 != 2, specific_tags=wanted)
    # Without a transfer syntax, pydicom detects implicit and explicit value types itself.
    syntax = str(meta.get("TransferSyntaxUID", _IMPLICIT))
    if syntax != _DEFLATED:
        return stream, syntax
    stream.allowance = math.inf
    inflated, inflater = io.BytesIO(), zlib.decompressobj(-zlib.MAX_WBITS)
    while packed := stream.read(16 * 1024):  # inflates to at most a thousand times as much
        inflated.write(inflater.decompress(packed, limits.max_bytes + 1 - inflated.tell()))
        if inflated.tell() > limits.max_bytes:
            raise ImageTooLarge(f"it inflates to more than the {limits.max_bytes:,} bytes that are read at most")
    inflated.seek(0)
    plain = UntrustedFile(inflated, stream.deadline)
    plain.allowance = _HEADER_BYTES
    return plain, _EXPLICIT


def _check_modality(header: "Dataset", limits: Limits) -> None:
    if limits.modalities is None:
        return
    modality = str(header.get("Modality", "")).strip()
    if modality in limits.modalities:
        return
    if modality:
        what = f"of modality {modality}" if modality in _NAMED else "of an unknown modality"
    else:
        what = "without a modality"
    allowed = ", ".join(sorted(limits.modalities))
    raise UnsupportedImage(
        f"a DICOM file {what}; allowed are {allowed}, or any with --any-modality or Limits(modalities=None)"
    )


def _check_kind(header: "Dataset", limits: Limits) -> None:
    if int(header.get("NumberOfFrames", 1)) > 1:
        raise UnsupportedImage("the file has several frames; save the one to score as a separate file")
    check_pixels(_number(header, "Columns"), _number(header, "Rows"), limits)
    photometric, samples = str(_value(header, "PhotometricInterpretation")), _number(header, "SamplesPerPixel")
    if photometric == "PALETTE COLOR":
        raise UnsupportedImage("its values are palette indices, not grey values; save it as grey")
    if (samples, photometric) not in {*((1, name) for name in _GREY), *((3, name) for name in _COLOUR)}:
        raise UnsupportedImage(f"neither grey nor colour as {', '.join(_GREY + _COLOUR)}; save it as grey")
    allocated, stored = _number(header, "BitsAllocated"), _number(header, "BitsStored")
    if allocated not in ((8, 16) if samples == 1 else (8,)) or not 1 <= stored <= allocated:
        raise UnsupportedImage(
            f"{samples} samples per pixel, {stored} bits in {allocated}; 1 of up to 16 bits or 3 of 8 bits are allowed"
        )
    if header.get("HighBit", stored - 1) != stored - 1:
        raise UnsupportedImage(
            "its samples are not in the lowest bits of their words, which the standard requires; export it again"
        )


def _value(header: "Dataset", keyword: str) -> Any:
    if keyword not in header:
        raise UnreadableImage(f"a DICOM file without the required element {keyword}; {_REPAIR}")
    return header[keyword].value


def _number(header: "Dataset", keyword: str) -> int:
    return int(_value(header, keyword))

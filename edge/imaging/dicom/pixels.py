"""Decode the stored values of a single-frame DICOM file."""

from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import UnreadableImage, UnsupportedImage
from ..limits import Deadline
from .frame_size import check_jpeg, check_rle
from .jpeg2000 import check_jpeg2000

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

# In this order, fastest first: each compression has one decoder, so that a file always gives the same pixels.
_DECODERS = ("pylibjpeg", "pillow", "gdcm", "pydicom")


def decode_frame(element: Any, header: "Dataset", syntax: str, deadline: Deadline) -> np.ndarray[Any, Any]:
    """Decode a pixel data element with pydicom and the installed codecs.

    Args:
        element: the raw element, with `value` (bytes) and `VR`.
        header: the elements that describe the pixels, checked against the limits.
        syntax: UID of the transfer syntax.
        deadline: time limit of the checks; a decoder cannot be stopped.

    Returns:
        (rows, columns) of 8 or 16 bits, signed or unsigned, or RGB of (rows, columns, 3), uint8.

    Raises:
        UnsupportedImage: no decoder is installed.
        UnreadableImage: truncated or damaged pixels, or a frame of another size than the header says.
    """
    from pydicom.pixels.decoders.base import get_decoder
    from pydicom.uid import UID

    # An unknown UID is text from the file, which a message must not repeat.
    name = UID(syntax).name if UID(syntax).name != syntax else "unknown"
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError:
        raise UnsupportedImage(f"its compression ({name}) is not supported; save it uncompressed") from None
    plugin = ""
    if decoder.is_encapsulated:
        plugin = next((known for known in _DECODERS if known in decoder.available_plugins), "")
        if not plugin:
            raise UnsupportedImage(f"no decoder for {name} is installed; pip install 'osteolite[dicom]'")
        _check_frame(element.value, syntax, header, deadline)
    try:
        array, _ = decoder.as_array(element.value, index=0, decoding_plugin=plugin, **_layout(header, element.VR))
    except (RuntimeError, ValueError):  # a decoder's error, or too few bytes
        raise UnreadableImage(
            f"its pixels ({name}) are cut short, damaged or not supported by the decoder; export it uncompressed"
        ) from None
    return array


def _layout(header: "Dataset", value_type: str | None) -> Any:
    return {
        "pixel_vr": value_type or "OW",  # missing in implicit files
        "rows": int(header.Rows),
        "columns": int(header.Columns),
        "samples_per_pixel": int(header.SamplesPerPixel),
        "photometric_interpretation": str(header.PhotometricInterpretation),
        "bits_allocated": int(header.BitsAllocated),
        "bits_stored": int(header.BitsStored),
        "pixel_representation": int(header.PixelRepresentation),
        "planar_configuration": int(header.get("PlanarConfiguration", 0)),
        "number_of_frames": 1,
        "allow_excess_frames": False,
        "pixel_keyword": "PixelData",
    }


def _check_frame(content: bytes, syntax: str, header: "Dataset", deadline: Deadline) -> None:
    from pydicom import uid
    from pydicom.encaps import get_frame

    frame = get_frame(content, 0, number_of_frames=1)
    shape = (int(header.Rows), int(header.Columns), int(header.SamplesPerPixel))
    if syntax in uid.JPEG2000TransferSyntaxes:
        check_jpeg2000(frame, shape)
    elif syntax in uid.RLETransferSyntaxes:
        check_rle(frame, shape, deadline)
    else:
        check_jpeg(frame, shape)

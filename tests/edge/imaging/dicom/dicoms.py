"""Build DICOM files of one picture."""

import io
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pydicom
from PIL import Image
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate

from osteolite.edge.imaging.limits import Limits
from osteolite.edge.imaging.radiograph import read_radiograph

Encode = Callable[..., bytes]
Pixels = np.ndarray[Any, Any]
ANY = Limits(modalities=None)
ENDLESS = 0xFFFFFFFF  # undefined length: up to the delimiter
RAMP = np.arange(48 * 64, dtype=np.uint16).reshape(48, 64)


def dataset(stored: Pixels, **elements: Any) -> Dataset:
    """A radiograph of these stored values. An element that is None is left out."""
    signed, colour = stored.dtype.kind == "i", stored.ndim == 3
    bits = 8 * stored.dtype.itemsize
    described = {
        "SOPClassUID": uid.ComputedRadiographyImageStorage,
        "SOPInstanceUID": "1.2.3",
        "Modality": "CR",
        "SamplesPerPixel": 3 if colour else 1,
        "PhotometricInterpretation": "RGB" if colour else "MONOCHROME2",
        **({"PlanarConfiguration": 0} if colour else {}),
        "Rows": stored.shape[0],
        "Columns": stored.shape[1],
        "BitsAllocated": bits,
        "BitsStored": bits,
        "PixelRepresentation": int(signed),
        **elements,
    }
    found = Dataset()
    for keyword, value in described.items():
        if value is not None:
            setattr(found, keyword, value)
    if "HighBit" not in described and "BitsStored" in found:
        found.HighBit = found.BitsStored - 1
    found.PixelData = stored.tobytes() + b"\0" * (stored.nbytes % 2)
    found["PixelData"].VR = "OW" if bits > 8 else "OB"
    return found


def write(found: Dataset, syntax: str = uid.ExplicitVRLittleEndian) -> bytes:
    found.file_meta = FileMetaDataset()
    found.file_meta.TransferSyntaxUID = uid.UID(syntax)
    stream = io.BytesIO()
    pydicom.dcmwrite(stream, found, enforce_file_format=True)
    return stream.getvalue()


def dicom(stored: Pixels, syntax: str | None = None, **elements: Any) -> bytes:
    return write(dataset(stored, **elements), syntax or uid.ExplicitVRLittleEndian)


def compressed(frame: bytes, shape: tuple[int, ...], syntax: str, **elements: Any) -> bytes:
    """A DICOM file with this compressed frame whose header declares this shape."""
    found = dataset(np.zeros(shape, elements.pop("dtype", np.uint8)), **elements)
    found.PixelData = encapsulate([frame])
    found["PixelData"].is_undefined_length = True
    return write(found, syntax)


def read(content: bytes, limits: Limits = Limits()) -> Pixels:
    image = read_radiograph(content, limits=limits)
    assert image.mode == "L"
    return np.asarray(image)


def table(values: Any, first: int = 0, bits: int = 16, keyword_type: str = "US") -> Dataset:
    """One item of a modality or VOI look-up table sequence."""
    item, values = Dataset(), [int(value) for value in values]
    item.add_new("LUTDescriptor", "SS" if first < 0 else "US", [len(values) & 0xFFFF, first, bits])
    packed = struct.pack(f"<{len(values)}H", *values) if keyword_type == "OW" else values
    item.add_new("LUTData", keyword_type, packed)
    return item


def big_endian(stored: Pixels) -> bytes:
    found = dataset(stored)
    found.PixelData = stored.astype(stored.dtype.newbyteorder(">")).tobytes()
    return write(found, uid.ExplicitVRBigEndian)


def run_lengths(stored: Pixels) -> bytes:
    found = dataset(stored)
    found.file_meta = FileMetaDataset()
    found.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    found.compress(uid.RLELossless)
    return write(found, uid.RLELossless)


def jpeg2000(stored: Pixels, **options: Any) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(stored).save(stream, "JPEG2000", no_jp2=True, **options)
    return stream.getvalue()


STORED_AS: dict[str, Callable[[Pixels], bytes]] = {
    "explicit": dicom,
    "implicit": lambda stored: dicom(stored, uid.ImplicitVRLittleEndian),
    "big endian": big_endian,
    "deflated": lambda stored: dicom(stored, uid.DeflatedExplicitVRLittleEndian),
    "run lengths": run_lengths,
    "JPEG 2000": lambda stored: compressed(jpeg2000(stored), stored.shape, uid.JPEG2000Lossless, dtype=stored.dtype),
}


def element(group: int, number: int, value: bytes, kind: bytes = b"SQ", length: int | None = None) -> bytes:
    return struct.pack("<HH2sHI", group, number, kind, 0, len(value) if length is None else length) + value


def before_the_pixels(content: bytes, extra: bytes) -> bytes:
    """Insert an element after the modality."""
    place = content.index(b"\x08\0\x60\0CS") + 10
    return content[:place] + extra + content[place:]

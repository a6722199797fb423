import io
import logging
import random
import struct
import subprocess
import sys
import threading
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, get_frame
from pydicom.pixels import apply_modality_lut, apply_voi_lut

from osteolite.edge.dicom import HEAD, is_dicom
from osteolite.edge.errors import (
    ImageError,
    ImageTooLarge,
    ImageTooSlow,
    UnreadableImage,
    UnsupportedImage,
)
from osteolite.edge.muted import muted
from osteolite.edge.radiograph import Limits, read_radiograph

Encode = Callable[..., bytes]
ANY = Limits(modalities=None)
ENDLESS = 0xFFFFFFFF  # an element's length that says: until its delimiter
RAMP = np.arange(48 * 64, dtype=np.uint16).reshape(48, 64)


def dataset(stored: np.ndarray, **elements: Any) -> Dataset:
    """A radiograph of these stored values; an element given as None is left out."""
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


def dicom(stored: np.ndarray, syntax: str = uid.ExplicitVRLittleEndian, **elements: Any) -> bytes:
    return write(dataset(stored, **elements), syntax)


def compressed(frame: bytes, shape: tuple[int, ...], syntax: str, **elements: Any) -> bytes:
    """A DICOM file that holds this compressed frame and says that it is of this shape."""
    found = dataset(np.zeros(shape, elements.pop("dtype", np.uint8)), **elements)
    found.PixelData = encapsulate([frame])
    found["PixelData"].is_undefined_length = True
    return write(found, syntax)


def read(content: bytes, limits: Limits = Limits()) -> np.ndarray:
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


# The files of the shared data


READ_ANYWAY = {
    "CT_small": (128, 128),
    "HTJ2K_08_RGB": (640, 480),
    "JPEG-LL": (256, 1024),
    "JPEG2000": (256, 1024),
    "MR_small": (64, 64),
    "MR_small_RLE": (64, 64),
    "MR_small_jp2klossless": (64, 64),
    "SC_rgb": (100, 100),
    "image_dfl": (512, 512),
    "mlut_18": (512, 512),
}
REFUSED_ANYWAY = {
    "JLSL_08_07_0_1F": (UnreadableImage, "JPEG-LS Lossless"),  # 7 bits, which GDCM cannot decode right
    "JPEG-lossy": (UnreadableImage, "JPEG Extended"),  # 12 bits
    "MR_truncated": (UnreadableImage, "cut short"),
    "examples_palette": (UnsupportedImage, "colours"),
}
MODALITIES = {"CT_small": "CT", "JPEG-LL": "NM", "JPEG-lossy": "NM", "JPEG2000": "NM", "examples_palette": "US"}
MODALITIES |= dict.fromkeys(["MR_small", "MR_small_RLE", "MR_small_jp2klossless", "MR_truncated"], "MR")
MODALITIES |= dict.fromkeys(["SC_rgb", "image_dfl", "mlut_18"], "OT")
MODALITIES |= dict.fromkeys(["HTJ2K_08_RGB", "JLSL_08_07_0_1F"], "names no modality")


def test_every_shared_file_has_an_outcome_here(shared_data: Path) -> None:
    names = {path.stem for path in (shared_data / "dicom").glob("*.dcm")}
    assert names == {"RG3_J2KR"} | set(MODALITIES) == {"RG3_J2KR"} | set(READ_ANYWAY) | set(REFUSED_ANYWAY)


def by_hand(path: Path) -> np.ndarray:
    """The picture as 0 to 255, by another way: pydicom's on the whole picture, in floating point."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = pydicom.dcmread(path)
        stored = found.pixel_array
    if stored.ndim == 3:
        return stored @ [0.299, 0.587, 0.114]
    values = apply_voi_lut(apply_modality_lut(stored, found), found).astype(float)
    top = 2**found.BitsStored - 1
    if "WindowCenter" in found:
        low, high = (-(top + 1) / 2, (top - 1) / 2) if found.PixelRepresentation else (0, top)
    else:
        low, high = (0, top) if found.BitsStored == 8 else (values.min(), values.max())
    grey = (values - low) / (high - low) * 255
    return 255 - grey if found.PhotometricInterpretation == "MONOCHROME1" else grey


def test_the_shared_radiograph_is_read(shared_data: Path) -> None:
    path = shared_data / "dicom" / "RG3_J2KR.dcm"
    grey = np.asarray(read_radiograph(path))
    assert grey.shape == (1760, 1760)
    assert np.abs(grey - by_hand(path)).max() <= 0.501
    # Bone is bright and the air beside the leg, inside the collimated field, is black.
    assert grey[400, 860] > 150 > 30 > grey[400, 520]
    assert np.array_equal(read(path.read_bytes()), grey)


@pytest.mark.parametrize("name", READ_ANYWAY)
def test_other_shared_files_are_read_when_any_modality_is_allowed(name: str, shared_data: Path) -> None:
    path = shared_data / "dicom" / f"{name}.dcm"
    image = read_radiograph(path, limits=ANY)
    assert image.size == READ_ANYWAY[name]
    assert np.abs(np.asarray(image) - by_hand(path)).max() <= (1.01 if "rgb" in name.lower() else 0.501)


@pytest.mark.parametrize("name", REFUSED_ANYWAY)
def test_shared_files_that_nothing_here_reads(name: str, shared_data: Path) -> None:
    error, words = REFUSED_ANYWAY[name]
    with pytest.raises(error, match=words):
        read_radiograph(shared_data / "dicom" / f"{name}.dcm", limits=ANY)


@pytest.mark.parametrize("name", MODALITIES)
def test_shared_files_that_are_no_radiographs_are_refused(name: str, shared_data: Path) -> None:
    with pytest.raises(UnsupportedImage, match=rf"{MODALITIES[name]}; CR, DR, DX, RG are read"):
        read_radiograph(shared_data / "dicom" / f"{name}.dcm")


# Modality


@pytest.mark.parametrize("modality", ["CR", "DX", "RG", "DR", "CR "])
def test_radiographs_are_read(modality: str) -> None:
    assert read(dicom(RAMP, Modality=modality)).shape == (48, 64)


@pytest.mark.parametrize(
    ("modality", "named"), [("MG", "of modality MG"), ("DOE^JANE", "of another modality"), ("", "no")]
)
def test_a_modality_is_named_only_if_it_is_one(modality: str, named: str) -> None:
    with pytest.raises(UnsupportedImage, match=named) as caught, muted("pydicom"):
        read_radiograph(dicom(RAMP, Modality=modality))
    assert "DOE" not in str(caught.value)


def test_which_modalities_are_read_can_be_chosen() -> None:
    content = dicom(RAMP, Modality="XA")
    assert read(content, Limits(modalities=frozenset({"XA"}))).shape == read(content, ANY).shape
    with pytest.raises(UnsupportedImage, match="XA; CR are read"):
        read(content, Limits(modalities=frozenset({"CR"})))


# Grey values


@given(
    bits=st.integers(8, 16),
    signed=st.booleans(),
    centre=st.integers(-40_000, 70_000),
    width=st.integers(1, 70_000),
    function=st.sampled_from([None, "LINEAR", "LINEAR_EXACT", "SIGMOID"]),
    slope=st.sampled_from([None, 1, 0.5, 2]),
    inverted=st.booleans(),
)
def test_a_window_is_the_one_of_the_standard(
    bits: int, signed: bool, centre: int, width: int, function: str | None, slope: float | None, inverted: bool
) -> None:
    low = -(1 << bits - 1) if signed else 0
    stored = np.linspace(low, low + (1 << bits) - 1, 60).astype(np.int16 if signed else np.uint16).reshape(6, 10)
    grey = read(
        dicom(
            stored,
            BitsStored=bits,
            WindowCenter=centre,
            WindowWidth=width,
            VOILUTFunction=function,
            RescaleSlope=slope,
            RescaleIntercept=None if slope is None else -100,
            PhotometricInterpretation="MONOCHROME1" if inverted else "MONOCHROME2",
        )
    )
    # PS3.3 C.11.2.1.2 and C.11.2.1.3, written out.
    x = stored.astype(float) if slope is None else stored * float(slope) - 100
    if function == "SIGMOID":
        shown = 1 / (1 + np.exp(np.clip(-4 * (x - centre) / width, None, 700)))
    elif function == "LINEAR_EXACT":
        shown = ((x - centre) / width + 0.5).clip(0, 1)
    elif width == 1:
        shown = (x > centre - 0.5).astype(float)
    else:
        shown = ((x - (centre - 0.5)) / (width - 1) + 0.5).clip(0, 1)
    assert np.abs(grey - 255 * (1 - shown if inverted else shown)).max() <= 0.501


def test_of_several_windows_the_first_counts() -> None:
    content = dicom(RAMP, WindowCenter=[500, 9000], WindowWidth=[1000, 10])
    assert np.array_equal(read(content), read(dicom(RAMP, WindowCenter=500, WindowWidth=1000)))


def test_a_negative_slope_turns_the_picture_and_not_the_window() -> None:
    content = dicom(RAMP, RescaleSlope=-1, RescaleIntercept=4000, WindowCenter=2500, WindowWidth=3000)
    grey = read(content).astype(float)
    assert grey[0, 0] == 255
    assert np.abs(grey - ((4000.0 - RAMP - 2499.5) / 2999 + 0.5).clip(0, 1) * 255).max() <= 0.501


@pytest.mark.parametrize("keyword_type", ["US", "OW"])
@pytest.mark.parametrize("syntax", [uid.ExplicitVRLittleEndian, uid.ImplicitVRLittleEndian])
@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_a_voi_table_is_looked_up(keyword_type: str, syntax: str, bits: int) -> None:
    entries = np.sqrt(np.arange(1024) / 1023) * (2**bits - 1)
    item = table(entries, first=100, bits=bits, keyword_type=keyword_type)
    content = dicom(RAMP, syntax, VOILUTSequence=[item], WindowCenter=1, WindowWidth=1)
    expected = entries.astype(int)[(RAMP.astype(int) - 100).clip(0, 1023)] / (2**bits - 1) * 255
    assert np.abs(read(content) - expected).max() <= 0.501


def test_a_voi_table_after_a_rescale_and_from_a_negative_value() -> None:
    item = table(np.arange(2000) % 1024, first=-1000, bits=10)
    stored = np.arange(-1000, 1000, dtype=np.int16).reshape(40, 50)
    content = dicom(stored, VOILUTSequence=[item], RescaleSlope=1, RescaleIntercept=0)
    assert np.abs(read(content) - (np.arange(2000) % 1024).reshape(40, 50) / 1023 * 255).max() <= 0.501


def test_a_modality_table_comes_before_the_window() -> None:
    item = table(4095 - np.arange(4096))
    item.ModalityLUTType = "US"
    content = dicom(RAMP, ModalityLUTSequence=[item], WindowCenter=2048, WindowWidth=4096)
    expected = ((4095.0 - RAMP - 2047.5) / 4095 + 0.5) * 255
    assert np.abs(read(content) - expected).max() <= 0.501


@given(bits=st.integers(9, 16), ends=st.tuples(st.integers(0, 511), st.integers(0, 511)), signed=st.booleans())
def test_without_a_window_deep_samples_are_stretched(bits: int, ends: tuple[int, int], signed: bool) -> None:
    low, high = (end - 256 * signed for end in sorted(ends))
    stored = np.linspace(low, high, 12).astype(np.int16 if signed else np.uint16).reshape(3, 4)
    grey = read(dicom(stored, BitsStored=bits))
    if low == high:
        assert not grey.any()
    else:
        assert np.abs(grey - (stored.astype(float) - low) / (high - low) * 255).max() <= 0.501


@pytest.mark.parametrize("bits", [7, 8])
def test_without_a_window_8_bits_are_kept(bits: int) -> None:
    stored = np.array([[10, 20], [60, 100]], np.uint8)
    assert np.array_equal(read(dicom(stored, BitsStored=bits)), np.rint(stored * (255 / (2**bits - 1))))


def test_a_window_that_the_standard_forbids_is_refused() -> None:
    with pytest.raises(UnreadableImage, match="damaged DICOM"):
        read(dicom(RAMP, WindowCenter=100, WindowWidth=0))


@pytest.mark.parametrize("keyword", ["WindowCenter", "WindowWidth", "RescaleSlope", "RescaleIntercept"])
def test_empty_values_count_as_absent(keyword: str) -> None:
    values = {"WindowCenter": 9, "WindowWidth": 9, "RescaleSlope": 2, "RescaleIntercept": 2}
    left = {name: value for name, value in values.items() if name != keyword and name[:6] != keyword[:6]}
    empty = dicom(RAMP, **{**values, keyword: ""})
    assert np.array_equal(read(empty), read(dicom(RAMP, **left)))


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("window", [{}, {"WindowCenter": 1500, "WindowWidth": 1000}], ids=["stretched", "window"])
@pytest.mark.parametrize(
    "padding", [{"PixelPaddingValue": 60000}, {"PixelPaddingValue": 50000, "PixelPaddingRangeLimit": 60000}]
)
def test_padding_is_black_and_does_not_count(photometric: str, window: Any, padding: Any) -> None:
    stored = RAMP.copy()
    stored[:10], stored[10] = 60000, 50000 if len(padding) > 1 else 60000
    grey = read(dicom(stored, PhotometricInterpretation=photometric, **window, **padding))
    assert not grey[:11].any()
    plain = read(dicom(stored[11:], PhotometricInterpretation=photometric, **window))
    assert np.array_equal(grey[11:], plain)


def test_signed_padding_written_as_an_unsigned_number() -> None:
    stored = np.full((4, 4), -2000, np.int16)
    stored[1:, 1:] = np.arange(9).reshape(3, 3)
    found = dataset(stored)
    found.add_new("PixelPaddingValue", "US", 65536 - 2000)
    grey = read(write(found))
    assert (grey[1, 1], grey[3, 3], grey[0].max()) == (0, 255, 0)
    assert grey[2, 2] == 128


def test_nothing_but_padding_is_black() -> None:
    assert not read(dicom(np.full((4, 4), 7, np.uint16), PixelPaddingValue=7)).any()


def test_what_lies_in_the_bits_above_the_stored_ones_is_ignored() -> None:
    content = dicom(RAMP | np.uint16(0xF000), BitsStored=12)
    assert np.array_equal(read(content), read(dicom(RAMP, BitsStored=12)))


# Kinds of pixels


def test_colour_becomes_its_luminance() -> None:
    colours = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]]], np.uint8)
    assert np.abs(read(dicom(colours)) - [76, 150, 29, 255.0]).max() <= 1
    luminance = np.zeros((2, 2, 3), np.uint8) + np.array([90, 128, 128], np.uint8)
    assert (read(dicom(luminance, PhotometricInterpretation="YBR_FULL")) == 90).all()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"NumberOfFrames": 2}, "several frames"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "numbers of colours"),
        ({"PhotometricInterpretation": "DOE^JANE"}, "neither grey nor colour"),
        ({"SamplesPerPixel": 4}, "neither grey nor colour"),
        ({"PhotometricInterpretation": "RGB", "SamplesPerPixel": 3}, "3 samples a pixel, of 16 bits"),
        ({"BitsAllocated": 32, "BitsStored": 32}, "1 samples a pixel, of 32 bits in 32"),
        ({"BitsAllocated": 1, "BitsStored": 1}, "1 bits in 1"),
        ({"BitsStored": 12, "HighBit": 15}, "lowest bits"),
    ],
)
def test_pixels_without_defined_grey_values_are_refused(changes: Any, words: str) -> None:
    with muted("pydicom"):
        content = dicom(RAMP, **changes)
    with pytest.raises(UnsupportedImage, match=words) as caught:
        read(content)
    assert "DOE" not in str(caught.value)


@pytest.mark.parametrize(
    "keyword",
    ["Rows", "Columns", "BitsAllocated", "BitsStored", "SamplesPerPixel", "PhotometricInterpretation"],
)
def test_a_missing_element_is_named(keyword: str) -> None:
    with pytest.raises(UnreadableImage, match=f"without the element {keyword}"):
        read(dicom(RAMP, **{keyword: None}))


def test_a_file_without_pixels_is_named() -> None:
    found = dataset(RAMP)
    del found.PixelData
    with pytest.raises(UnreadableImage, match="without pixels"):
        read(write(found))


def test_a_size_of_nothing() -> None:
    with pytest.raises(UnreadableImage, match="no pixels"):
        read(dicom(RAMP, Rows=0))


# Ways to store them


def big_endian(stored: np.ndarray) -> bytes:
    found = dataset(stored)
    found.PixelData = stored.astype(stored.dtype.newbyteorder(">")).tobytes()
    return write(found, uid.ExplicitVRBigEndian)


def run_lengths(stored: np.ndarray) -> bytes:
    found = dataset(stored)
    found.file_meta = FileMetaDataset()
    found.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    found.compress(uid.RLELossless)
    return write(found, uid.RLELossless)


def jpeg2000(stored: np.ndarray, **options: Any) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(stored).save(stream, "JPEG2000", no_jp2=True, **options)
    return stream.getvalue()


STORED_AS: dict[str, Callable[[np.ndarray], bytes]] = {
    "explicit": dicom,
    "implicit": lambda stored: dicom(stored, uid.ImplicitVRLittleEndian),
    "big endian": big_endian,
    "deflated": lambda stored: dicom(stored, uid.DeflatedExplicitVRLittleEndian),
    "run lengths": run_lengths,
    "JPEG 2000": lambda stored: compressed(jpeg2000(stored), stored.shape, uid.JPEG2000Lossless, dtype=stored.dtype),
}


@pytest.mark.parametrize("kind", STORED_AS)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_every_way_to_store_a_picture_gives_the_same(kind: str, dtype: Any) -> None:
    stored = (RAMP % 251).astype(dtype)
    assert np.array_equal(read(STORED_AS[kind](stored)), read(dicom(stored)))


@pytest.mark.parametrize("syntax", [uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit])
def test_a_baseline_jpeg_in_a_dicom_file(syntax: str, encode: Encode) -> None:
    grey = (RAMP // 13).astype(np.uint8)
    content = compressed(encode(Image.fromarray(grey), "JPEG", quality=95), grey.shape, syntax)
    assert np.abs(read(content).astype(int) - grey).max() <= 6


def test_a_compression_that_is_not_read() -> None:
    with pytest.raises(UnsupportedImage, match="MPEG2"):
        read(compressed(b"\0\0\1\xb3", (4, 4), uid.MPEG2MPML))
    with pytest.raises(UnsupportedImage, match="unknown") as caught:
        read(compressed(b"\0\0", (4, 4), uid.JPEG2000).replace(b"1.2.840.10008.1.2.4.91", b"1.2.840.113619.5.77777"))
    assert "777" not in str(caught.value)


@pytest.mark.parametrize("syntax", [uid.ExplicitVRLittleEndian, uid.ImplicitVRLittleEndian])
@pytest.mark.parametrize("meta", [True, False])
def test_files_without_the_preamble_are_read(syntax: str, meta: bool) -> None:
    content = dicom(RAMP, syntax)
    bare = content[HEAD:] if meta else content[content.index(b"\x08\0\x16\0", HEAD) :]
    assert bare[128:132] != b"DICM"
    assert is_dicom(bare[:HEAD])
    assert np.array_equal(read(bare), read(content))


@pytest.mark.parametrize("length", [0x00424100, 0x4F57, 0x0041_4241])
def test_a_length_that_looks_like_a_value_type(length: int) -> None:
    # Implicit files have no value types; the length of the pixels stands where an explicit one has its own.
    columns = 64
    stored = np.zeros((length // (2 * columns) + 1, columns), np.uint16)
    stored.flat[:9] = range(9)
    found = dataset(stored)
    found.PixelData = stored.tobytes()[: length + length % 2]
    found.Rows = length // (2 * columns)
    assert read(write(found, uid.ImplicitVRLittleEndian)).max() == 255


@pytest.mark.parametrize(
    "start",
    [
        b"",
        b"DICM",
        b"\x08\0\x05\0",
        bytes(132),
        b"\x08\0\x05\0CS\n",
        b"\x08\0\x05\0\xff\xff\xff\xff",
        b"\x89PNG\r\n\x1a\n" + bytes(124),
    ],
)
def test_what_does_not_start_like_a_dicom_file(start: bytes) -> None:
    assert not is_dicom(start)


# What a file may cost


def sized(width: int, height: int) -> bytes:
    found = dataset(np.zeros((2, 2), np.uint16))
    found.Rows, found.Columns = height, width
    return write(found)


def test_limits_are_checked_before_the_pixels() -> None:
    with pytest.raises(ImageTooLarge, match="at most 64,000,000 pixels"):
        read(sized(60000, 60000))
    with pytest.raises(ImageTooLarge, match="at most 3,071 pixels"):
        read(dicom(RAMP), Limits(max_pixels=3071))
    assert read(dicom(RAMP), Limits(max_pixels=3072)).size == 3072


def test_a_frame_of_another_size_than_the_header_says(encode: Encode) -> None:
    large = np.zeros((400, 300), np.uint8)
    frames = {
        uid.JPEGBaseline8Bit: encode(Image.fromarray(large), "JPEG"),
        uid.JPEG2000Lossless: jpeg2000(large),
        uid.RLELossless: struct.pack("<16I", 1, 64, *[0] * 14) + b"\x81\0" * 1000,
    }
    for syntax, frame in frames.items():
        with pytest.raises(UnreadableImage, match=r"another size|more pixels"):
            read(compressed(frame, (20, 30), syntax))


def test_a_progressive_jpeg_is_refused(encode: Encode) -> None:
    frame = encode(Image.fromarray((RAMP // 13).astype(np.uint8)), "JPEG", progressive=True)
    with pytest.raises(UnreadableImage, match="progressive"):
        read(compressed(frame, RAMP.shape, uid.JPEGBaseline8Bit))


def test_a_jpeg_frame_cut_short_in_a_whole_file(shared_data: Path) -> None:
    found = pydicom.dcmread(shared_data / "dicom" / "JPEG-LL.dcm")
    frame = get_frame(found.PixelData, 0, number_of_frames=1)
    found.PixelData = encapsulate([frame[: len(frame) // 2]])
    found["PixelData"].is_undefined_length = True
    stream = io.BytesIO()
    found.save_as(stream)
    with pytest.raises(UnreadableImage, match="cut short"):
        read(stream.getvalue(), ANY)


@pytest.mark.parametrize(
    "options", [{"codeblock_size": (4, 4)}, {"codeblock_size": (8, 8)}, {"tile_size": (16, 16)}], ids=str
)
def test_a_jpeg_2000_frame_cut_into_dust_is_refused(options: Any) -> None:
    frame = jpeg2000(np.zeros((1000, 1000), np.uint16), **options)
    with pytest.raises(UnreadableImage, match="more pieces"):
        read(compressed(frame, (1000, 1000), uid.JPEG2000Lossless, dtype=np.uint16))


@pytest.mark.parametrize(
    "options",
    [{"codeblock_size": (32, 32)}, {"tile_size": (256, 256)}, {"num_resolutions": 1}, {"progression": "RPCL"}],
    ids=str,
)
def test_a_jpeg_2000_frame_cut_as_encoders_do_is_read(options: Any) -> None:
    stored = (np.arange(1_000_000) % 251).astype(np.uint8).reshape(1000, 1000)
    content = compressed(jpeg2000(stored, **options), stored.shape, uid.JPEG2000Lossless)
    assert np.array_equal(read(content), read(dicom(stored)))


def element(group: int, number: int, value: bytes, kind: bytes = b"SQ", length: int | None = None) -> bytes:
    return struct.pack("<HH2sHI", group, number, kind, 0, len(value) if length is None else length) + value


def before_the_pixels(content: bytes, extra: bytes) -> bytes:
    """`content` with an element put in behind the modality."""
    place = content.index(b"\x08\0\x60\0CS") + 10
    return content[:place] + extra + content[place:]


def test_sequences_within_sequences_without_end() -> None:
    opening = element(0x0008, 0x1140, b"", length=ENDLESS) + struct.pack("<HHI", 0xFFFE, 0xE000, ENDLESS)
    with pytest.raises(UnreadableImage, match="damaged"):
        read(before_the_pixels(dicom(RAMP), opening * 20_000))


def test_a_large_private_element_is_passed_over() -> None:
    content = before_the_pixels(dicom(RAMP), element(0x0009, 0x1010, bytes(5_000_000), b"OB"))
    assert np.array_equal(read(content), read(dicom(RAMP)))


def test_reading_ends_in_time() -> None:
    with pytest.raises(ImageTooSlow, match=r"0\.01 seconds"):
        read(
            before_the_pixels(dicom(RAMP), element(0x0009, 0x1010, b"", b"OB") * 1_000_000),
            Limits(max_seconds=0.01),
        )


BOMBS = """
import sys
from osteolite.edge.errors import ImageError
from osteolite.edge.radiograph import Limits, read_radiograph

def most():
    return int(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))

good, *bad = sys.argv[1:]
read_radiograph(good)
before = most()
for path in bad:
    try:
        read_radiograph(path, limits=Limits(max_bytes=50_000_000))
    except ImageError as error:
        print(error)
print(most() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of memory from /proc")
def test_bombs_take_no_memory(tmp_path: Path) -> None:
    deflated = dicom(RAMP, uid.DeflatedExplicitVRLittleEndian)
    start = deflated.index(b"1.2.840.10008.1.2.1.99") + 22
    start += struct.unpack("<I", deflated[140:144])[0] + 144 - start  # the end of the group that says its own length
    packer = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
    packed = b"".join(packer.compress(bytes(1 << 20)) for _ in range(500)) + packer.flush()
    wide = bytearray(jpeg2000(np.zeros((8, 8), np.uint16)))
    wide[8:16] = struct.pack(">II", 60000, 60000)
    dust = jpeg2000(np.zeros((2000, 2000), np.uint16), codeblock_size=(4, 4))  # its blocks would take 1.2 GB
    items = struct.pack("<HHI", 0xFFFE, 0xE000, 0) * 1_000_000
    runs = struct.pack("<16I", 2, 64, 64, *[0] * 13) + b"\x81\0" * 10_000_000
    bombs = [
        deflated[:start] + packed,
        compressed(bytes(wide), (8, 8), uid.JPEG2000Lossless, dtype=np.uint16),
        compressed(dust, (2000, 2000), uid.JPEG2000Lossless, dtype=np.uint16),
        compressed(runs, (1000, 1000), uid.RLELossless, dtype=np.uint16),
        sized(65535, 65535),
        before_the_pixels(dicom(RAMP), element(0x0008, 0x1140, items, length=ENDLESS)),
    ]
    paths = [tmp_path / f"{number}.dcm" for number in range(len(bombs) + 1)]
    for path, content in zip(paths, [dicom(RAMP), *bombs], strict=True):
        path.write_bytes(content)
    done = subprocess.run([sys.executable, "-c", BOMBS, *paths], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    *messages, kilobytes = done.stdout.splitlines()
    assert ["inflates" in messages[0], len(messages)] == [True, len(bombs)]
    assert int(kilobytes) < 200_000


# Damage


@pytest.mark.parametrize("kind", STORED_AS)
def test_a_truncated_file(kind: str) -> None:
    content = STORED_AS[kind]((RAMP % 251).astype(np.uint16))
    for end in {*range(HEAD, len(content) - 16, max(1, len(content) // 40)), len(content) * 9 // 10}:
        with pytest.raises(ImageError):
            read(content[:end])


def mutated(content: bytes, chance: random.Random) -> bytes:
    data = bytearray(content)
    for _ in range(chance.randint(1, 6)):
        place = chance.randrange(HEAD, len(data))
        match chance.randrange(6):
            case 0:
                del data[place : place + chance.randint(1, 20)]
            case 1:
                data[place:place] = chance.randbytes(chance.randint(1, 20))
            case _:
                data[place] = chance.choice([0, 1, 127, 128, 255, chance.randrange(256)])
        if len(data) <= HEAD:
            break
    return bytes(data)


@pytest.mark.parametrize("kind", STORED_AS)
def test_mutated_files_give_an_image_or_an_image_error(kind: str) -> None:
    elements = {"WindowCenter": 100, "WindowWidth": 50, "VOILUTSequence": [table(range(256), bits=8)]}
    contents = [
        STORED_AS[kind](RAMP[:8, :8] % 251),
        dicom(RAMP[:8, :8], RescaleSlope=1, RescaleIntercept=2, **elements),
    ]
    limits, outcomes = Limits(max_pixels=100_000, modalities=None), set()
    for number in range(150):
        content = mutated(contents[number % 2], random.Random(f"{kind} {number}"))
        try:
            image = read_radiograph(content, limits=limits)
        except ImageError:
            outcomes.add("refused")
        else:
            outcomes.add("read")
            assert (image.mode, len(image.tobytes())) == ("L", image.width * image.height), number
    assert outcomes == {"refused", "read"}


@given(st.binary(max_size=300))
def test_random_bytes_behind_the_preamble(tail: bytes) -> None:
    with pytest.raises(ImageError):
        read_radiograph(bytes(128) + b"DICM" + tail)


# Patients


MARK = "ZQXW^SECRET"
WITH_PATIENT = {
    "name": {"PatientName": MARK, "PatientID": MARK, "PatientComments": MARK, "InstitutionName": MARK},
    **{
        keyword: {keyword: MARK}
        for keyword in ("Modality", "PhotometricInterpretation", "SpecificCharacterSet", "VOILUTFunction")
    },
}
NUMBERS = ("WindowCenter", "RescaleSlope", "NumberOfFrames", "Rows", "PixelPaddingValue", "TransferSyntaxUID")


def with_patient() -> dict[str, bytes]:
    """Files that hold the mark as the patient's name, and besides where no text belongs."""
    name: Any = WITH_PATIENT["name"]
    with muted("pydicom"):
        found = {key: dicom(RAMP, **{**name, **elements}) for key, elements in WITH_PATIENT.items()}
    good = dicom(RAMP, **name, WindowCenter=1, WindowWidth=2, RescaleSlope=1, RescaleIntercept=0, NumberOfFrames=1)
    text = MARK.encode() + b" "
    for keyword in NUMBERS:
        tag = pydicom.tag.Tag(keyword)
        start = struct.pack("<HH", tag.group, tag.element)
        kind = b"UI" if keyword == "TransferSyntaxUID" else b"IS" if keyword == "NumberOfFrames" else b"DS"
        damaged = start + kind + struct.pack("<H", len(text)) + text
        if start in good:
            place = good.index(start, HEAD)
            end = place + 8 + struct.unpack("<H", good[place + 6 : place + 8])[0]
        else:
            place = end = good.index(b"\x28\0\x00\x01")
        found[keyword] = good[:place] + damaged + good[end:]
    found["cut"] = found["name"][: found["name"].index(b"\xe0\x7f\x10\0") + 500]
    sequence = element(0x0008, 0x1140, struct.pack("<HHI", 0xFFFE, 0xE000, ENDLESS) + text * 9, length=ENDLESS)
    found["sequence"] = before_the_pixels(good, sequence)
    return found


LOUD = """
import logging, sys, traceback
logging.basicConfig(level=logging.DEBUG)
import pydicom.config
pydicom.config.debug(True)
from osteolite.edge.radiograph import Limits, read_radiograph
for limits in (Limits(), Limits(modalities=None)):
    for path in sys.argv[1:]:
        try:
            read_radiograph(path, limits=limits)
            print("read")
        except Exception as error:
            while error is not None:
                traceback.print_exception(error)
                print(type(error).__name__, error, repr(error), vars(error))
                error = error.__cause__ or error.__context__
"""


def test_nothing_of_a_patient_gets_out(tmp_path: Path) -> None:
    contents = with_patient()
    for number, content in enumerate(contents.values()):
        assert MARK.encode() in content
        (tmp_path / f"{number}.dcm").write_bytes(content)
    command = [sys.executable, "-W", "always", "-c", LOUD, *sorted(map(str, tmp_path.iterdir()))]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "read" in done.stdout
    assert "Unreadable" in done.stdout
    assert "Unsupported" in done.stdout
    for part in MARK.split("^"):
        assert part not in done.stdout + done.stderr
    # Neither in another writing: pydicom logs bytes as hexadecimal numbers.
    assert MARK.encode().hex(" ") not in (done.stdout + done.stderr).lower()


@pytest.mark.parametrize("key", ["name", *NUMBERS, *list(WITH_PATIENT)[1:], "cut", "sequence"])
def test_reading_warns_and_logs_nothing(key: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            read_radiograph(with_patient()[key], limits=ANY)
        except ImageError as error:
            assert error.__context__ is None
    assert not caught
    assert not [record for record in caplog.records if record.name.startswith("pydicom")]


def test_muting_ends_with_the_block_and_stays_in_its_thread(caplog: pytest.LogCaptureFixture) -> None:
    heard: list[str] = []

    def other() -> None:
        with pytest.warns(UserWarning, match="aloud"):
            warnings.warn("aloud", UserWarning, stacklevel=1)
        logging.getLogger("pydicom").warning("logged aloud")

    with muted("pydicom"):
        warnings.warn("in silence", UserWarning, stacklevel=1)
        logging.getLogger("pydicom").warning("logged in silence")
        thread = threading.Thread(target=lambda: heard.append(str(other())))
        thread.start()
        thread.join()
    other()
    assert heard == ["None"]
    assert [record.message for record in caplog.records] == ["logged aloud"] * 2


# Without the extra


def test_what_to_install_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(UnsupportedImage, match=r"pip install 'osteolite\[dicom\]'"):
        read(dicom(RAMP))


def test_other_formats_are_read_without_it(tmp_path: Path, encode: Encode) -> None:
    (tmp_path / "a.png").write_bytes(encode(Image.new("L", (4, 4)), "PNG"))
    script = (
        "import sys\nfrom osteolite.edge import read_radiograph\nfrom osteolite.edge.images import image_files\n"
        "read_radiograph(image_files([sys.argv[1]])[0])\nprint('pydicom' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script, tmp_path], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"

"""DICOM files: shared files, modalities, pixels, compression."""

import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom import uid
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut

from osteolite.edge.errors import UnreadableImage, UnsupportedImage
from osteolite.edge.imaging.dicom.reader import HEAD, is_dicom
from osteolite.edge.imaging.limits import Limits
from osteolite.edge.imaging.radiograph import read_radiograph
from osteolite.edge.silence import muted

from .dicoms import ANY, RAMP, STORED_AS, Encode, Pixels, compressed, dataset, dicom, read, write

# Files of the shared data

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
    "JLSL_08_07_0_1F": (UnreadableImage, "JPEG-LS Lossless"),  # 7 bits, which GDCM decodes wrongly
    "JPEG-lossy": (UnreadableImage, "JPEG Extended"),  # 12 bits
    "MR_truncated": (UnreadableImage, "cut short"),
    "examples_palette": (UnsupportedImage, "palette"),
}
MODALITIES = {"CT_small": "CT", "JPEG-LL": "NM", "JPEG-lossy": "NM", "JPEG2000": "NM", "examples_palette": "US"}
MODALITIES |= dict.fromkeys(["MR_small", "MR_small_RLE", "MR_small_jp2klossless", "MR_truncated"], "MR")
MODALITIES |= dict.fromkeys(["SC_rgb", "image_dfl", "mlut_18"], "OT")
MODALITIES |= dict.fromkeys(["HTJ2K_08_RGB", "JLSL_08_07_0_1F"], "without a modality")


def test_every_shared_file_is_tested(shared_data: Path) -> None:
    names = {path.stem for path in (shared_data / "dicom").glob("*.dcm")}
    assert names == {"RG3_J2KR"} | set(MODALITIES) == {"RG3_J2KR"} | set(READ_ANYWAY) | set(REFUSED_ANYWAY)


def by_pydicom(path: Path) -> Pixels:
    """The picture from 0 to 255, computed by pydicom on all pixels in floating point."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = pydicom.dcmread(path)
        stored = found.pixel_array
    if stored.ndim == 3:
        luminance: Pixels = stored @ [0.299, 0.587, 0.114]
        return luminance
    values = apply_voi_lut(apply_modality_lut(stored, found), found).astype(float)
    top = 2**found.BitsStored - 1
    if "WindowCenter" in found:
        low, high = (-(top + 1) / 2, (top - 1) / 2) if found.PixelRepresentation else (0, top)
    else:
        low, high = (0, top) if found.BitsStored == 8 else (values.min(), values.max())
    grey: Pixels = (values - low) / (high - low) * 255
    return 255 - grey if found.PhotometricInterpretation == "MONOCHROME1" else grey


def test_the_shared_radiograph_agrees_with_pydicom(shared_data: Path) -> None:
    path = shared_data / "dicom" / "RG3_J2KR.dcm"
    grey = np.asarray(read_radiograph(path))
    assert grey.shape == (1760, 1760)
    assert np.abs(grey - by_pydicom(path)).max() <= 0.501
    # Bone is bright; air beside the leg, inside the collimated field, is black.
    assert grey[400, 860] > 150 > 30 > grey[400, 520]
    assert np.array_equal(read(path.read_bytes()), grey)


@pytest.mark.parametrize("name", READ_ANYWAY)
def test_other_shared_files_are_read_if_any_modality_is_allowed(name: str, shared_data: Path) -> None:
    path = shared_data / "dicom" / f"{name}.dcm"
    image = read_radiograph(path, limits=ANY)
    assert image.size == READ_ANYWAY[name]
    assert np.abs(np.asarray(image) - by_pydicom(path)).max() <= (1.01 if "rgb" in name.lower() else 0.501)


@pytest.mark.parametrize("name", REFUSED_ANYWAY)
def test_shared_files_without_a_suitable_decoder_are_refused(name: str, shared_data: Path) -> None:
    error, words = REFUSED_ANYWAY[name]
    with pytest.raises(error, match=words):
        read_radiograph(shared_data / "dicom" / f"{name}.dcm", limits=ANY)


@pytest.mark.parametrize("name", MODALITIES)
def test_shared_files_of_other_modalities_are_refused(name: str, shared_data: Path) -> None:
    with pytest.raises(UnsupportedImage, match=rf"{MODALITIES[name]}; allowed are CR, DR, DX, RG"):
        read_radiograph(shared_data / "dicom" / f"{name}.dcm")


# Modality


@pytest.mark.parametrize("modality", ["CR", "DX", "RG", "DR", "CR "])
def test_radiography_modalities_are_read(modality: str) -> None:
    assert read(dicom(RAMP, Modality=modality)).shape == (48, 64)


@pytest.mark.parametrize(
    ("modality", "named"),
    [("MG", "of modality MG"), ("DOE^JANE", "unknown modality"), ("", "without a modality")],
)
def test_only_a_known_modality_is_named(modality: str, named: str) -> None:
    with pytest.raises(UnsupportedImage, match=named) as caught, muted("pydicom"):
        read_radiograph(dicom(RAMP, Modality=modality))
    assert "DOE" not in str(caught.value)


def test_limits_choose_the_modalities_to_read() -> None:
    content = dicom(RAMP, Modality="XA")
    assert read(content, Limits(modalities=frozenset({"XA"}))).shape == read(content, ANY).shape
    with pytest.raises(UnsupportedImage, match="XA; allowed are CR,"):
        read(content, Limits(modalities=frozenset({"CR"})))


# Pixels


def test_colour_becomes_luminance() -> None:
    colours = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]]], np.uint8)
    assert np.abs(read(dicom(colours)) - [76, 150, 29, 255.0]).max() <= 1
    luminance = np.zeros((2, 2, 3), np.uint8) + np.array([90, 128, 128], np.uint8)
    assert (read(dicom(luminance, PhotometricInterpretation="YBR_FULL")) == 90).all()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"NumberOfFrames": 2}, "several frames"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "palette indices"),
        ({"PhotometricInterpretation": "DOE^JANE"}, "neither grey nor colour"),
        ({"SamplesPerPixel": 4}, "neither grey nor colour"),
        ({"PhotometricInterpretation": "RGB", "SamplesPerPixel": 3}, "3 samples per pixel, 16 bits"),
        ({"BitsAllocated": 32, "BitsStored": 32}, "1 samples per pixel, 32 bits in 32"),
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
    with pytest.raises(UnreadableImage, match=f"without the required element {keyword}"):
        read(dicom(RAMP, **{keyword: None}))


def test_a_file_without_pixels_is_refused() -> None:
    found = dataset(RAMP)
    del found.PixelData
    with pytest.raises(UnreadableImage, match="without pixels"):
        read(write(found))


def test_a_size_of_0_is_refused() -> None:
    with pytest.raises(UnreadableImage, match="no pixels"):
        read(dicom(RAMP, Rows=0))


# Compression and transfer syntaxes


@pytest.mark.parametrize("kind", STORED_AS)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_every_transfer_syntax_gives_the_same_pixels(kind: str, dtype: Any) -> None:
    stored = (RAMP % 251).astype(dtype)
    assert np.array_equal(read(STORED_AS[kind](stored)), read(dicom(stored)))


@pytest.mark.parametrize("syntax", [uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit])
def test_a_baseline_jpeg_frame_is_read(syntax: str, encode: Encode) -> None:
    grey = (RAMP // 13).astype(np.uint8)
    content = compressed(encode(Image.fromarray(grey), "JPEG", quality=95), grey.shape, syntax)
    assert np.abs(read(content).astype(int) - grey).max() <= 6


def test_an_unsupported_compression_is_refused() -> None:
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
def test_an_implicit_length_may_look_like_a_value_type(length: int) -> None:
    # Implicit files have no value types: the length of the pixels is where an explicit file has the type.
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
def test_other_content_is_not_dicom(start: bytes) -> None:
    assert not is_dicom(start)


# Without the extra


def test_without_pydicom_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(UnsupportedImage, match=r"pip install 'osteolite\[dicom\]'"):
        read(dicom(RAMP))


def test_other_formats_are_read_without_pydicom(tmp_path: Path, encode: Encode) -> None:
    (tmp_path / "a.png").write_bytes(encode(Image.new("L", (4, 4)), "PNG"))
    script = (
        "import sys\nfrom osteolite.edge import read_radiograph\n"
        "from osteolite.edge.imaging.discovery import image_files\n"
        "read_radiograph(image_files([sys.argv[1]])[0])\nprint('pydicom' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script, tmp_path], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"

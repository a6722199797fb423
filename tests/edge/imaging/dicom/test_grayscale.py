"""Display values: windows, look-up tables, stretching and padding."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import uid

from osteolite.edge.errors import UnreadableImage

from .dicoms import RAMP, dataset, dicom, read, table, write


@given(
    bits=st.integers(8, 16),
    signed=st.booleans(),
    centre=st.integers(-40_000, 70_000),
    width=st.integers(1, 70_000),
    function=st.sampled_from([None, "LINEAR", "LINEAR_EXACT", "SIGMOID"]),
    slope=st.sampled_from([None, 1, 0.5, 2]),
    inverted=st.booleans(),
)
def test_a_window_agrees_with_the_standard(
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
    # PS3.3 C.11.2.1.2 and C.11.2.1.3
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


def test_the_first_of_several_windows_is_applied() -> None:
    content = dicom(RAMP, WindowCenter=[500, 9000], WindowWidth=[1000, 10])
    assert np.array_equal(read(content), read(dicom(RAMP, WindowCenter=500, WindowWidth=1000)))


def test_a_negative_slope_inverts_the_picture_but_not_the_window() -> None:
    content = dicom(RAMP, RescaleSlope=-1, RescaleIntercept=4000, WindowCenter=2500, WindowWidth=3000)
    grey = read(content).astype(float)
    assert grey[0, 0] == 255
    assert np.abs(grey - ((4000.0 - RAMP - 2499.5) / 2999 + 0.5).clip(0, 1) * 255).max() <= 0.501


@pytest.mark.parametrize("keyword_type", ["US", "OW"])
@pytest.mark.parametrize("syntax", [uid.ExplicitVRLittleEndian, uid.ImplicitVRLittleEndian])
@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_a_voi_table_is_applied(keyword_type: str, syntax: str, bits: int) -> None:
    entries = np.sqrt(np.arange(1024) / 1023) * (2**bits - 1)
    item = table(entries, first=100, bits=bits, keyword_type=keyword_type)
    content = dicom(RAMP, syntax, VOILUTSequence=[item], WindowCenter=1, WindowWidth=1)
    expected = entries.astype(int)[(RAMP.astype(int) - 100).clip(0, 1023)] / (2**bits - 1) * 255
    assert np.abs(read(content) - expected).max() <= 0.501


def test_a_voi_table_from_a_negative_value_is_applied_after_the_rescale() -> None:
    item = table(np.arange(2000) % 1024, first=-1000, bits=10)
    stored = np.arange(-1000, 1000, dtype=np.int16).reshape(40, 50)
    content = dicom(stored, VOILUTSequence=[item], RescaleSlope=1, RescaleIntercept=0)
    assert np.abs(read(content) - (np.arange(2000) % 1024).reshape(40, 50) / 1023 * 255).max() <= 0.501


def test_a_modality_table_is_applied_before_the_window() -> None:
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
def test_without_a_window_8_bit_samples_keep_their_range(bits: int) -> None:
    stored = np.array([[10, 20], [60, 100]], np.uint8)
    assert np.array_equal(read(dicom(stored, BitsStored=bits)), np.rint(stored * (255 / (2**bits - 1))))


def test_a_window_that_the_standard_forbids_is_refused() -> None:
    with pytest.raises(UnreadableImage, match="damaged DICOM"):
        read(dicom(RAMP, WindowCenter=100, WindowWidth=0))


@pytest.mark.parametrize("keyword", ["WindowCenter", "WindowWidth", "RescaleSlope", "RescaleIntercept"])
def test_empty_values_are_ignored(keyword: str) -> None:
    values: dict[str, Any] = {"WindowCenter": 9, "WindowWidth": 9, "RescaleSlope": 2, "RescaleIntercept": 2}
    others = {name: value for name, value in values.items() if name != keyword and name[:6] != keyword[:6]}
    empty = dicom(RAMP, **{**values, keyword: ""})
    assert np.array_equal(read(empty), read(dicom(RAMP, **others)))


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("window", [{}, {"WindowCenter": 1500, "WindowWidth": 1000}], ids=["stretched", "window"])
@pytest.mark.parametrize(
    "padding", [{"PixelPaddingValue": 60000}, {"PixelPaddingValue": 50000, "PixelPaddingRangeLimit": 60000}]
)
def test_padding_is_black_and_outside_the_range(photometric: str, window: Any, padding: Any) -> None:
    stored = RAMP.copy()
    stored[:10], stored[10] = 60000, 50000 if len(padding) > 1 else 60000
    grey = read(dicom(stored, PhotometricInterpretation=photometric, **window, **padding))
    assert not grey[:11].any()
    plain = read(dicom(stored[11:], PhotometricInterpretation=photometric, **window))
    assert np.array_equal(grey[11:], plain)


def test_signed_padding_may_be_stored_unsigned() -> None:
    stored = np.full((4, 4), -2000, np.int16)
    stored[1:, 1:] = np.arange(9).reshape(3, 3)
    found = dataset(stored)
    found.add_new("PixelPaddingValue", "US", 65536 - 2000)
    grey = read(write(found))
    assert (grey[1, 1], grey[3, 3], grey[0].max()) == (0, 255, 0)
    assert grey[2, 2] == 128


def test_an_image_of_padding_is_black() -> None:
    assert not read(dicom(np.full((4, 4), 7, np.uint16), PixelPaddingValue=7)).any()


def test_bits_above_the_stored_ones_are_ignored() -> None:
    content = dicom(RAMP | np.uint16(0xF000), BitsStored=12)
    assert np.array_equal(read(content), read(dicom(RAMP, BitsStored=12)))

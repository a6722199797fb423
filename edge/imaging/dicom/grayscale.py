"""Turn stored DICOM values into display values, as the header describes."""

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

Array = np.ndarray[Any, Any]


def display_values(stored: Array, header: "Dataset") -> Array:
    """Apply the modality table or rescale, the VOI table or window, and the polarity.

    Each step depends on one pixel only, so it is computed once per possible value, not per pixel. If there are several
    windows or tables, the first is used, as displays do. Without window and table:

    - samples of more than 8 bits are stretched from the smallest to the largest value that occurs, as displays do.
      The declared number of bits is no guide: a 12-bit detector commonly declares 14 or 16 bits, and the image would
      be almost black.
    - samples of 8 bits or fewer are ready for display and keep their range, as in a PNG file.

    Padding, the area outside the detector, is black and is not part of the range.

    Args:
        stored: (height, width) of 8 or 16 bits, signed or unsigned, in native byte order.
        header: the elements of the image and of its look-up tables, without empty ones.

    Returns:
        uint8 of (height, width).

    Raises:
        ValueError: the window or slope is not a finite number.
        Exception: any that pydicom raises for damaged tables.
    """
    unsigned = np.dtype(f"u{stored.dtype.itemsize}")
    order = np.arange(1 << 8 * unsigned.itemsize, dtype=unsigned)  # every bit pattern of a pixel
    levels = order.view(stored.dtype).astype(np.int64)
    index = stored.view(unsigned)
    padding = _padding(levels, stored.dtype, header)
    shown = _shown(levels, header)
    if shown is None:
        shown = _stretched(levels, index, padding, header)
    if header.PhotometricInterpretation == "MONOCHROME1":
        shown = 1 - shown
    if not np.isfinite(shown).all():
        raise ValueError("a window or slope that is not a number")
    table = np.rint(255 * shown.clip(0, 1)).astype(np.uint8)
    table[padding] = 0
    grey: Array = table[index]
    return grey


def _modality(levels: Array, header: "Dataset") -> Array:
    from pydicom.pixels.processing import apply_modality_lut

    return apply_modality_lut(levels, header)


def _shown(levels: Array, header: "Dataset") -> Array | None:
    """Apply the VOI table or window: 0 is black, 1 is white. None if there is neither."""
    from pydicom.dataset import Dataset
    from pydicom.pixels.processing import apply_voi, apply_windowing

    values, voi = _modality(levels, header), Dataset()
    if header.get("VOILUTSequence"):
        item, table = header.VOILUTSequence[0], Dataset()
        entries, first, bits = item.LUTDescriptor
        # pydicom computes in the type of the entries, and 8 bits would overflow in a table of more than 256 entries.
        table.LUTDescriptor = [entries, first, 16 if bits == 8 else bits]
        table["LUTData"] = item["LUTData"]
        voi.VOILUTSequence = [table]
        voi.set_original_encoding(*header.original_encoding)
        inside = np.rint(values).astype(np.int64).clip(first, first + (entries or 1 << 16) - 1)
        shown: Array = apply_voi(inside, voi) / ((1 << bits) - 1)
        return shown
    if "WindowCenter" in header and "WindowWidth" in header:
        for keyword in ("WindowCenter", "WindowWidth", "VOILUTFunction"):
            if keyword in header:
                voi[keyword] = header[keyword]
        # A fixed range, because the one that pydicom derives is reversed under a negative slope.
        voi.PhotometricInterpretation, voi.BitsStored, voi.PixelRepresentation = "MONOCHROME2", 16, 0
        return apply_windowing(values, voi) / ((1 << 16) - 1)
    return None


def _stretched(levels: Array, index: Array, padding: Array, header: "Dataset") -> Array:
    bits, signed = int(header.BitsStored), bool(header.PixelRepresentation)
    if bits <= 8:
        low = -(1 << bits - 1) if signed else 0
        counted = (levels >= low) & (levels < low + (1 << bits))
    else:
        counted = np.zeros(len(levels), bool)
        counted[index] = True
        counted &= ~padding
    values = _modality(levels, header).astype(np.float64)
    least, greatest = (values[counted].min(), values[counted].max()) if counted.any() else (0.0, 0.0)
    shown: Array = (values - least) / (greatest - least or 1.0)  # an image of one value is black
    return shown


def _padding(levels: Array, dtype: Any, header: "Dataset") -> Array:
    """Return which levels are padding."""
    if "PixelPaddingValue" not in header:
        return np.zeros(len(levels), bool)
    ends = [int(header.PixelPaddingValue), int(header.get("PixelPaddingRangeLimit", header.PixelPaddingValue))]
    # Some writers store a negative value as the unsigned value of the same bits, or the reverse.
    low, high = sorted(np.array(ends, np.int64).astype(dtype).astype(np.int64))
    inside: Array = (levels >= low) & (levels <= high)
    return inside

"""What a DICOM header says of how grey a stored value is."""

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

Array = np.ndarray[Any, Any]


def displayed(stored: Array, header: "Dataset") -> Array:
    """Stored values as a display shows them: modality table or rescale, VOI table or window, polarity.

    Each step looks at one pixel alone, so that it is done once for each value a pixel can have, not
    for each pixel. Of several windows or tables the first is taken, as displays do. Without either:

    - samples of more than 8 bits are stretched from the least to the greatest value that occurs.
      The range that the bits allow says little: a detector of 12 bits commonly declares 14 or 16,
      and its picture would be all but black. Displays do the same.
    - samples of 8 bits or fewer are finished pictures, and keep their range as a PNG would.

    Padding, which fills what the detector did not see, does not count and is black.

    Args:
        stored: (height, width), of 8 or 16 bits, signed or unsigned, in the machine's byte order.
        header: the elements of the image and of its look-up tables; empty ones left out.

    Returns:
        (height, width), uint8.

    Raises:
        Whatever pydicom raises for damaged tables.
    """
    unsigned = np.dtype(f"u{stored.dtype.itemsize}")
    order = np.arange(1 << 8 * unsigned.itemsize, dtype=unsigned)  # as the bits of a pixel count
    levels = order.view(stored.dtype).astype(np.int64)
    index = stored.view(unsigned)
    padding = _padding(levels, stored.dtype, header)
    shown = _shown(levels, header)
    if shown is None:
        shown = _stretched(levels, index, padding, header)
    if header.PhotometricInterpretation == "MONOCHROME1":
        shown = 1 - shown
    if not np.isfinite(shown).all():
        raise ValueError("a window or slope that is no number")
    table = np.rint(255 * shown.clip(0, 1)).astype(np.uint8)
    table[padding] = 0
    grey: Array = table[index]
    return grey


def _modality(levels: Array, header: "Dataset") -> Array:
    from pydicom.pixels.processing import apply_modality_lut

    return apply_modality_lut(levels, header)


def _shown(levels: Array, header: "Dataset") -> Array | None:
    """Each level through the VOI table or window, from 0 for black to 1 for white; None where there is neither."""
    from pydicom.dataset import Dataset
    from pydicom.pixels.processing import apply_voi, apply_windowing

    values, alone = _modality(levels, header), Dataset()
    if header.get("VOILUTSequence"):
        item, table = header.VOILUTSequence[0], Dataset()
        entries, first, bits = item.LUTDescriptor
        # pydicom counts in the type of the entries, where 8 bits wrap round in a table of more than 256.
        table.LUTDescriptor = [entries, first, 16 if bits == 8 else bits]
        table["LUTData"] = item["LUTData"]
        alone.VOILUTSequence = [table]
        alone.set_original_encoding(*header.original_encoding)
        inside = np.rint(values).astype(np.int64).clip(first, first + (entries or 1 << 16) - 1)
        shown: Array = apply_voi(inside, alone) / ((1 << bits) - 1)
        return shown
    if "WindowCenter" in header and "WindowWidth" in header:
        for keyword in ("WindowCenter", "WindowWidth", "VOILUTFunction"):
            if keyword in header:
                alone[keyword] = header[keyword]
        # Its own range, since pydicom's goes backwards under a negative slope.
        alone.PhotometricInterpretation, alone.BitsStored, alone.PixelRepresentation = "MONOCHROME2", 16, 0
        return apply_windowing(values, alone) / ((1 << 16) - 1)
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
    shown: Array = (values - least) / (greatest - least or 1.0)  # one value alone is black
    return shown


def _padding(levels: Array, dtype: Any, header: "Dataset") -> Array:
    """Which levels are padding."""
    if "PixelPaddingValue" not in header:
        return np.zeros(len(levels), bool)
    ends = [int(header.PixelPaddingValue), int(header.get("PixelPaddingRangeLimit", header.PixelPaddingValue))]
    # Writers give a negative value as an unsigned one of the same bits, and the other way round.
    low, high = sorted(np.array(ends, np.int64).astype(dtype).astype(np.int64))
    inside: Array = (levels >= low) & (levels <= high)
    return inside

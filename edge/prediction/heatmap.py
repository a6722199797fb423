"""A feature map drawn over the radiograph that it came from."""

from functools import cache
from typing import Any

import numpy as np
from PIL import Image

from ..preprocess import PreprocessingSpec

# Matplotlib's "inferno" (N. Smith and S. van der Walt, CC0), at 17 places: dark to light, and even in every kind of
# colour vision, unlike a rainbow.
_INFERNO = "0000040b0724210c4a3c096557106d70196e89226aa32b61bb3755d14644e35932f1711ef98d0afcab0ff9ca32f2e865fcffa4"
OPACITY = 0.6  # of the hottest place; the coldest is clear

Array = np.ndarray[Any, Any]


def content_map(activation: Array, spec: PreprocessingSpec, width: int, height: int) -> Array:
    """The map of what the image itself covers in the model's input, without the bars around it.

    Args:
        activation: (rows, columns) of any size, over the whole input.
        spec: how the image was fitted into the input.
        width: of the image, pixels.
        height: of the image, pixels.

    Returns:
        float32 of the shape that the image has inside the input, enlarged bilinearly.
    """
    whole = Image.fromarray(activation.astype(np.float32)).resize((spec.width, spec.height), Image.Resampling.BILINEAR)
    inner = spec.fitted_size(width, height)
    left, top = (spec.width - inner[0]) // 2, (spec.height - inner[1]) // 2
    return np.asarray(whole)[top : top + inner[1], left : left + inner[0]]


def overlay(radiograph: Image.Image, heat: Array) -> Image.Image:
    """The radiograph, in its own size, with the map in colours over it, the stronger the less clear.

    What speaks against a fracture (below 0) stays uncoloured. The colours are of this map alone: they
    say where the evidence lies, not how strong it is.
    """
    enlarged = Image.fromarray(_strength(heat)).resize(radiograph.size, Image.Resampling.BILINEAR)
    coloured = _coloured(np.asarray(enlarged))
    return Image.composite(coloured.convert("RGB"), radiograph.convert("RGB"), coloured.getchannel("A"))


def layer(heat: Array) -> Image.Image:
    """The map alone, to be laid over the radiograph by whoever shows it.

    Args:
        heat: as of `overlay`.

    Returns:
        A Pillow image of mode "RGBA" of the map's own size; its opacity says how strong the map is there.
    """
    return _coloured(_strength(heat))


def _strength(heat: Array) -> Array:
    """float32 from 0 to 1, the hottest place; what is below 0 is 0."""
    positive = np.maximum(heat, 0).astype(np.float32)
    highest = float(positive.max())
    return positive / highest if highest > 0 else positive


def _coloured(strength: Array) -> Image.Image:
    index = np.clip(255 * strength, 0, 255).astype(np.uint8)
    opacity = (OPACITY * index).astype(np.uint8)
    return Image.fromarray(np.dstack([colours()[index], opacity]))


@cache
def colours() -> Array:
    """Of the coldest to the hottest place: uint8 of (256, 3)."""
    anchors = np.frombuffer(bytes.fromhex(_INFERNO), np.uint8).reshape(-1, 3)
    places = np.linspace(0, 255, len(anchors))
    return (
        np.stack([np.interp(np.arange(256), places, channel) for channel in anchors.T], axis=1).round().astype(np.uint8)
    )

"""Draw an activation map over its radiograph."""

from functools import cache
from typing import Any

import numpy as np
from PIL import Image

from ..preprocess import PreprocessingSpec

# Matplotlib's "inferno" (N. Smith and S. van der Walt, CC0) at 17 points, dark to light. Unlike a rainbow, it is
# perceptually uniform, also with colour vision deficiency.
_INFERNO = "0000040b0724210c4a3c096557106d70196e89226aa32b61bb3755d14644e35932f1711ef98d0afcab0ff9ca32f2e865fcffa4"
OPACITY = 0.6  # of the highest value; the lowest is transparent

Array = np.ndarray[Any, Any]


def content_map(activation: Array, spec: PreprocessingSpec, width: int, height: int) -> Array:
    """Enlarge an activation map to the input and cut off the black bars around the image.

    Args:
        activation: (rows, columns) of any size, over the whole input.
        spec: preprocessing of the model.
        width: width of the image, pixels.
        height: height of the image, pixels.

    Returns:
        float32 of the size that the image has in the input, resized bilinearly.
    """
    whole = Image.fromarray(activation.astype(np.float32)).resize((spec.width, spec.height), Image.Resampling.BILINEAR)
    inner = spec.fitted_size(width, height)
    left, top = (spec.width - inner[0]) // 2, (spec.height - inner[1]) // 2
    return np.asarray(whole)[top : top + inner[1], left : left + inner[0]]


def overlay(radiograph: Image.Image, heat: Array) -> Image.Image:
    """Draw a map in colours over the radiograph, in the radiograph's size.

    Higher values are more opaque; evidence against a fracture (below 0) is not coloured. The colours are relative to
    the maximum of this map: they show where the evidence is, not how strong it is.

    Args:
        radiograph: image of mode "L".
        heat: (rows, columns) over the area of the image, from `content_map`.

    Returns:
        A Pillow image of mode "RGB".
    """
    enlarged = Image.fromarray(_strength(heat)).resize(radiograph.size, Image.Resampling.BILINEAR)
    coloured = _coloured(np.asarray(enlarged))
    return Image.composite(coloured.convert("RGB"), radiograph.convert("RGB"), coloured.getchannel("A"))


def layer(heat: Array) -> Image.Image:
    """Colour a map as a transparent layer, to be shown over the radiograph.

    Args:
        heat: see `overlay`.

    Returns:
        A Pillow image of mode "RGBA" in the size of the map; higher values are more opaque.
    """
    return _coloured(_strength(heat))


def _strength(heat: Array) -> Array:
    """Scale a map to float32 from 0 to 1, its maximum; values below 0 become 0."""
    positive = np.maximum(heat, 0).astype(np.float32)
    highest = float(positive.max())
    return positive / highest if highest > 0 else positive


def _coloured(strength: Array) -> Image.Image:
    index = np.clip(255 * strength, 0, 255).astype(np.uint8)
    opacity = (OPACITY * index).astype(np.uint8)
    return Image.fromarray(np.dstack([colours()[index], opacity]))


@cache
def colours() -> Array:
    """Return the colour table, from the lowest to the highest value: uint8 of (256, 3)."""
    anchors = np.frombuffer(bytes.fromhex(_INFERNO), np.uint8).reshape(-1, 3)
    places = np.linspace(0, 255, len(anchors))
    return (
        np.stack([np.interp(np.arange(256), places, channel) for channel in anchors.T], axis=1).round().astype(np.uint8)
    )

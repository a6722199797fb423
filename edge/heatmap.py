"""A feature map drawn over the radiograph that it came from."""

from functools import cache
from typing import Any

import numpy as np
from PIL import Image

from .preprocess import PreprocessingSpec

# Matplotlib's "inferno" (N. Smith and S. van der Walt, CC0), at 17 places: dark to light, and even in every kind of
# colour vision, unlike a rainbow.
_INFERNO = "0000040b0724210c4a3c096557106d70196e89226aa32b61bb3755d14644e35932f1711ef98d0afcab0ff9ca32f2e865fcffa4"
_OPACITY = 0.6  # of the hottest place; the coldest is clear

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
    positive = np.maximum(heat, 0).astype(np.float32)
    highest = float(positive.max())
    strength = Image.fromarray(positive / highest if highest > 0 else positive)
    level = np.asarray(strength.resize(radiograph.size, Image.Resampling.BILINEAR))
    index = np.clip(255 * level, 0, 255).astype(np.uint8)
    opacity = Image.fromarray((_OPACITY * index).astype(np.uint8))
    return Image.composite(Image.fromarray(_colours()[index]), radiograph.convert("RGB"), opacity)


@cache
def _colours() -> Array:
    """256 colours, uint8 of (256, 3)."""
    anchors = np.frombuffer(bytes.fromhex(_INFERNO), np.uint8).reshape(-1, 3)
    places = np.linspace(0, 255, len(anchors))
    return (
        np.stack([np.interp(np.arange(256), places, channel) for channel in anchors.T], axis=1).round().astype(np.uint8)
    )

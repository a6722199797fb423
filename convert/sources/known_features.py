"""Features of known radiographs, from which a file's out-of-distribution limit is computed."""

from collections.abc import Iterable, Iterator

import numpy as np
from PIL import Image

from osteolite.edge.inference.session import InferenceSession
from osteolite.edge.preprocess import PreprocessingSpec, grey_levels
from osteolite.train.data.pixel_cache import Pixels

from ..gate.gate import Array

_SHARPNESS = (0.35, 1.0)  # share of the resolution that a variation keeps
_MAX_ROTATION = 30.0  # degrees
_GAMMA = (0.7, 1.4)
_PROBABILITY = 0.6  # of a variation being less sharp, and of its being rotated


def known_features(session: InferenceSession, images: Iterable[Pixels], spec: PreprocessingSpec) -> Array:
    """Compute the features of radiographs, and of one varied copy of each.

    A copy looks as if another machine, resolution or positioning had produced it. Without the copies,
    the limit would reject radiographs that are sharper or softer than those of one data set.

    Args:
        session: the variant's file; its features are quantised as on the device.
        images: radiographs, (height, width) of the input's size.
        spec: the preprocessing of the input.

    Returns:
        (2 x radiographs, n).
    """
    levels = grey_levels(spec)
    found = [session.run_pixels(pixels, levels).features for pixels in _with_variations(images)]
    return np.stack([one for one in found if one is not None])


def _with_variations(images: Iterable[Pixels]) -> Iterator[Pixels]:
    random = np.random.default_rng(0)
    for pixels in images:
        yield pixels
        yield varied(pixels, random)


def varied(pixels: Pixels, random: np.random.Generator) -> Pixels:
    """A randomly blurred, rotated, mirrored and darker or brighter copy of grey pixels (height, width)."""
    image = Image.fromarray(pixels)
    if random.random() < _PROBABILITY:
        share = random.uniform(*_SHARPNESS)
        small = [max(1, round(share * side)) for side in image.size]
        image = image.resize((small[0], small[1]), Image.Resampling.BILINEAR).resize(
            image.size, Image.Resampling.BICUBIC
        )
    if random.random() < _PROBABILITY:
        image = image.rotate(random.uniform(-_MAX_ROTATION, _MAX_ROTATION), Image.Resampling.BILINEAR)
    if random.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    table = 255 * (np.arange(256) / 255) ** random.uniform(*_GAMMA)
    changed: Pixels = table.astype(np.uint8)[np.asarray(image)]
    return changed

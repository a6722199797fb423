"""What a file's own features say of radiographs that its network knows."""

from collections.abc import Iterable, Iterator

import numpy as np
from PIL import Image

from osteolite.edge.inference.session import InferenceSession
from osteolite.edge.preprocess import PreprocessingSpec, grey_levels
from osteolite.train.data.pixel_cache import Pixels

from ..gate.gate import Array

_SHARPNESS = (0.35, 1.0)  # of a variation: the share of the resolution that is left
_TURN = 30.0  # degrees, at most
_GAMMA = (0.7, 1.4)
_OFTEN = 0.6  # how likely it is that a variation is less sharp, and that it is turned


def known_features(session: InferenceSession, known: Iterable[Pixels], spec: PreprocessingSpec) -> Array:
    """Features of radiographs, and of each as another machine, resolution or positioning might have given it.

    Without the variations a limit would hold what is sharper or softer than one data set for no
    radiograph at all.

    Args:
        runtime: of the file, whose features have been rounded as they will be on the device.
        known: radiographs, (height, width) of the input's size.
        spec: of the input.

    Returns:
        (2 x radiographs, n).
    """
    levels = grey_levels(spec)
    found = [session.run_pixels(pixels, levels).features for pixels in _with_variations(known)]
    return np.stack([one for one in found if one is not None])


def _with_variations(known: Iterable[Pixels]) -> Iterator[Pixels]:
    random = np.random.default_rng(0)
    for pixels in known:
        yield pixels
        yield varied(pixels, random)


def varied(pixels: Pixels, random: np.random.Generator) -> Pixels:
    """A less sharp, turned, mirrored, darker or brighter copy of grey pixels (height, width)."""
    image = Image.fromarray(pixels)
    if random.random() < _OFTEN:
        share = random.uniform(*_SHARPNESS)
        small = [max(1, round(share * side)) for side in image.size]
        image = image.resize((small[0], small[1]), Image.Resampling.BILINEAR).resize(
            image.size, Image.Resampling.BICUBIC
        )
    if random.random() < _OFTEN:
        image = image.rotate(random.uniform(-_TURN, _TURN), Image.Resampling.BILINEAR)
    if random.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    table = 255 * (np.arange(256) / 255) ** random.uniform(*_GAMMA)
    changed: Pixels = table.astype(np.uint8)[np.asarray(image)]
    return changed

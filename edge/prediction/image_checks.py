"""Check whether an image looks like a bone radiograph that can be scored."""

from collections.abc import Callable

import numpy as np
from PIL import Image

BLANK, SMALL, COLOURED, INVERTED, UNFAMILIAR = "blank", "small", "coloured", "inverted", "unfamiliar"

FLAT = 8  # grey levels between darkest and brightest pixel; noise spans more
ENLARGED_LIMIT = 2.0  # enlargement of each side in the model's input; above it the image is a thumbnail
COLOUR_LIMIT = 6.0  # mean difference between a pixel's channels, grey levels; tinted films have about 3

TEXTS = {  # by kind; {times}: out-of-distribution score divided by its limit, {size}: size of the image, pixels
    BLANK: "the image is almost a single shade of grey; there is nothing to score",
    SMALL: "{size} pixels are less than half of the size that the model uses; use the original, not a thumbnail",
    COLOURED: "the image has colours, unlike a radiograph; the prediction means nothing for a photograph",
    INVERTED: "black and white seem to be swapped; save the image with bright bones on a dark background",
    UNFAMILIAR: (
        "the image is unlike the radiographs that the model knows ({times} times the limit); "
        "the prediction may be meaningless"
    ),
}


def image_warnings(
    grey: Image.Image,
    enlargement: float,
    chroma: float,
    ood_score: float | None,
    inverted_ood_score: Callable[[], float],
) -> dict[str, str]:
    """Return warnings about an image by kind. No warning does not prove that the image is a radiograph.

    Args:
        grey: the decoded image, of mode "L".
        enlargement: factor by which its sides are enlarged in the model's input; below 1 they are reduced.
        chroma: mean difference between a pixel's channels in the file, grey levels.
        ood_score: its out-of-distribution score divided by the limit; None if the model has no limit.
        inverted_ood_score: computes the same for the inverted image; called only if it can change the result.
    """
    extremes = np.asarray(grey.getextrema())
    if np.ptp(extremes) < FLAT:
        return {BLANK: TEXTS[BLANK]}
    found: dict[str, str] = {}
    if enlargement > ENLARGED_LIMIT:
        found[SMALL] = TEXTS[SMALL].format(size=f"{grey.width} x {grey.height}")
    if chroma > COLOUR_LIMIT:
        found[COLOURED] = TEXTS[COLOURED]
    if ood_score is not None and ood_score > 1:
        if COLOURED not in found and inverted_ood_score() <= 1:
            found[INVERTED] = TEXTS[INVERTED]
        else:
            found[UNFAMILIAR] = TEXTS[UNFAMILIAR].format(times=f"{ood_score:.1f}")
    return found

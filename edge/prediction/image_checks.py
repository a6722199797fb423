"""What speaks against an image being a bone radiograph at all, or one fit to be scored."""

from collections.abc import Callable

import numpy as np
from PIL import Image

BLANK, SMALL, COLOURED, INVERTED, UNFAMILIAR = "blank", "small", "coloured", "inverted", "unfamiliar"

FLAT = 8  # grey levels between darkest and brightest; noise alone spans more
ENLARGED_LIMIT = 2.0  # times, each side, to fill the model's input: a thumbnail
COLOUR_LIMIT = 6.0  # mean grey levels between a pixel's strongest and weakest channel; tinted films have some 3

TEXTS = {  # by kind; {times} is the out-of-distribution score in shares of its limit, {size} the image's in pixels
    BLANK: "the image is all but one shade of grey; there is nothing in it to score",
    SMALL: "{size} pixels are less than half of what the model looks at; give the original, not a thumbnail",
    COLOURED: "the image has colours, which radiographs do not; the answer means nothing for a photograph",
    INVERTED: "black and white look exchanged; save it with bones bright on dark",
    UNFAMILIAR: (
        "the image looks like no radiograph that the model knows ({times} times the limit); the answer may mean nothing"
    ),
}


def image_warnings(
    grey: Image.Image, enlarged: float, chroma: float, ood_score: float | None, negative: Callable[[], float]
) -> dict[str, str]:
    """Warnings by their kind; none where nothing was found, which proves nothing.

    Args:
        grey: the image as it was read, of mode "L".
        enlarged: how many times longer its sides become in the model's input; below 1 they become shorter.
        chroma: mean of what a pixel's channels differ by in the file, grey levels.
        ood_score: its out-of-distribution score in shares of the limit; None where the model has none.
        negative: gives the same of the image with black and white exchanged; called only where it may tell.
    """
    extremes = np.asarray(grey.getextrema())
    if np.ptp(extremes) < FLAT:
        return {BLANK: TEXTS[BLANK]}
    found: dict[str, str] = {}
    if enlarged > ENLARGED_LIMIT:
        found[SMALL] = TEXTS[SMALL].format(size=f"{grey.width} x {grey.height}")
    if chroma > COLOUR_LIMIT:
        found[COLOURED] = TEXTS[COLOURED]
    if ood_score is not None and ood_score > 1:
        if COLOURED not in found and negative() <= 1:
            found[INVERTED] = TEXTS[INVERTED]
        else:
            found[UNFAMILIAR] = TEXTS[UNFAMILIAR].format(times=f"{ood_score:.1f}")
    return found

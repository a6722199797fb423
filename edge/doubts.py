"""What speaks against an image being a bone radiograph at all."""

from collections.abc import Callable

import numpy as np
from PIL import Image

BLANK, COLOURED, INVERTED, UNFAMILIAR = "blank", "coloured", "inverted", "unfamiliar"

_FLAT = 8  # grey levels between darkest and brightest; noise alone spans more
COLOUR_LIMIT = 6.0  # mean grey levels between a pixel's strongest and weakest channel; tinted films have some 3


def doubts(
    grey: Image.Image, chroma: float, unfamiliarity: float | None, negative: Callable[[], float]
) -> dict[str, str]:
    """Warnings by their kind; none where nothing was found, which proves nothing.

    Args:
        grey: the image as it was read, of mode "L".
        chroma: mean of what a pixel's channels differ by in the file, grey levels.
        unfamiliarity: its out-of-distribution score in shares of the limit; None where the model has none.
        negative: gives the same of the image with black and white exchanged; called only where it may tell.
    """
    extremes = np.asarray(grey.getextrema())
    if np.ptp(extremes) < _FLAT:
        return {BLANK: "the image is all but one shade of grey; there is nothing in it to score"}
    found: dict[str, str] = {}
    if chroma > COLOUR_LIMIT:
        found[COLOURED] = "the image has colours, which radiographs do not; the answer means nothing for a photograph"
    if unfamiliarity is not None and unfamiliarity > 1:
        if not found and negative() <= 1:
            found[INVERTED] = "black and white look exchanged; save it with bones bright on dark"
        else:
            found[UNFAMILIAR] = (
                f"the image looks like no radiograph that the model knows ({unfamiliarity:.1f} times the limit); "
                "the answer may mean nothing"
            )
    return found

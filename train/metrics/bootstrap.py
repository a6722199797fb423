"""The bootstrap by group: images of one group are alike, so whole groups are drawn (Field and Welsh, 2007)."""

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
DRAWS = 1000


def bootstrap_weights(groups: Array, labels: Array, seed: int, count: int = DRAWS) -> Array:
    """How often each image stands in each draw.

    Args:
        groups: of each image.
        labels: the class of each image; a draw that lacks one of them is drawn again.
        seed: the same seed gives the same draws, which is what makes differences of two models paired.
        count: how many draws.

    Returns:
        float64 of shape (count, images), whole numbers.
    """
    random = np.random.default_rng(seed)
    _, index = np.unique(groups, return_inverse=True)
    total = int(index.max()) + 1
    classes = np.stack([labels == label for label in np.unique(labels)], axis=1).astype(np.float64)
    drawn = np.empty((count, len(labels)))
    done = 0
    while done < count:
        drawn[done] = np.bincount(random.integers(0, total, total), minlength=total)[index]
        done += bool((drawn[done] @ classes > 0).all())
    return drawn


def bootstrap_indices(groups: Array, labels: Array, seed: int, count: int = DRAWS) -> list[Array]:
    """The same draws as index arrays, an image as often as it was drawn."""
    images = np.arange(len(labels))
    return [np.repeat(images, drawn.astype(np.intp)) for drawn in bootstrap_weights(groups, labels, seed, count)]


def percentile_interval(drawn: Array) -> tuple[float, float]:
    """The 95 % percentile interval of a figure over the draws (Efron, 1979)."""
    low, high = np.percentile(drawn, [2.5, 97.5])
    return float(low), float(high)

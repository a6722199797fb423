"""The cluster bootstrap: images of one group are correlated, so whole groups are drawn (Field and Welsh, 2007)."""

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
DRAWS = 1000


def bootstrap_weights(groups: Array, labels: Array, seed: int, count: int = DRAWS) -> Array:
    """Count how often each image occurs in each bootstrap draw of groups.

    Args:
        groups: the group of each image.
        labels: the class of each image. A draw that lacks one of the classes is drawn again.
        seed: the same seed gives the same draws, so that two models can be compared by paired differences.
        count: number of draws.

    Returns:
        Whole numbers as float64, shape (count, images).
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
    """Return the draws of `bootstrap_weights` as index arrays; an image occurs as often as it was drawn."""
    images = np.arange(len(labels))
    return [np.repeat(images, drawn.astype(np.intp)) for drawn in bootstrap_weights(groups, labels, seed, count)]


def percentile_interval(drawn: Array) -> tuple[float, float]:
    """Return the limits of the 95 % percentile interval of a metric over the draws (Efron, 1979)."""
    low, high = np.percentile(drawn, [2.5, 97.5])
    return float(low), float(high)

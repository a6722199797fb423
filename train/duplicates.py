"""Near-duplicates: images that show the same exposure, found by perceptual hash and confirmed by their pixels."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import imagehash
import numpy as np
from PIL import Image

from .cache import Pixels
from .catalogue import Catalogue

_HASH_DISTANCE = 8  # bits of 64 in which the hashes of two candidates may differ
_CORRELATION = 0.985  # of their thumbnails, from which candidates count as duplicates
_THUMBNAIL = 32


def near_duplicates(pixels: Pixels) -> list[tuple[int, int]]:
    """Pairs of indices of images that are the same or nearly so.

    Args:
        pixels: uint8 of shape (images, height, width).

    Returns:
        Pairs (i, j) with i < j.

    The hash is the DCT hash of the `imagehash` package; the pairs it proposes are confirmed by the
    correlation of thumbnails, as hashes alone also pair different patients in the same position.
    """
    hashes, thumbnails = _describe(pixels)
    pairs: list[tuple[int, int]] = []
    for i in range(len(hashes) - 1):
        near = np.flatnonzero(np.bitwise_count(hashes[i + 1 :] ^ hashes[i]) <= _HASH_DISTANCE) + i + 1
        alike = near[thumbnails[near] @ thumbnails[i] >= _CORRELATION]
        pairs += [(i, int(j)) for j in alike]
    return pairs


def _describe(pixels: Pixels) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    hashes = np.empty(len(pixels), np.uint64)
    thumbnails = np.empty((len(pixels), _THUMBNAIL * _THUMBNAIL), np.float32)
    for index, image in enumerate(map(Image.fromarray, pixels)):
        hashes[index] = int(str(imagehash.phash(image)), 16)
        thumbnail = np.asarray(image.resize((_THUMBNAIL, _THUMBNAIL), Image.Resampling.BOX), np.float32).ravel()
        thumbnail -= thumbnail.mean()
        thumbnails[index] = thumbnail / max(float(np.linalg.norm(thumbnail)), 1e-6)
    return hashes, thumbnails


def merge_groups(catalogue: Catalogue, pairs: Iterable[tuple[int, int]]) -> Catalogue:
    """Give all images of two groups one group wherever a pair joins them."""
    parent = {row.group: row.group for row in catalogue.rows}

    def root(group: str) -> str:
        while parent[group] != group:
            parent[group] = parent[parent[group]]
            group = parent[group]
        return group

    for i, j in pairs:
        first, second = sorted((root(catalogue.rows[i].group), root(catalogue.rows[j].group)))
        parent[second] = first
    return catalogue.with_rows(replace(row, group=root(row.group)) for row in catalogue.rows)

"""Duplicates: files with the same bytes, and images of one exposure that were rotated, mirrored or squeezed."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.ndimage import map_coordinates

from ..data.catalogue import Catalogue
from ..data.pixel_cache import DISC, Images, Pixels

_CORRELATION = 0.991  # least correlation of one exposure; below it, patients in the same position are confused
_RADII, _ANGLES = 12, 96  # polar samples of a disc
_ROTATIONS = 4 * _ANGLES  # angles tried; with `_ANGLES` alone half of the small rotations would be missed
_SAME_SHAPE = 0.02  # largest difference of log(width / height) that rounding after scaling explains
_CHUNK = 1024  # rows of the correlation matrix computed at once

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Duplicates:
    """Pairs of row indices (i, j) with i < j."""

    identical: tuple[tuple[int, int], ...]  # i is the first row with these bytes, j each later one
    near: tuple[tuple[int, int], ...]  # i and j are each the first row with their bytes

    def pairs(self) -> tuple[tuple[int, int], ...]:
        return self.identical + self.near


def find_duplicates(images: Images) -> Duplicates:
    """Find identical files by SHA-256, and near-duplicates among the different files."""
    first: dict[str, int] = {}
    identical = []
    for index, facts in enumerate(images.facts):
        earlier = first.setdefault(facts.sha256, index)
        if earlier != index:
            identical.append((earlier, index))
    different = np.array(list(first.values()))
    ratios = np.array([images.facts[i].width / images.facts[i].height for i in different])
    near = [(int(different[i]), int(different[j])) for i, j in near_duplicates(images.squares[different], ratios)]
    return Duplicates(tuple(identical), tuple(near))


def near_duplicates(squares: Pixels, ratios: Array) -> list[tuple[int, int]]:
    """Find pairs of images of one exposure: scaled, recompressed, mirrored or rotated by any angle.

    Images of different aspect ratios are also compared as wholes, because data sets are often squeezed to squares
    before copies of their images are rotated.

    Args:
        squares: uint8 (images, 2, DISC, DISC), the largest centred square of each image and the whole image
            squeezed to a square.
        ratios: (images,) width over height.

    Returns:
        Pairs (i, j) with i < j, sorted.
    """
    shapes = np.log(ratios)
    squeezed = [(i, j) for i, j in _alike_pairs(squares[:, 1]) if abs(shapes[i] - shapes[j]) > _SAME_SHAPE]
    return sorted({*_alike_pairs(squares[:, 0]), *squeezed})


def _alike_pairs(squares: Pixels) -> list[tuple[int, int]]:
    """Find pairs (i, j), i < j, of squares (images, DISC, DISC) whose discs correlate at some angle.

    The disc inside the square is sampled in polar coordinates, where a rotation is a shift along the angle. The
    magnitudes of its Fourier series over the angle are invariant to rotation and mirroring. Pairs whose magnitudes
    correlate are candidates (no true pair is missed, because the correlation of the magnitudes bounds that of the
    discs), and the best correlation over all shifts decides. This is the registration of Reddy and Chatterji (1996)
    with a known centre.
    """
    series = _polar_series(squares)
    magnitudes = np.abs(series).reshape(len(series), -1).astype(np.float32)
    pairs: list[tuple[int, int]] = []
    for start in range(0, len(series), _CHUNK):
        i, j = np.nonzero(magnitudes[start : start + _CHUNK] @ magnitudes[start:].T >= _CORRELATION)
        i, j = i[i < j] + start, j[i < j] + start
        alike = np.concatenate(
            [_alike(series[i[k : k + _CHUNK]], series[j[k : k + _CHUNK]]) for k in range(0, len(i), _CHUNK)]
            or [np.zeros(0, bool)]
        )
        pairs += zip(i[alike].tolist(), j[alike].tolist(), strict=True)
    return pairs


def _polar_series(squares: Pixels) -> Array:
    """Return each disc's Fourier series over the angle: complex64 (images, radii, angles / 2 + 1), of norm 1 or 0."""
    radius = (np.arange(_RADII) + 0.5) / _RADII * (DISC / 2 * 0.96)
    angle = 2 * np.pi * np.arange(_ANGLES) / _ANGLES
    centre = (DISC - 1) / 2
    grid = [centre + radius[:, None] * np.sin(angle), centre + radius[:, None] * np.cos(angle)]
    area = (radius / radius.sum() / _ANGLES)[:, None]
    both = np.r_[
        1.0, np.full(_ANGLES // 2 - 1, 2.0), 1.0
    ]  # all but the first and last coefficient occur twice in the full series
    series = np.empty((len(squares), _RADII, _ANGLES // 2 + 1), np.complex64)
    for index, square in enumerate(squares):
        disc = map_coordinates(np.asarray(square, np.float32), grid, order=1)
        disc = (disc - (disc * area).sum()) * np.sqrt(area)
        length = float(np.linalg.norm(disc))
        series[index] = np.fft.rfft(disc / length if length > 1e-3 else 0 * disc) * np.sqrt(both / _ANGLES)
    return series


def _alike(first: Array, second: Array) -> Array:
    """Return for each pair whether the discs correlate at some angle, directly or mirrored."""
    best = np.zeros(len(first))
    for other in (second.conj(), second):
        spectrum = (first * other).sum(axis=1)
        spectrum[:, 1:] /= 2  # `irfft` counts these twice
        best = np.maximum(best, np.fft.irfft(spectrum, _ROTATIONS, axis=1).max(axis=1) * _ROTATIONS)
    return best >= _CORRELATION


def merge_groups(catalogue: Catalogue, pairs: Iterable[tuple[int, int]]) -> Catalogue:
    """Merge groups that a pair joins."""
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

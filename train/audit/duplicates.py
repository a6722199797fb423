"""Duplicates: files with the same bytes, and images of one exposure, turned, mirrored or squeezed as they may be."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.ndimage import map_coordinates

from ..data.catalogue import Catalogue
from ..data.pixel_cache import DISC, Images, Pixels

_CORRELATION = 0.991  # from which two discs are the same exposure: below, patients in one position meet
_RADII, _ANGLES = 12, 96
_TURNS = 4 * _ANGLES  # that are tried: half a step between two samples would cost half of the small turns
_SAME_SHAPE = 0.02  # of the logarithm of width over height: up to it, scaling may have rounded the sides
_CHUNK = 1024

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Duplicates:
    """Pairs of row indices (i, j) with i < j."""

    identical: tuple[tuple[int, int], ...]  # i is the first row with these bytes, j each later one
    near: tuple[tuple[int, int], ...]  # both are first rows of their bytes

    def pairs(self) -> tuple[tuple[int, int], ...]:
        return self.identical + self.near


def find_duplicates(images: Images) -> Duplicates:
    """Identical files by their SHA-256, and near-duplicates among the different ones."""
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
    """Pairs (i, j), i < j, of images that are one exposure: scaled, recompressed, mirrored or turned by any angle.

    Images of different shapes are compared as wholes too, since sets are often squeezed to squares before copies
    of their images are turned.

    Args:
        squares: uint8 of shape (images, 2, DISC, DISC), the largest square around each image's centre and the
            whole image squeezed to one.
        ratios: width over height of each image.
    """
    shapes = np.log(ratios)
    squeezed = [(i, j) for i, j in _alike_pairs(squares[:, 1]) if abs(shapes[i] - shapes[j]) > _SAME_SHAPE]
    return sorted({*_alike_pairs(squares[:, 0]), *squeezed})


def _alike_pairs(squares: Pixels) -> list[tuple[int, int]]:
    """Pairs (i, j), i < j, of squares of shape (images, DISC, DISC) whose discs correlate at some angle.

    The disc inside the square is sampled in polar coordinates, where turning is a shift along the
    angle. The magnitudes of its Fourier series over the angle know neither shift nor mirror: pairs
    whose magnitudes correlate are candidates (no true pair is missed, as they bound the correlation
    of the discs), and the best correlation over all shifts of both decides. It is the
    registration of Reddy and Chatterji (1996) with the centre known.
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
    """The Fourier series over the angle of each disc: complex64 (images, radii, angles / 2 + 1), of length 1 or 0."""
    radius = (np.arange(_RADII) + 0.5) / _RADII * (DISC / 2 * 0.96)
    angle = 2 * np.pi * np.arange(_ANGLES) / _ANGLES
    centre = (DISC - 1) / 2
    grid = [centre + radius[:, None] * np.sin(angle), centre + radius[:, None] * np.cos(angle)]
    area = (radius / radius.sum() / _ANGLES)[:, None]
    both = np.r_[1.0, np.full(_ANGLES // 2 - 1, 2.0), 1.0]  # each but the ends stands for two of the full series
    series = np.empty((len(squares), _RADII, _ANGLES // 2 + 1), np.complex64)
    for index, square in enumerate(squares):
        disc = map_coordinates(np.asarray(square, np.float32), grid, order=1)
        disc = (disc - (disc * area).sum()) * np.sqrt(area)
        length = float(np.linalg.norm(disc))
        series[index] = np.fft.rfft(disc / length if length > 1e-3 else 0 * disc) * np.sqrt(both / _ANGLES)
    return series


def _alike(first: Array, second: Array) -> Array:
    """Whether the discs of each pair correlate at some angle, as they are or mirrored."""
    best = np.zeros(len(first))
    for other in (second.conj(), second):
        spectrum = (first * other).sum(axis=1)
        spectrum[:, 1:] /= 2  # `irfft` counts these twice by itself
        best = np.maximum(best, np.fft.irfft(spectrum, _TURNS, axis=1).max(axis=1) * _TURNS)
    return best >= _CORRELATION


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

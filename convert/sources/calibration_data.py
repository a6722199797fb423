"""Calibration data: the images that quantisation sees, through the device's own preprocessing."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from osteolite.edge.errors import ImageError
from osteolite.edge.imaging.radiograph import Decoded, decode
from osteolite.edge.inference.tensors import Tensor
from osteolite.edge.labels import LABELS
from osteolite.edge.prediction.image_checks import COLOUR_LIMIT
from osteolite.edge.preprocess import PreprocessingSpec, preprocess
from osteolite.train.data.catalogue import Catalogue, Row

_COLOURED = 0.1  # share of coloured images from which calibration data is said to be no radiographs


@dataclass(frozen=True)
class CalibrationData:
    """What quantisation saw, and how to tell it again."""

    tensors: list[Tensor]
    origin: str  # "train part", or the folder's name
    sha256: str  # over the files' names and contents, in order
    strata: dict[str, int]  # images of each class and body part
    coloured: int  # images that cannot be radiographs

    def describe(self) -> dict[str, Any]:
        return {"images": len(self.tensors), "from": self.origin, "sha256": self.sha256, "strata": self.strata}

    def warnings(self) -> list[str]:
        """What speaks against it, by itself."""
        if self.coloured < _COLOURED * len(self.tensors):
            return []
        return [
            f"{self.coloured} of {len(self.tensors)} calibration images are coloured, which radiographs are not: "
            "give radiographs as the device will see them"
        ]


def calibration_data(
    catalogue: Catalogue, rows: Sequence[Row], spec: PreprocessingSpec, count: int, origin: str = "train part"
) -> CalibrationData:
    """Draw images, and preprocess them as the device does.

    Half of them are fractured, where there are enough; of each class every body part has its share.

    Args:
        catalogue: knows where they lie.
        rows: to draw from.
        spec: the preprocessing.
        count: how many; fewer where there are fewer.
        origin: what the rows are.

    Raises:
        ImageError: one of them cannot be read.
    """
    random = np.random.default_rng(0)
    drawn: list[Row] = []
    for label, share in ((1, count // 2), (0, count)):  # fractured first; normal images fill what is left
        pool = [row for row in rows if row.label == label]
        drawn += _by_body_part(pool, share if label else count - len(drawn), random)
    decoded = [_decoded(catalogue.path(row), spec) for row in drawn]
    digest = hashlib.sha256()
    for row in drawn:
        digest.update(row.file.encode() + b"\0" + catalogue.path(row).read_bytes())
    strata = Counter(f"{LABELS[row.label]} {row.body_part}".rstrip() for row in drawn)
    coloured = sum(one.chroma > COLOUR_LIMIT for one in decoded)
    made = [preprocess(one.grey, spec) for one in decoded]
    return CalibrationData(made, origin, digest.hexdigest(), dict(sorted(strata.items())), coloured)


def _by_body_part(pool: list[Row], count: int, random: np.random.Generator) -> list[Row]:
    """At most `count` rows, of each body part its share."""
    parts: dict[str, list[Row]] = {}
    for row in pool:
        parts.setdefault(row.body_part, []).append(row)
    # Each part's rows are spread evenly over 0 to 1; the first `count` of all then hold equal shares of each part.
    places = [((place + 0.5) / len(rows), rows[i]) for rows in parts.values() for place, i in _shuffled(rows, random)]
    return [row for _, row in sorted(places, key=lambda one: one[0])[:count]]


def _shuffled(rows: list[Row], random: np.random.Generator) -> enumerate[int]:
    return enumerate(random.permutation(len(rows)))


def tensors(catalogue: Catalogue, rows: Sequence[Row], spec: PreprocessingSpec) -> list[Tensor]:
    """The input tensor of each row, made from its file as the device makes it."""
    return [preprocess(_decoded(catalogue.path(row), spec).grey, spec) for row in rows]


def _decoded(path: Path, spec: PreprocessingSpec) -> Decoded:
    try:
        return decode(path, spec)
    except ImageError as error:
        raise type(error)(f"{path}: {error}") from error

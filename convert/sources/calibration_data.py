"""Calibration data: the images that static quantisation measures ranges on, preprocessed as on the device."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from osteolite.edge.errors import ImageError
from osteolite.edge.imaging.radiograph import DecodedImage, decode
from osteolite.edge.inference.tensors import Tensor
from osteolite.edge.labels import LABELS
from osteolite.edge.prediction.image_checks import COLOUR_LIMIT
from osteolite.edge.preprocess import PreprocessingSpec, preprocess
from osteolite.train.data.catalogue import Catalogue, Row

_COLOURED_SHARE = 0.1  # share of coloured images from which on a warning is given


@dataclass(frozen=True)
class CalibrationData:
    """Calibration data, and what identifies it."""

    tensors: list[Tensor]  # (1, height, width, channels) each
    drawn_from: str  # "training split", or the path of a folder
    sha256: str  # over the files' names and contents, in order
    strata: dict[str, int]  # number of images by class and body part
    coloured: int  # number of images with colours, which radiographs do not have

    def describe(self) -> dict[str, Any]:
        """The values for `osteolite.json`."""
        return {"images": len(self.tensors), "from": self.drawn_from, "sha256": self.sha256, "strata": self.strata}

    def warnings(self) -> list[str]:
        """What makes the images doubtful as calibration data."""
        if self.coloured < _COLOURED_SHARE * len(self.tensors):
            return []
        return [
            f"{self.coloured} of {len(self.tensors)} calibration images are coloured, which radiographs are not; "
            "give radiographs like those that the device will see"
        ]


def calibration_data(
    catalogue: Catalogue, rows: Sequence[Row], spec: PreprocessingSpec, count: int, drawn_from: str = "training split"
) -> CalibrationData:
    """Draw images and preprocess them as the device does.

    Half of them are fractured if there are enough. In each class, every body part has its share.

    Args:
        catalogue: the catalogue of the rows.
        rows: rows to draw from.
        spec: the preprocessing.
        count: number of images; fewer if there are fewer rows.
        drawn_from: a description of the rows.

    Raises:
        ImageError: an image cannot be read.
    """
    random = np.random.default_rng(0)
    drawn: list[Row] = []
    for label, share in ((1, count // 2), (0, count)):  # fractured first; normal images fill the rest
        pool = [row for row in rows if row.label == label]
        drawn += draw_by_body_part(pool, share if label else count - len(drawn), random)
    decoded = [_decoded(catalogue.path(row), spec) for row in drawn]
    digest = hashlib.sha256()
    for row in drawn:
        digest.update(row.file.encode() + b"\0" + catalogue.path(row).read_bytes())
    strata = Counter(f"{LABELS[row.label]} {row.body_part}".rstrip() for row in drawn)
    coloured = sum(one.chroma > COLOUR_LIMIT for one in decoded)
    tensors = [preprocess(one.grey, spec) for one in decoded]
    return CalibrationData(tensors, drawn_from, digest.hexdigest(), dict(sorted(strata.items())), coloured)


def draw_by_body_part(pool: list[Row], count: int, random: np.random.Generator) -> list[Row]:
    """Draw at most `count` rows, from each body part in proportion to its rows."""
    body_parts: dict[str, list[Row]] = {}
    for row in pool:
        body_parts.setdefault(row.body_part, []).append(row)
    # The rows of each body part are spread evenly over 0 to 1; the first `count` of all hold equal shares of each.
    places = [
        ((place + 0.5) / len(rows), rows[i])
        for rows in body_parts.values()
        for place, i in enumerate(random.permutation(len(rows)))
    ]
    return [row for _, row in sorted(places, key=lambda one: one[0])[:count]]


def input_tensors(catalogue: Catalogue, rows: Sequence[Row], spec: PreprocessingSpec) -> list[Tensor]:
    """Preprocess the file of each row as the device does.

    Raises:
        ImageError: an image cannot be read.
    """
    return [preprocess(_decoded(catalogue.path(row), spec).grey, spec) for row in rows]


def _decoded(path: Path, spec: PreprocessingSpec) -> DecodedImage:
    try:
        return decode(path, spec)
    except ImageError as error:
        raise type(error)(f"{path}: {error}") from error

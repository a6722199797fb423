"""Calibration data: the training images that quantisation sees, through the device's own preprocessing."""

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from osteolite.edge.preprocess import PreprocessingSpec, preprocess
from osteolite.edge.radiograph import read_radiograph
from osteolite.train.catalogue import Catalogue, Row

from .variants import Tensor


@dataclass(frozen=True)
class CalibrationData:
    """What quantisation saw, and how to tell it again."""

    tensors: list[Tensor]
    sha256: str  # over the files' names and contents, in order

    def describe(self) -> dict[str, Any]:
        return {"images": len(self.tensors), "part": "train", "sha256": self.sha256}


def calibration_data(catalogue: Catalogue, spec: PreprocessingSpec, count: int, seed: int = 0) -> CalibrationData:
    """Draw `count` training images, as many of each class as there are, and preprocess them."""
    random = np.random.default_rng(seed)
    rows: list[Row] = []
    for label, share in ((1, count // 2), (0, count)):  # fractured first; normal images fill what is left
        pool = [row for row in catalogue.part("train") if row.label == label]
        wanted = min(len(pool), share if label else count - len(rows))
        rows += [pool[i] for i in sorted(random.choice(len(pool), wanted, replace=False))]
    digest = hashlib.sha256()
    for row in rows:
        digest.update(row.file.encode() + b"\0" + catalogue.path(row).read_bytes())
    return CalibrationData(tensors(catalogue, rows, spec), digest.hexdigest())


def tensors(catalogue: Catalogue, rows: list[Row], spec: PreprocessingSpec) -> list[Tensor]:
    """The input tensor of each row, made from its file as the device makes it."""
    return [preprocess(read_radiograph(catalogue.path(row), spec), spec) for row in rows]

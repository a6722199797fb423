"""The unit of evaluation: the study if the data names studies, else the image."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..data.catalogue import Row
from .metrics import METRICS, compute_metrics

Array = np.ndarray[Any, Any]

TRAITS = ("body_part", "view", "hardware")
_ENOUGH = 10  # units of a class below which a metric is not reported


@dataclass(frozen=True)
class Units:
    """The units that metrics count: images or studies, each with the mean score of its images."""

    unit: str  # "image" or "study"
    labels: Array  # (units,) 0 or 1; a study is fractured if one of its images is
    scores: Array  # (units,) fracture probabilities
    groups: Array  # (units,) the group of each unit
    rows: tuple[tuple[Row, ...], ...]  # the images of each unit

    def metrics(self, threshold: float) -> dict[str, Any]:
        """Return the result of `compute_metrics` with "unit" and "count"; "fractured" and "confusion" count units."""
        found = compute_metrics(self.labels, self.scores, threshold, self.groups)
        images = sum(len(rows) for rows in self.rows)
        return {"unit": self.unit, "count": len(self.rows), **found, "images": images}

    def select(self, mask: Array) -> "Units":
        """Return the units where `mask` is true."""
        rows = tuple(rows for rows, wanted in zip(self.rows, mask, strict=True) if wanted)
        return Units(self.unit, self.labels[mask], self.scores[mask], self.groups[mask], rows)


def gather_units(rows: Sequence[Row], scores: Array) -> Units:
    """Gather images into studies; an image without a study is its own unit.

    Args:
        rows: the images.
        scores: (images,) calibrated fracture probabilities.

    Returns:
        The units, sorted by study or file: the same images give the same order.
    """
    # A manifest may name a file twice, and each of its rows counts: the index keeps them apart.
    keys = np.array([row.study or f"{row.file} {index:09d}" for index, row in enumerate(rows)])
    _, first, index = np.unique(keys, return_index=True, return_inverse=True)
    members: list[list[Row]] = [[] for _ in first]
    for unit, row in zip(index, rows, strict=True):
        members[unit].append(row)
    return Units(
        "study" if any(row.study for row in rows) else "image",
        np.array([max(row.label for row in images) for images in members]),
        np.bincount(index, weights=scores) / np.bincount(index),
        np.array([rows[i].group for i in first]),
        tuple(tuple(images) for images in members),
    )


def rows_of_predictions(lines: Sequence[Mapping[str, str]]) -> list[Row]:
    """Read the images from lines of `predictions.csv`, with the fields that `gather_units` needs."""
    return [Row(line["file"], int(line["label"]), line["group"], study=line["study"]) for line in lines]


def subgroups(
    units: Units, threshold: float, more_traits: Mapping[str, Mapping[str, str]] | None = None
) -> list[dict[str, Any]]:
    """Compute the metrics of each subgroup: body part, view, with and without hardware, as far as the data names them.

    A unit that shows several body parts or views counts in each of them.

    Args:
        units: all units.
        threshold: a unit at or above it counts as fractured.
        more_traits: values of further traits by file, such as the image's orientation.

    Returns:
        For each subgroup {"by", "value", counts, metrics}. A metric is left out if a class that it depends on has
        fewer than ten units. A trait with one value for all units gives no subgroup.
    """
    found = []
    images = [row for rows in units.rows for row in rows]
    named = {trait: {row.file: str(getattr(row, trait)) for row in images} for trait in TRAITS}
    for trait, by_file in {**named, **(more_traits or {})}.items():
        shown = [{value for row in rows for value in by_file[row.file].split("+") if value} for rows in units.rows]
        values = sorted(set().union(*shown))
        masks = {value: np.array([value in of_unit for of_unit in shown]) for value in values}
        if len(values) == 1 and masks[values[0]].all():
            continue
        found += [{"by": trait, "value": v, **_supported(units.select(masks[v]).metrics(threshold))} for v in values]
    return found


def _supported(found: dict[str, Any]) -> dict[str, Any]:
    """Drop the metrics that depend on a class with too few units."""
    fractured, normal = found["fractured"] >= _ENOUGH, found["count"] - found["fractured"] >= _ENOUGH
    supported = {"sensitivity": fractured, "recall": fractured, "specificity": normal}
    return {
        key: value for key, value in found.items() if key not in METRICS or supported.get(key, fractured and normal)
    }

"""The unit of evaluation: the image, or, where the data names studies, the study."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..data.catalogue import Row
from .metrics import METRICS, compute_metrics

Array = np.ndarray[Any, Any]

TRAITS = ("body_part", "view", "hardware")
_ENOUGH = 10  # images or studies of a class, below which a figure says nothing


@dataclass(frozen=True)
class Units:
    """What figures count as one each, with the mean of its images' fracture probabilities."""

    unit: str  # "image" or "study"
    labels: Array  # 0 or 1; a study is fractured if one of its images is
    scores: Array
    groups: Array
    rows: tuple[tuple[Row, ...], ...]  # the images of each

    def metrics(self, threshold: float) -> dict[str, Any]:
        """As `compute_metrics`, with "unit" and "count"; "fractured" and "confusion" count units."""
        found = compute_metrics(self.labels, self.scores, threshold, self.groups)
        images = sum(len(rows) for rows in self.rows)
        return {"unit": self.unit, "count": len(self.rows), **found, "images": images}

    def select(self, mask: Array) -> "Units":
        """Those where `mask` is true."""
        rows = tuple(rows for rows, taken in zip(self.rows, mask, strict=True) if taken)
        return Units(self.unit, self.labels[mask], self.scores[mask], self.groups[mask], rows)


def gather_units(rows: Sequence[Row], scores: Array) -> Units:
    """Join images into studies where the rows name them; elsewhere each row is a unit.

    Args:
        rows: the images.
        scores: the calibrated fracture probability of each.

    Returns:
        The units, sorted by study or file, so that the same images give the same order.
    """
    # A manifest may name a file twice: each row that belongs to no study counts.
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
    """The images of lines of `predictions.csv`, as far as `gather_units` needs to know them."""
    return [Row(line["file"], int(line["label"]), line["group"], study=line["study"]) for line in lines]


def subgroups(
    units: Units, threshold: float, seen: Mapping[str, Mapping[str, str]] | None = None
) -> list[dict[str, Any]]:
    """Figures for each body part and view, with and without hardware, where the data names them.

    A unit that shows several body parts or views counts in each of them.

    Args:
        units: all of them.
        threshold: from which one counts as fractured.
        seen: further traits, such as the image's orientation: the value of each file.

    Returns:
        For each subgroup {"by", "value", counts, and those figures that at least ten units of the
        classes they rest on support}. A trait that is the same everywhere makes no subgroup.
    """
    found = []
    images = [row for rows in units.rows for row in rows]
    named = {trait: {row.file: str(getattr(row, trait)) for row in images} for trait in TRAITS}
    for trait, noted in {**named, **(seen or {})}.items():
        shown = [{value for row in rows for value in noted[row.file].split("+") if value} for rows in units.rows]
        values = sorted(set().union(*shown))
        masks = {value: np.array([value in of_unit for of_unit in shown]) for value in values}
        if len(values) == 1 and masks[values[0]].all():
            continue
        found += [{"by": trait, "value": v, **_supported(units.select(masks[v]).metrics(threshold))} for v in values]
    return found


def _supported(found: dict[str, Any]) -> dict[str, Any]:
    """The figures without those that too few units support."""
    fractured, normal = found["fractured"] >= _ENOUGH, found["count"] - found["fractured"] >= _ENOUGH
    resting = {"sensitivity": fractured, "recall": fractured, "specificity": normal}
    return {key: value for key, value in found.items() if key not in METRICS or resting.get(key, fractured and normal)}

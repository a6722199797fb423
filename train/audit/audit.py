"""The audit: what a data set's figures could be wrong by, before anything is trained on it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from osteolite.edge.preprocess import PreprocessingSpec

from ..data.catalogue import Catalogue
from ..data.layouts import read_dataset
from ..data.pixel_cache import Images, read_images
from .confounders import find_confounders
from .duplicates import Duplicates, find_duplicates, merge_groups
from .leaks import HELD_OUT, Array, conflicting_groups, duplicate_groups, find_leaks, first_copies

_SPEC = PreprocessingSpec(224, 224)


@dataclass(frozen=True)
class Audit:
    """A data set that was looked at."""

    images: Images
    catalogue: Catalogue  # of the readable images, near-duplicates in one group; parts as the data names them
    duplicates: Duplicates
    conflicting: tuple[Array, ...]  # row indices of each set of duplicates with both labels
    findings: dict[str, Any]  # ready for JSON


def audit(data: Path, cache: Path, seed: int) -> Audit:
    """Read a data set once and look for leaks, duplicates, conflicting labels and confounders.

    Args:
        data: a folder in one of the known layouts, or a CSV manifest.
        cache: where the fitted pixels may lie; the result's images are read from there.
        seed: of the folds that confounders are looked for in.

    Raises:
        DatasetError: no known layout, or not one readable image.
    """
    images = read_images(read_dataset(data), _SPEC, cache)
    duplicates = find_duplicates(images)
    catalogue = merge_groups(images.catalogue, duplicates.pairs())
    chosen = np.unique(first_copies(len(catalogue.rows), duplicates))
    conflicting = conflicting_groups(catalogue, duplicates)
    findings = {
        "data": str(data),
        "layout": catalogue.layout,
        "counts": {
            "images": len(catalogue.rows) + len(images.unreadable),
            "readable": len(catalogue.rows),
            "different_files": len(chosen),
            "groups": len({row.group for row in catalogue.rows}),
        },
        "parts": _parts(catalogue),
        "leaks": {part: leak.to_dict() for part, leak in find_leaks(catalogue, duplicates).items()},
        "duplicates": {
            "identical": _spread(catalogue, duplicates.identical),
            "identical_or_near": _spread(catalogue, duplicates.pairs()),
        },
        "conflicting_groups": len(conflicting),
        "unreadable": images.unreadable,
        "confounders": find_confounders(images, catalogue, chosen, _SPEC, seed),
    }
    return Audit(images, catalogue, duplicates, tuple(conflicting), findings)


def _parts(catalogue: Catalogue) -> dict[str, dict[str, Any]]:
    names = {part: name for name, part in HELD_OUT.items()}
    found: dict[str, dict[str, Any]] = {}
    for part in ("", "train", "validation", "test"):
        labels = [row.label for row in catalogue.in_split(part)]
        if labels:
            about = {"images": len(labels), "fractured": sum(labels), "fractured_share": sum(labels) / len(labels)}
            found[names.get(part, part or "all")] = about
    return found


def _spread(catalogue: Catalogue, pairs: tuple[tuple[int, int], ...]) -> dict[str, int]:
    """How many sets of images the pairs join, and how many of these stand in several parts."""
    groups = duplicate_groups(len(catalogue.rows), pairs)
    across = sum(len({catalogue.rows[index].split for index in group}) > 1 for group in groups)
    return {"pairs": len(pairs), "groups_inside": len(groups) - across, "groups_across": across}

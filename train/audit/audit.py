"""The audit of a data set, before training: what could make metrics measured on it wrong."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from osteolite.edge.preprocess import PreprocessingSpec

from ..data.catalogue import SPLITS, Catalogue
from ..data.layouts import read_dataset
from ..data.pixel_cache import Images, read_images
from .confounders import find_confounders
from .duplicates import Duplicates, find_duplicates, merge_groups
from .leaks import HELD_OUT, Array, conflicting_groups, duplicate_groups, find_leaks, first_copies

_SPEC = PreprocessingSpec(224, 224)


@dataclass(frozen=True)
class Audit:
    """The result of an audit."""

    images: Images
    catalogue: Catalogue  # the readable images, near-duplicates in one group, in the data's own splits
    duplicates: Duplicates
    conflicting: tuple[Array, ...]  # row indices of each set of duplicates that has both labels
    findings: dict[str, Any]  # JSON-compatible


def audit(data: Path, cache: Path, seed: int) -> Audit:
    """Read a data set and look for leaks, duplicates, conflicting labels and confounders.

    Args:
        data: a folder in one of the known layouts, or a CSV manifest.
        cache: folder for the fitted pixels. The result reads its images from there, so it must persist.
        seed: seed of the cross-validation folds of the confounders.

    Raises:
        DatasetError: the layout is unknown, or no image is readable.
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
        "parts": _splits(catalogue),
        "leaks": {name: leak.to_dict() for name, leak in find_leaks(catalogue, duplicates).items()},
        "duplicates": {
            "identical": _spread(catalogue, duplicates.identical),
            "identical_or_near": _spread(catalogue, duplicates.pairs()),
        },
        "conflicting_groups": len(conflicting),
        "unreadable": images.unreadable,
        "confounders": find_confounders(images, catalogue, chosen, _SPEC, seed),
    }
    return Audit(images, catalogue, duplicates, tuple(conflicting), findings)


def _splits(catalogue: Catalogue) -> dict[str, dict[str, Any]]:
    """Count the images of each split; images without a split are "all"."""
    names = {split: name for name, split in HELD_OUT.items()}
    found: dict[str, dict[str, Any]] = {}
    for split in ("", *SPLITS):
        labels = [row.label for row in catalogue.in_split(split)]
        if labels:
            about = {"images": len(labels), "fractured": sum(labels), "fractured_share": sum(labels) / len(labels)}
            found[names.get(split, split or "all")] = about
    return found


def _spread(catalogue: Catalogue, pairs: tuple[tuple[int, int], ...]) -> dict[str, int]:
    """Count the sets of images that the pairs join, inside one split and across splits."""
    groups = duplicate_groups(len(catalogue.rows), pairs)
    across = sum(len({catalogue.rows[index].split for index in group}) > 1 for group in groups)
    return {"pairs": len(pairs), "groups_inside": len(groups) - across, "groups_across": across}

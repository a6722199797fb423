"""Data that a model never saw: what is left of it once everything alike to the training data is taken out."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from osteolite.edge.errors import DatasetError
from osteolite.edge.preprocess import PreprocessingSpec

from ..data.catalogue import Catalogue
from ..data.pixel_cache import Images, read_images
from .duplicates import find_duplicates, merge_groups


def unseen_images(
    found: Catalogue, known: Catalogue, spec: PreprocessingSpec, folder: Path
) -> tuple[Catalogue, dict[str, Any]]:
    """The images of one data set that are like none of another, those that are like each other in one study.

    Alike are copies of a file, and one exposure scaled, squeezed, recompressed, mirrored or turned by
    any angle (see `duplicates.near_duplicates`). Alike images with both labels are left out.

    Args:
        found: the data set to judge a model on.
        known: what the model was trained on; also what it was validated and tested on, if it is there.
        spec: what the model sees.
        folder: for the pixels that are read meanwhile.

    Returns:
        The images left, and {"images": as they were found, "unreadable", "alike_to_known", "contradictory",
        "left", "clusters": of alike images, each of which counts as one}.

    Raises:
        DatasetError: nothing is left, or nothing can be read.
    """
    mine, others = read_images(found, spec, folder / "found"), read_images(known, spec, folder / "known")
    duplicates = find_duplicates(_joined(mine, others))
    rows = [replace(row, group=f"{index}") for index, row in enumerate((*mine.catalogue.rows, *others.catalogue.rows))]
    clusters = merge_groups(found.with_rows(rows), duplicates.pairs()).rows
    own, theirs = clusters[: len(mine.facts)], clusters[len(mine.facts) :]
    seen = {row.group for row in theirs}
    labels: dict[str, set[int]] = {}
    for row in own:
        labels.setdefault(row.group, set()).add(row.label)
    new = [row for row in own if row.group not in seen]
    once = {row.file: replace(row, study=row.group, split="") for row in new if len(labels[row.group]) == 1}
    left = list(once.values())  # a manifest may name a file several times
    if not left:
        raise DatasetError(f"{found.root}: all its images are alike to some of {known.root}, or contradict each other")
    return found.with_rows(left), {
        "images": len(found.rows),
        "unreadable": len(mine.unreadable),
        "alike_to_known": len(own) - len(new),
        "contradictory": sum(len(labels[row.group]) > 1 for row in new),
        "left": len(left),
        "clusters": len({row.group for row in left}),
    }


def _joined(first: Images, second: Images) -> Images:
    """Both sets, as far as duplicates are found by them; pixels of the first alone."""
    squares = np.concatenate([first.squares, second.squares])
    return Images(first.catalogue, first.pixels, squares, first.facts + second.facts, {})

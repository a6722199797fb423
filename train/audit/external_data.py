"""External data: the images of a data set that resemble no image of the training data."""

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
    """Remove from a data set the images that duplicate an image of another one, and join its own duplicates.

    Duplicates are copies of a file, and one exposure scaled, squeezed, recompressed, mirrored or rotated by any
    angle (see `duplicates.near_duplicates`). Duplicates with both labels are left out; the others share a study.

    Args:
        found: the data set to evaluate a model on.
        known: the model's training data, with its validation and test data if available.
        spec: the model's preprocessing.
        folder: temporary folder for the pixels.

    Returns:
        The remaining images, and counts: {"images": in the data set, "unreadable", "alike_to_known": duplicates of
        known images, "contradictory": duplicates with both labels, "left": remaining, "clusters": sets of
        duplicates among the remaining images, each of which counts as one unit}.

    Raises:
        DatasetError: no image remains, or none can be read.
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
    left = list(once.values())  # a manifest may list a file several times
    if not left:
        raise DatasetError(
            f"every image of {found.root} duplicates an image of {known.root} or contradicts its own duplicates; "
            "use other data"
        )
    return found.with_rows(left), {
        "images": len(found.rows),
        "unreadable": len(mine.unreadable),
        "alike_to_known": len(own) - len(new),
        "contradictory": sum(len(labels[row.group]) > 1 for row in new),
        "left": len(left),
        "clusters": len({row.group for row in left}),
    }


def _joined(first: Images, second: Images) -> Images:
    """Join both sets for `find_duplicates`. The pixels, which it does not use, are the first set's alone."""
    squares = np.concatenate([first.squares, second.squares])
    return Images(first.catalogue, first.pixels, squares, first.facts + second.facts, {})

"""Train, validation and test splits: by group, stratified by label and body part, with a seed."""

from collections import Counter
from dataclasses import replace

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from osteolite.edge.errors import DatasetError

from .catalogue import SPLITS, Catalogue, Row

_LARGEST = 0.1  # largest share of a held-out split that one group may take
_NEVER_LARGE = 5  # images; groups of this size (the views of one patient) never count as large


def split_by_group(catalogue: Catalogue, validation: float, test: float, seed: int) -> Catalogue:
    """Assign every row to a split. Splits that the data names are kept.

    If the data names the train split but not both others, the missing ones are taken from train.

    Args:
        catalogue: rows with their groups.
        validation: share of all images for validation, above 0 and below 0.5.
        test: share of all images for test, above 0 and below 0.5.
        seed: the same seed gives the same split.

    Raises:
        DatasetError: a class has too few groups.
    """
    rows = list(catalogue.rows)
    named = {row.split for row in rows} - {""}
    rows = [replace(row, split=row.split or "train") for row in rows]
    total = len(rows)
    for split, share in (("test", test), ("validation", validation)):
        if split not in named:
            pool = [index for index, row in enumerate(rows) if row.split == "train"]
            if pool:  # otherwise the check below raises
                for place in _take([rows[index] for index in pool], share * total / len(pool), seed):
                    rows[pool[place]] = replace(rows[pool[place]], split=split)
    result = catalogue.with_rows(rows)
    for split in SPLITS:
        if {row.label for row in result.in_split(split)} != {0, 1}:
            raise DatasetError(f"the {split} split has images of one class only; add images of both classes")
    return result


def _take(pool: list[Row], share: float, seed: int) -> list[int]:
    """Choose indices for a split of that share. Very large groups stay in train: a split of one group says little."""
    folds = max(2, round(1 / share))
    size = Counter(row.group for row in pool)
    largest = max(_NEVER_LARGE, _LARGEST * share * len(pool))
    small = [index for index, row in enumerate(pool) if size[row.group] <= largest]
    rows = [pool[index] for index in small]
    groups = {label: len({r.group for r in rows if r.label == label}) for label in (0, 1)}
    if min(groups.values()) < folds:
        raise DatasetError(
            f"there are {groups[1]} groups of fractured and {groups[0]} of normal images; a split by group needs at "
            f"least {folds} of each; add images"
        )
    labels = np.array([row.label for row in rows])
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    found = [taken for _, taken in splitter.split(labels, strata(rows, folds), [row.group for row in rows])]
    usable = (taken for taken in found if set(labels[taken]) == {0, 1})  # with few groups a fold may lack a class
    return [small[i] for i in next(usable, found[0])]


def strata(rows: list[Row], folds: int) -> list[str]:
    """Return the stratum of each row: label and body part. One too rare for every fold joins its label's largest."""
    count = Counter((row.label, row.body_part) for row in rows)
    largest = {label: max((k for k in count if k[0] == label), key=lambda k: count[k]) for label in (0, 1)}
    chosen = (
        (row.label, row.body_part) if count[row.label, row.body_part] >= folds else largest[row.label] for row in rows
    )
    return [f"{label} {body_part}" for label, body_part in chosen]

"""Train, validation and test parts: by group, stratified by label and body part, seeded."""

from collections import Counter
from dataclasses import replace

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from osteolite.edge.errors import DatasetError

from .catalogue import SPLITS, Catalogue, Row

_LARGEST = 0.1  # the share of a held-out part that one group may take
_NEVER_LARGE = 5  # images: the views of one patient, however small the data


def split_by_group(catalogue: Catalogue, validation: float, test: float, seed: int) -> Catalogue:
    """Give every row a part; parts that the data itself names are kept.

    Where the data names a train part alone, or with one other, the missing ones are taken from it.

    Args:
        catalogue: rows with their groups.
        validation: the share of all images that goes there, above 0 and below 0.5.
        test: likewise.
        seed: the same seed gives the same split.

    Raises:
        DatasetError: too few groups of a class for the parts asked for.
    """
    rows = list(catalogue.rows)
    named = {row.split for row in rows} - {""}
    rows = [replace(row, split=row.split or "train") for row in rows]
    total = len(rows)
    for part, share in (("test", test), ("validation", validation)):
        if part not in named:
            pool = [index for index, row in enumerate(rows) if row.split == "train"]
            if pool:  # else the check below says what is wrong
                for place in _take([rows[index] for index in pool], share * total / len(pool), seed):
                    rows[pool[place]] = replace(rows[pool[place]], split=part)
    result = catalogue.with_rows(rows)
    for part in SPLITS:
        if {row.label for row in result.in_split(part)} != {0, 1}:
            raise DatasetError(f"the {part} part has images of one class only; more images of both are needed")
    return result


def _take(pool: list[Row], share: float, seed: int) -> list[int]:
    """Indices for a part of that share. Very large groups stay behind: a part that is mostly one group says little."""
    folds = max(2, round(1 / share))
    size = Counter(row.group for row in pool)
    largest = max(_NEVER_LARGE, _LARGEST * share * len(pool))
    small = [index for index, row in enumerate(pool) if size[row.group] <= largest]
    rows = [pool[index] for index in small]
    groups = {label: len({r.group for r in rows if r.label == label}) for label in (0, 1)}
    if min(groups.values()) < folds:
        raise DatasetError(
            f"{groups[1]} groups of fractured and {groups[0]} of normal images; at least {folds} of each are "
            "needed for a split by group"
        )
    labels = np.array([row.label for row in rows])
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    found = [taken for _, taken in splitter.split(labels, strata(rows, folds), [row.group for row in rows])]
    usable = (taken for taken in found if set(labels[taken]) == {0, 1})  # few groups may stand unevenly
    return [small[i] for i in next(usable, found[0])]


def strata(rows: list[Row], folds: int) -> list[str]:
    """Label and body part; a combination too rare to stand in every fold joins its label's largest."""
    count = Counter((row.label, row.body_part) for row in rows)
    largest = {label: max((k for k in count if k[0] == label), key=lambda k: count[k]) for label in (0, 1)}
    chosen = (
        (row.label, row.body_part) if count[row.label, row.body_part] >= folds else largest[row.label] for row in rows
    )
    return [f"{label} {body_part}" for label, body_part in chosen]

"""Leaks: images of the held-out parts that the network has seen in training."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from osteolite.edge.errors import AuditRefusal

from ..data.catalogue import Catalogue
from .duplicates import Duplicates

HELD_OUT = {"test": "test", "val": "validation"}  # name in figures: part of the catalogue
_ALLOWED = 0.01  # share of a held-out part

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Leak:
    """What a held-out part shares with the train part."""

    images: int  # readable ones of the part
    identical: int  # of these, have the same bytes as one in train
    near_duplicate: int  # of these, are identical to one in train or a near-duplicate of it

    @property
    def identical_share(self) -> float:
        return self.identical / self.images if self.images else 0.0

    @property
    def near_duplicate_share(self) -> float:
        return self.near_duplicate / self.images if self.images else 0.0

    def to_dict(self) -> dict[str, float]:
        shares = {"identical_share": self.identical_share, "near_duplicate_share": self.near_duplicate_share}
        return {**asdict(self), **shares}


def find_leaks(catalogue: Catalogue, duplicates: Duplicates, seen_before: Array | None = None) -> dict[str, Leak]:
    """The leaks of the test part (`test`) and the validation part (`val`).

    Args:
        catalogue: the readable images with their parts, in the order that the pairs count in.
        duplicates: as `find_duplicates` gives them.
        seen_before: (images,) whether the starting weights were trained on the image; it then counts as trained on.
    """
    part = np.array([row.split for row in catalogue.rows])
    first = first_copies(len(part), duplicates)
    trained = part == "train" if seen_before is None else (part == "train") | seen_before
    identical = np.zeros(len(part), bool)  # of first copies: whether the network has seen these bytes
    identical[first[trained]] = True
    near = identical.copy()
    i, j = np.array(duplicates.near, int).reshape(-1, 2).T
    np.logical_or.at(near, i, identical[j])
    np.logical_or.at(near, j, identical[i])
    return {
        name: Leak(
            images=int((part == held_out).sum()),
            identical=int(identical[first][part == held_out].sum()),
            near_duplicate=int(near[first][part == held_out].sum()),
        )
        for name, held_out in HELD_OUT.items()
    }


def refuse_leaks(leaks: dict[str, Leak], data: Path, seen_before: int = 0) -> None:
    """Refuse parts that share more than 1 % of a held-out part with train.

    Args:
        leaks: as `find_leaks` gives them.
        data: the data, as the user named it.
        seen_before: how many held-out images the starting weights were trained on.

    Raises:
        AuditRefusal: with the shares.
    """
    if all(leak.near_duplicate_share <= _ALLOWED for leak in leaks.values()):
        return
    shares = " and ".join(
        f"{100 * leak.near_duplicate_share:.1f} % of its {HELD_OUT[part]} images are copies or near-duplicates of "
        f"training images ({100 * leak.identical_share:.1f} % byte for byte)"
        for part, leak in leaks.items()
        if leak.near_duplicate_share > _ALLOWED
    )
    remedy = (
        f"The run that --weights names was trained on {seen_before} of them: start from one that was not"
        if seen_before
        else f"`osteolite audit {data} --repair FILE.csv` writes a clean split to train on"
    )
    raise AuditRefusal(
        f"refused: the split of {data} leaks: {shares}; at most {100 * _ALLOWED:.0f} % is allowed. "
        f"{remedy}; `train --allow-leaks` goes on as it is, and the report will say so"
    )


def first_copies(count: int, duplicates: Duplicates) -> Array:
    """The index of the first row with the same bytes, for each of `count` rows."""
    first = np.arange(count)
    for earlier, later in duplicates.identical:
        first[later] = earlier
    return first


def duplicate_groups(count: int, pairs: tuple[tuple[int, int], ...]) -> list[Array]:
    """The row indices of each set of at least two rows that are joined by pairs."""
    if not pairs:
        return []
    i, j = np.array(pairs).T
    _, member = connected_components(coo_array((np.ones(len(i), bool), (i, j)), shape=(count, count)), directed=False)
    order = np.argsort(member, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(member[order])) + 1)
    return [group for group in groups if len(group) > 1]


def conflicting_groups(catalogue: Catalogue, duplicates: Duplicates) -> list[Array]:
    """Those sets of identical and near-duplicate rows that carry both labels."""
    labels = np.array([row.label for row in catalogue.rows])
    groups = duplicate_groups(len(labels), duplicates.pairs())
    return [group for group in groups if len(set(labels[group])) > 1]

"""Leaks: images of the held-out splits that the network has seen in training."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from osteolite.edge.errors import AuditRefusal

from ..data.catalogue import Catalogue
from .duplicates import Duplicates

HELD_OUT = {"test": "test", "val": "validation"}  # key in the findings: split of the catalogue
_ALLOWED = 0.01  # largest share of a held-out split

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Leak:
    """The overlap of a held-out split with the training split."""

    images: int  # readable images of the split
    identical: int  # of these, images with the same bytes as a training image
    near_duplicate: int  # of these, images identical to a training image or a near-duplicate of one

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
    """Find the leaks of the test split (`test`) and the validation split (`val`).

    Args:
        catalogue: the readable images with their splits, in the order of the indices in `duplicates`.
        duplicates: the result of `find_duplicates`.
        seen_before: (images,) whether the starting weights were trained on the image; such images count as training
            images.
    """
    split = np.array([row.split for row in catalogue.rows])
    first = first_copies(len(split), duplicates)
    trained = split == "train" if seen_before is None else (split == "train") | seen_before
    identical = np.zeros(len(split), bool)  # by first copy: whether the network has seen these bytes
    identical[first[trained]] = True
    near = identical.copy()
    i, j = np.array(duplicates.near, int).reshape(-1, 2).T
    np.logical_or.at(near, i, identical[j])
    np.logical_or.at(near, j, identical[i])
    return {
        name: Leak(
            images=int((split == held_out).sum()),
            identical=int(identical[first][split == held_out].sum()),
            near_duplicate=int(near[first][split == held_out].sum()),
        )
        for name, held_out in HELD_OUT.items()
    }


def refuse_leaks(leaks: dict[str, Leak], data: Path, seen_before: int = 0) -> None:
    """Refuse a split if more than 1 % of a held-out split is also in the training split.

    Args:
        leaks: the result of `find_leaks`.
        data: the path that the user gave.
        seen_before: number of held-out images that the starting weights were trained on.

    Raises:
        AuditRefusal: the split leaks; the message has the shares.
    """
    if all(leak.near_duplicate_share <= _ALLOWED for leak in leaks.values()):
        return
    shares = " and ".join(
        f"{100 * leak.near_duplicate_share:.1f} % of its {HELD_OUT[name]} images are copies or near-duplicates of "
        f"training images ({100 * leak.identical_share:.1f} % byte for byte)"
        for name, leak in leaks.items()
        if leak.near_duplicate_share > _ALLOWED
    )
    remedy = (
        f"The run given by --weights was trained on {seen_before} of them: start from another run"
        if seen_before
        else f"`osteolite audit {data} --repair FILE.csv` writes a clean split to train on"
    )
    raise AuditRefusal(
        f"refused: the split of {data} leaks: {shares}; at most {100 * _ALLOWED:.0f} % is allowed. "
        f"{remedy}; `train --allow-leaks` trains anyway, and the report says so"
    )


def first_copies(count: int, duplicates: Duplicates) -> Array:
    """Return for each of `count` rows the index of the first row with the same bytes."""
    first = np.arange(count)
    for earlier, later in duplicates.identical:
        first[later] = earlier
    return first


def duplicate_groups(count: int, pairs: tuple[tuple[int, int], ...]) -> list[Array]:
    """Return the row indices of each set of at least two rows that pairs join."""
    if not pairs:
        return []
    i, j = np.array(pairs).T
    _, member = connected_components(coo_array((np.ones(len(i), bool), (i, j)), shape=(count, count)), directed=False)
    order = np.argsort(member, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(member[order])) + 1)
    return [group for group in groups if len(group) > 1]


def conflicting_groups(catalogue: Catalogue, duplicates: Duplicates) -> list[Array]:
    """Return the sets of identical and near-duplicate rows that have both labels."""
    labels = np.array([row.label for row in catalogue.rows])
    groups = duplicate_groups(len(labels), duplicates.pairs())
    return [group for group in groups if len(set(labels[group])) > 1]

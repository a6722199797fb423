"""The audit as one HTML file, with pairs of duplicates to inspect."""

import base64
import io
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path

from PIL import Image

from ..html import write_page
from .audit import Audit
from .leaks import Array, duplicate_groups

_PAIRS = 40  # most pairs on the page
_SIDE, _QUALITY = 176, 80  # side of a thumbnail, pixels; its JPEG quality


@dataclass(frozen=True)
class ShownImage:
    """One image of a pair on the page."""

    file: str
    label: str
    split: str
    picture: str  # JPEG as a data URI


def write_audit_page(audit: Audit, path: Path) -> None:
    """Write the findings and up to 40 pairs of duplicates, the most important first."""
    pairs = [(kind, _shown(audit, i), _shown(audit, j)) for kind, i, j in choose_pairs(audit)]
    write_page(path, "audit.html", found=audit.findings, pairs=pairs)


def choose_pairs(audit: Audit) -> list[tuple[str, int, int]]:
    """Choose at most 40 pairs of duplicates, one from each set.

    Pairs with conflicting labels come first, then pairs across splits, then pairs within one split. Among pairs
    of the same rank, near-duplicates and identical files alternate.

    Returns:
        (kind of the pair as text, row index, row index) of each pair.
    """
    rows = audit.catalogue.rows
    of_group = {
        int(index): number
        for number, group in enumerate(duplicate_groups(len(rows), audit.duplicates.pairs()))
        for index in group
    }
    kinds: dict[str, dict[int, tuple[str, int, int]]] = {}  # by kind: one pair of each set
    for name, pairs in (("near-duplicates", audit.duplicates.near), ("identical files", audit.duplicates.identical)):
        for i, j in pairs:
            if rows[i].label != rows[j].label:
                kind = f"{name}, labels differ"
            elif rows[i].split != rows[j].split:
                kind = f"{name} across splits"
            else:
                kind = f"{name} within one split" if rows[i].split else name
            kinds.setdefault(kind, {}).setdefault(of_group[i], (kind, i, j))
    chosen: dict[int, tuple[str, int, int]] = {}
    for ending in ("differ", "across splits", "within one split", ""):
        turns = zip_longest(*(found.values() for kind, found in kinds.items() if kind.endswith(ending)))
        for pair in filter(None, chain.from_iterable(turns)):
            chosen.setdefault(of_group[pair[1]], pair)
    return list(chosen.values())[:_PAIRS]


def _shown(audit: Audit, index: int) -> ShownImage:
    row = audit.catalogue.rows[index]
    return ShownImage(row.file, "fractured" if row.label else "normal", row.split, _picture(audit.images.pixels[index]))


def _picture(pixels: Array) -> str:
    stream = io.BytesIO()
    Image.fromarray(pixels).resize((_SIDE, _SIDE)).save(stream, "JPEG", quality=_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode("ascii")

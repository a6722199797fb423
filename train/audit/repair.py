"""Repair of an audited data set: a manifest with a split that does not leak."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from osteolite.edge.atomic import write_csv
from osteolite.edge.errors import UsageError

from ..data.catalogue import SPLITS, Catalogue, Row
from ..data.manifest import NAME as MANIFEST
from ..data.splits import split_by_group
from .audit import Audit
from .leaks import first_copies

_VALIDATION, _TEST = 0.1, 0.2  # share of all images
_COLUMNS = ("file", "label", "split", "group", "body_part", "view", "hardware", "study")


def repair(audit: Audit, data: Path, file: Path, seed: int) -> dict[str, Any]:
    """Write a manifest of the usable images with a new split that does not leak.

    The manifest has one row per different file. Copies, unreadable files, and all duplicates with both labels are
    left out. Near-duplicates and the data's own groups stay in one split; the data's own splits are discarded.

    Args:
        audit: the audit of the data.
        data: the audited path.
        file: the manifest to write. Its paths are relative to its folder if that contains the images, otherwise to
            the column `root`.
        seed: seed of the split.

    Returns:
        The numbers of images kept, left out, and in each split.

    Raises:
        UsageError: `file` is the audited manifest itself, or not a .csv file.
        DatasetError: there are too few groups for three splits.
    """
    if file.suffix.lower() != ".csv" or file.resolve() in (data.resolve(), (data / MANIFEST).resolve()):
        raise UsageError(f"{file}: name a new .csv file for the repaired manifest; the data is never changed")
    rows = audit.catalogue.rows
    first = first_copies(len(rows), audit.duplicates)
    conflicting = {int(index) for group in audit.conflicting for index in group}
    copies = sum(first[index] != index and index not in conflicting for index in range(len(rows)))
    kept = [
        replace(row, split="") for index, row in enumerate(rows) if first[index] == index and index not in conflicting
    ]
    clean = split_by_group(audit.catalogue.with_rows(kept), _VALIDATION, _TEST, seed)
    _write(clean, file)
    return {
        "file": str(file),
        "kept": len(kept),
        "copies_left_out": int(copies),
        "conflicting_left_out": len(conflicting),
        "unreadable_left_out": len(audit.images.unreadable),
        "parts": {split: len(clean.in_split(split)) for split in SPLITS},
    }


def _write(catalogue: Catalogue, file: Path) -> None:
    root, folder = catalogue.root.resolve(), file.parent.resolve()
    inside = root.is_relative_to(folder)
    columns, last = (_COLUMNS, ()) if inside else ((*_COLUMNS, "root"), (str(root),))
    prefix = os.path.relpath(root, folder) if inside else "."

    def line(row: Row) -> tuple[Any, ...]:
        path = Path(prefix, row.file).as_posix()
        return path, row.label, row.split, row.group, row.body_part, row.view, row.hardware, row.study, *last

    write_csv(file, columns, map(line, catalogue.rows))

"""FracAtlas: class folders, and a table with body part, view and hardware.

Abedeen et al., "FracAtlas: A Dataset for Fracture Classification, Localization and Segmentation of
Musculoskeletal Radiographs", Scientific Data 10, 521 (2023).
"""

import csv
from dataclasses import replace
from pathlib import Path

from osteolite.edge.errors import DatasetError

from .catalogue import Catalogue, Row
from .class_folders import class_rows

ATTRIBUTION = (
    "FracAtlas. Abedeen I., Rahman M.A., Prottyasha F.Z., Ahmed T., Chowdhury T.M., Shatabda S. "
    '"FracAtlas: A Dataset for Fracture Classification, Localization and Segmentation of Musculoskeletal '
    'Radiographs", Scientific Data 10, 521 (2023), doi:10.1038/s41597-023-02432-4; '
    "data doi:10.6084/m9.figshare.22363012, CC BY 4.0."
)
_BLOCK, _LONGEST_BLOCK = 8, 32  # smallest and largest number of consecutive image numbers in a group
_BODY_PARTS = ("hand", "leg", "hip", "shoulder")
_VIEWS = ("frontal", "lateral", "oblique")


def detect_fracatlas(root: Path) -> bool:
    return (root / "dataset.csv").is_file() and (root / "images" / "Fractured").is_dir()


def read_fracatlas(root: Path) -> Catalogue:
    """Read the images that the table lists.

    Raises:
        DatasetError: the table lacks a column.
    """
    table = root / "dataset.csv"
    with table.open(newline="", encoding="utf-8-sig") as stream:
        reader = csv.DictReader(stream)
        missing = {"image_id", "hardware", *_BODY_PARTS, *_VIEWS} - set(reader.fieldnames or ())
        if missing:
            raise DatasetError(f"{table} has no column {', '.join(sorted(missing))}; use the dataset.csv of FracAtlas")
        listed = {line["image_id"]: line for line in reader}
    rows = []
    for row in class_rows(root, root / "images", split=""):
        line = listed.get(Path(row.file).name)
        if line is not None:
            body_parts, views = (
                "+".join(name for name in names if line[name] == "1") for names in (_BODY_PARTS, _VIEWS)
            )
            hardware = "yes" if line["hardware"] == "1" else "no"
            rows.append(Row(row.file, row.label, body_part=body_parts, view=views, hardware=hardware))
    return Catalogue(root, "fracatlas", tuple(_number_blocks(rows)), ATTRIBUTION)


def _number_blocks(rows: list[Row]) -> list[Row]:
    """Group images with consecutive numbers.

    FracAtlas names no patients, but neighbouring numbers are often views of one patient. A block ends where the
    body part changes, which rarely happens within a patient, so that few patients are cut in two.
    """
    grouped: list[Row] = []
    first, previous = -_LONGEST_BLOCK, None
    for row in sorted(rows, key=_number):
        length = _number(row) - first
        if length >= _LONGEST_BLOCK or (length >= _BLOCK and row.body_part != previous):
            first = _number(row)
        grouped.append(replace(row, group=f"block{first:05d}"))
        previous = row.body_part
    return grouped


def _number(row: Row) -> int:
    return int("".join(c for c in Path(row.file).stem if c.isdigit()) or 0)

"""How labelled radiographs lie in folders: one entry of `LAYOUTS` for each known way."""

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from osteolite.edge.errors import DatasetError
from osteolite.edge.labels import label_of_folder
from osteolite.edge.radiograph import SUFFIXES

from .catalogue import Catalogue, Row

_PART_FOLDERS = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}
_BLOCK, _LONGEST_BLOCK = 8, 32  # FracAtlas numbers in a group: at least, and at most
_BODY_PARTS = ("hand", "leg", "hip", "shoulder", "mixed")


@dataclass(frozen=True)
class Layout:
    """One known way to lay out a data set."""

    name: str
    looks_like: str  # for the error that lists what is known
    detect: Callable[[Path], bool]
    read: Callable[[Path], list[Row]]


def _images(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in SUFFIXES and path.is_file():
            yield path


def _class_folders(folder: Path) -> dict[Path, int]:
    labelled = {child: label_of_folder(child.name) for child in sorted(folder.iterdir()) if child.is_dir()}
    return {child: label for child, label in labelled.items() if label is not None}


def _has_both_classes(folder: Path) -> bool:
    return set(_class_folders(folder).values()) == {0, 1}


def _read_classes(root: Path, folder: Path, part: str) -> list[Row]:
    rows = []
    for child, label in _class_folders(folder).items():
        for path in _images(child):
            file = path.relative_to(root).as_posix()
            rows.append(Row(file, label, group=file, part=part))
    return rows


def _detect_classes(root: Path) -> bool:
    return _has_both_classes(root)


def _part_folders(root: Path) -> dict[Path, str]:
    children = {child: _PART_FOLDERS.get(child.name.lower()) for child in sorted(root.iterdir()) if child.is_dir()}
    return {child: part for child, part in children.items() if part and _has_both_classes(child)}


def _detect_parts(root: Path) -> bool:
    return "train" in _part_folders(root).values()


def _read_parts(root: Path) -> list[Row]:
    return [row for folder, part in _part_folders(root).items() for row in _read_classes(root, folder, part)]


def _detect_fracatlas(root: Path) -> bool:
    return (root / "dataset.csv").is_file() and (root / "images" / "Fractured").is_dir()


def _read_fracatlas(root: Path) -> list[Row]:
    with (root / "dataset.csv").open(newline="", encoding="utf-8") as stream:
        listed = {line["image_id"]: line for line in csv.DictReader(stream)}
    rows = []
    for row in _read_classes(root, root / "images", part=""):
        line = listed.get(Path(row.file).name)
        if line is not None:
            parts = "+".join(part for part in _BODY_PARTS if line[part] == "1" and part != "mixed")
            rows.append(Row(row.file, row.label, group="", body_part=parts))
    return _number_blocks(rows)


def _number_blocks(rows: list[Row]) -> list[Row]:
    """Group consecutive numbers: FracAtlas names no patients, but neighbours are views of one.

    A block ends where the body part changes, which one patient's views seldom do, so that few
    patients stand across a border.
    """
    grouped: list[Row] = []
    first, previous = -_LONGEST_BLOCK, None
    for row in sorted(rows, key=_number):
        length = _number(row) - first
        if length >= _LONGEST_BLOCK or (length >= _BLOCK and row.body_part != previous):
            first = _number(row)
        grouped.append(Row(row.file, row.label, f"block{first:05d}", row.body_part))
        previous = row.body_part
    return grouped


def _number(row: Row) -> int:
    return int("".join(c for c in Path(row.file).stem if c.isdigit()) or 0)


LAYOUTS = (
    Layout("fracatlas", "dataset.csv and images/{Fractured,Non_fractured}/", _detect_fracatlas, _read_fracatlas),
    Layout("parts", "{train,val,test}/{fractured,normal}/", _detect_parts, _read_parts),
    Layout("classes", "{fractured,normal}/", _detect_classes, lambda root: _read_classes(root, root, part="")),
)


def read_dataset(root: str | Path) -> Catalogue:
    """Detect the layout of a folder and list its labelled images.

    Raises:
        DatasetError: no such folder, no known layout, or a class without images.
    """
    root = Path(root)
    if not root.is_dir():
        raise DatasetError(f"{root} is no folder; give the folder that holds the labelled radiographs")
    for layout in LAYOUTS:
        if layout.detect(root):
            rows = layout.read(root)
            if {row.label for row in rows} != {0, 1}:
                raise DatasetError(f"{root} ({layout.name} layout) needs images of both classes, fractured and normal")
            return Catalogue(root, layout.name, tuple(rows))
    known = "; ".join(f"{layout.name}: {layout.looks_like}" for layout in LAYOUTS)
    raise DatasetError(f"{root} has no known layout. Known are {known}")

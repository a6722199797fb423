"""Class folders, alone or inside folders of the splits."""

from collections.abc import Iterator
from pathlib import Path

from osteolite.edge.imaging.radiograph import SUFFIXES
from osteolite.edge.labels import label_of_folder

from .catalogue import Catalogue, Row

_SPLITS = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}


def split_of_name(name: str) -> str | None:
    """Return the split that a folder or a manifest means by this name, or None.

    >>> [split_of_name(n) for n in ("Train", "val", "images")]
    ['train', 'validation', None]
    """
    return _SPLITS.get(name.strip().lower())


def images_below(folder: Path) -> Iterator[Path]:
    """Yield every file below a folder with an image suffix, sorted; hidden files are skipped."""
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file():
            yield path


def _class_folders(folder: Path) -> dict[Path, int]:
    labelled = {child: label_of_folder(child.name) for child in sorted(folder.iterdir()) if child.is_dir()}
    return {child: label for child, label in labelled.items() if label is not None}


def class_rows(root: Path, folder: Path, split: str) -> list[Row]:
    """Return a row for each image in the class folders of `folder`; each image is its own group."""
    rows = []
    for child, label in _class_folders(folder).items():
        for path in images_below(child):
            file = path.relative_to(root).as_posix()
            rows.append(Row(file, label, group=file, split=split))
    return rows


def detect_classes(root: Path) -> bool:
    return set(_class_folders(root).values()) == {0, 1}


def read_classes(root: Path) -> Catalogue:
    return Catalogue(root, "classes", tuple(class_rows(root, root, split="")))


def _split_folders(root: Path) -> dict[Path, str]:
    children = {child: split_of_name(child.name) for child in sorted(root.iterdir()) if child.is_dir()}
    return {child: split for child, split in children.items() if split and detect_classes(child)}


def detect_splits(root: Path) -> bool:
    return "train" in _split_folders(root).values()


def read_splits(root: Path) -> Catalogue:
    rows = [row for folder, split in _split_folders(root).items() for row in class_rows(root, folder, split)]
    return Catalogue(root, "parts", tuple(rows))

"""Labelled images for a benchmark: a folder with one folder for each class, or a CSV file."""

import csv
import os
from pathlib import Path

from osteolite.edge.errors import UsageError
from osteolite.edge.imaging.radiograph import SUFFIXES
from osteolite.edge.labels import label_of_folder


def labelled_images(data: str) -> list[tuple[str, int]]:
    """Paths and labels (0 normal, 1 fractured).

    Args:
        data: a folder with class folders in it, or a CSV file with the columns `file` (relative to
            that CSV, or absolute) and `label`.

    Raises:
        UsageError: no such data, or not both classes in it.
    """
    path = Path(data)
    try:
        found = _from_folder(path) if path.is_dir() else _from_csv(path)
    except (OSError, KeyError, ValueError, csv.Error) as error:
        raise UsageError(
            f"{data} is neither a folder with class folders nor a CSV file with file and label ({error})"
        ) from error
    if {label for _, label in found} != {0, 1}:
        raise UsageError(f"{data} needs images of both classes, fractured and normal, each in a folder of its own")
    return found


def _from_folder(root: Path) -> list[tuple[str, int]]:
    found = []
    for folder, names, files in os.walk(root):
        names.sort()
        label = label_of_folder(os.path.basename(folder))
        if label is not None:
            found += [(os.path.join(folder, f), label) for f in sorted(files) if Path(f).suffix.lower() in SUFFIXES]
    return found


def _from_csv(path: Path) -> list[tuple[str, int]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return [(str(path.parent / line["file"]), int(line["label"])) for line in csv.DictReader(stream)]

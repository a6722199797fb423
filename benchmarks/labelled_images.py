"""Labelled images for a benchmark, from a folder with one subfolder per class or from a CSV file."""

import csv
import os
from pathlib import Path

from osteolite.edge.errors import UsageError
from osteolite.edge.imaging.radiograph import SUFFIXES
from osteolite.edge.labels import label_of_folder


def labelled_images(data: str) -> list[tuple[str, int]]:
    """List the labelled images of a folder or a CSV file.

    Args:
        data: path of a folder with one subfolder per class, or of a CSV file with the columns `file` (absolute, or
            relative to the CSV file) and `label`.

    Returns:
        The path and the label (0 normal, 1 fractured) of each image.

    Raises:
        UsageError: the data do not exist or cannot be read, or a class is missing.
    """
    path = Path(data)
    try:
        found = _from_folder(path) if path.is_dir() else _from_csv(path)
    except (OSError, KeyError, ValueError, csv.Error) as error:
        raise UsageError(
            f"{data} is neither a folder with class folders nor a CSV file with the columns file and label ({error})"
        ) from error
    if {label for _, label in found} != {0, 1}:
        raise UsageError(
            f"{data}: both classes are needed; give fractured (1) and normal (0) images, one subfolder per class"
        )
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

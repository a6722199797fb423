"""The catalogue of labelled radiographs, one row per image, and its CSV file."""

import csv
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from osteolite.edge.atomic import write_csv
from osteolite.edge.errors import DatasetError

SPLITS = ("train", "validation", "test")
_COLUMNS = {"split": "part"}  # field: its column in catalogue.csv, if the names differ


@dataclass(frozen=True)
class Row:
    """One labelled radiograph."""

    file: str  # path relative to the data folder, with forward slashes
    label: int  # 1 fractured, 0 normal
    group: str = ""  # images of one group always stay in one split
    body_part: str = ""  # empty if unknown; several are joined by "+"
    split: str = ""  # train, validation or test; empty before the split
    study: str = ""  # images that are evaluated as one unit; empty: each image is its own unit
    view: str = ""  # frontal, lateral or oblique; empty if unknown; several are joined by "+"
    hardware: str = ""  # implants visible: "yes", "no", or empty if unknown


@dataclass(frozen=True)
class Catalogue:
    """The labelled radiographs of one folder."""

    root: Path  # data folder
    layout: str  # name in `layouts.LAYOUTS`
    rows: tuple[Row, ...]
    attribution: str = ""  # notice that a published model trained on the data must carry

    def in_split(self, name: str) -> tuple[Row, ...]:
        """Return the rows of a split: train, validation or test."""
        return tuple(row for row in self.rows if row.split == name)

    def with_rows(self, rows: Iterable[Row]) -> "Catalogue":
        return replace(self, rows=tuple(rows))

    def path(self, row: Row) -> Path:
        return self.root / row.file

    def describe(self) -> str:
        """Summarise the number of images, fractured images and groups in one line."""
        fractured = sum(row.label for row in self.rows)
        groups = len({row.group for row in self.rows})
        return f"{len(self.rows)} images, {fractured} fractured, {groups} groups ({self.layout})"


def write_catalogue(catalogue: Catalogue, path: Path) -> None:
    """Write the rows as CSV, atomically."""
    names = [field.name for field in fields(Row)]
    columns = [_COLUMNS.get(name, name) for name in names]
    write_csv(path, columns, ([getattr(row, name) for name in names] for row in catalogue.rows))


def _row(values: dict[str, Any]) -> Row:
    return Row(**{**values, "label": int(values["label"])})


def read_catalogue(path: Path, root: Path, layout: str) -> Catalogue:
    """Read a file that `write_catalogue` wrote.

    Raises:
        DatasetError: the file does not exist or is not a catalogue.
    """
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            names = [field.name for field in fields(Row)]
            rows = [_row({name: line[_COLUMNS.get(name, name)] for name in names}) for line in csv.DictReader(stream)]
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise DatasetError(f"{path} is not a catalogue ({error}); train the run again") from error
    return Catalogue(root, layout, tuple(rows))

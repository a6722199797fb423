"""The catalogue: one row an image, and its CSV file."""

import csv
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from osteolite.edge.atomic import write_csv
from osteolite.edge.errors import DatasetError

SPLITS = ("train", "validation", "test")
_COLUMNS = {"split": "part"}  # name of a field in catalogue.csv, where it differs


@dataclass(frozen=True)
class Row:
    """One labelled radiograph."""

    file: str  # path relative to the data folder, with forward slashes
    label: int  # 1 fractured, 0 normal
    group: str = ""  # images of one group never stand in different parts
    body_part: str = ""  # where the data names it; several are joined by "+"
    split: str = ""  # train, validation or test; empty until it is split
    study: str = ""  # what is judged as one, where that is not the image: its figures count once
    view: str = ""  # where the data names it: frontal, lateral, oblique; several are joined by "+"
    hardware: str = ""  # "yes" or "no" where the data says whether implants are to be seen


@dataclass(frozen=True)
class Catalogue:
    """The labelled radiographs of one folder."""

    root: Path  # of the data
    layout: str  # how the folder was read: a name of `layouts.LAYOUTS`
    rows: tuple[Row, ...]
    attribution: str = ""  # what whoever publishes a model trained on it must say, where the layout knows that

    def in_split(self, name: str) -> tuple[Row, ...]:
        """The rows of `train`, `validation` or `test`."""
        return tuple(row for row in self.rows if row.split == name)

    def with_rows(self, rows: Iterable[Row]) -> "Catalogue":
        return replace(self, rows=tuple(rows))

    def path(self, row: Row) -> Path:
        return self.root / row.file

    def describe(self) -> str:
        """One line: how many images, fractured ones, and groups."""
        fractured = sum(row.label for row in self.rows)
        groups = len({row.group for row in self.rows})
        return f"{len(self.rows)} images, {fractured} fractured, {groups} groups ({self.layout})"


def write_catalogue(catalogue: Catalogue, path: Path) -> None:
    """Write the rows as CSV, whole or not at all."""
    names = [field.name for field in fields(Row)]
    columns = [_COLUMNS.get(name, name) for name in names]
    write_csv(path, columns, ([getattr(row, name) for name in names] for row in catalogue.rows))


def _row(values: dict[str, Any]) -> Row:
    return Row(**{**values, "label": int(values["label"])})


def read_catalogue(path: Path, root: Path, layout: str) -> Catalogue:
    """Read what `write_catalogue` wrote.

    Raises:
        DatasetError: no such file, or not such a file.
    """
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            names = [field.name for field in fields(Row)]
            rows = [_row({name: line[_COLUMNS.get(name, name)] for name in names}) for line in csv.DictReader(stream)]
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise DatasetError(f"{path} is no catalogue ({error}); train the run again") from error
    return Catalogue(root, layout, tuple(rows))

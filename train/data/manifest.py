"""A CSV manifest: one line per radiograph."""

import csv
from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath

from osteolite.edge.errors import DatasetError
from osteolite.edge.labels import label_of_folder

from .catalogue import Catalogue, Row
from .class_folders import split_of_name

NAME = "manifest.csv"  # name of the manifest that is read when a folder is given
_HARDWARE = {"": "", "yes": "yes", "1": "yes", "true": "yes", "no": "no", "0": "no", "false": "no"}


def _manifest(path: Path) -> Path:
    return path / NAME if path.is_dir() else path


def detect_manifest(path: Path) -> bool:
    return _manifest(path).is_file()


def read_manifest(path: Path) -> Catalogue:
    """Read a manifest, or the manifest of a folder.

    Columns, in any order; others are ignored:
        file: path of the image, relative to the manifest's folder and inside it. Lines with the same file are
            copies of one image.
        label, or class: 0 or 1, or a usual name of the class.
        split, or part (optional): train, validation or test, in the usual spellings.
        group (optional): images of one group stay in one split. Default: the study, else the file.
        body_part, view, hardware (yes or no), study (optional): see `catalogue.Row`.
        root (optional, the same in all lines): the folder of the files if it is not the manifest's own; absolute,
            or relative to the manifest's folder.

    Raises:
        DatasetError: a column is missing or a line is wrong; the message names it.
    """
    path = _manifest(path)
    root, rows = "", []
    for line, values in _lines(path):
        try:
            rows.append(_row(values))
            if values.get("root", "") != root and len(rows) > 1:
                raise DatasetError("root differs from the lines above; all lines must have the same root")
            root = values.get("root", "")
        except DatasetError as error:
            raise DatasetError(f"{path}, line {line}: {error}") from error
    folder = path.parent / root
    if not folder.is_dir():
        raise DatasetError(f"{path}: the root {root} is not a folder; correct the column root")
    return Catalogue(folder, "manifest", tuple(rows))


def _lines(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream, restkey="", restval="")
            columns = reader.fieldnames or ()
            if "file" not in columns or not {"label", "class"} & set(columns):
                raise DatasetError(
                    f"{path} has the columns {', '.join(columns) or '(none)'}; a manifest needs the columns "
                    "file and label (or class), separated by commas"
                )
            for values in reader:
                yield reader.line_num, {n: text if n == "file" else text.strip() for n, text in values.items() if n}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"{path} cannot be read as CSV in UTF-8 ({error}); export it again") from error


def _row(values: dict[str, str]) -> Row:
    file = _inside(values["file"])
    name = values.get("label") or values.get("class", "")
    label = label_of_folder(name)
    if label is None:
        raise DatasetError(f"label is {name!r}; use 0, 1 or a usual name of a class, such as fractured or normal")
    split_name = values.get("split") or values.get("part", "")
    split = split_of_name(split_name) if split_name else ""
    if split is None:
        raise DatasetError(f"split is {split_name!r}; use train, validation or test, or leave it empty in all lines")
    hardware = _HARDWARE.get(values.get("hardware", "").lower())
    if hardware is None:
        raise DatasetError(f"hardware is {values['hardware']!r}; use yes, no or leave it empty")
    study = values.get("study", "")
    body_part, view = (values.get(name, "").lower() for name in ("body_part", "view"))
    return Row(file, label, values.get("group") or study or file, body_part, split, study, view, hardware)


def _inside(file: str) -> str:
    windows = PureWindowsPath(file)  # also recognises drives and backslashes, which POSIX paths do not
    if not file or "\0" in file or windows.anchor or ".." in windows.parts:
        raise DatasetError(f"file is {file!r}; use a path inside the manifest's folder or its root")
    return PurePosixPath(file).as_posix()

"""MURA: `{train,valid}/XR_PART/patientN/studyN_{positive,negative}/imageN.png`, and CSV lists of both.

Rajpurkar et al., "MURA: Large Dataset for Abnormality Detection in Musculoskeletal Radiographs",
Medical Imaging with Deep Learning (2018), arXiv:1712.06957. A positive study is an abnormal one:
most show a fracture or implants, some show something else.
"""

import csv
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from osteolite.edge.errors import DatasetError
from osteolite.edge.labels import label_of_folder

from .catalogue import Catalogue, Row
from .class_folders import images_below

_NAME = "MURA-v1.1"
_SPLITS = {"train": "train", "valid": "test"}
_DEPTH = 5  # components of a path from train or valid to the image


def _base(root: Path) -> Path:
    return root / _NAME if (root / _NAME).is_dir() else root


def detect_mura(root: Path) -> bool:
    return any((_base(root) / "train").glob("XR_*/patient*/study*"))


def read_mura(root: Path) -> Catalogue:
    """Read a MURA folder, or the folder that holds it.

    The folder `valid` is the only held-out set, and published results are measured on it; it is the test split
    here. The validation split is taken from `train`, by patient. A study is one unit of evaluation. The group is
    the patient, who has the same number in all body parts. If `*_image_paths.csv` and `*_labeled_studies.csv`
    exist, images and labels come from them, otherwise from the folders.

    Raises:
        DatasetError: a line of a list is malformed, or a study is neither positive nor negative.
    """
    base = _base(root)
    rows = [row for folder, split in _SPLITS.items() for row in _read(base, folder, split)]
    return Catalogue(base, "mura", tuple(rows))


def _read(base: Path, folder: str, split: str) -> Iterator[Row]:
    listing = base / f"{folder}_image_paths.csv"
    if listing.is_file():
        files = [_below(name, folder, _DEPTH, listing, line) for line, (name, *_) in _lines(listing)]
    else:
        files = [path.relative_to(base).as_posix() for path in images_below(base / folder)]
    labels = _labels(base, folder)
    for file in files:
        names = file.split("/")
        if len(names) != _DEPTH:
            raise DatasetError(
                f"{base / file} is not in a folder like {folder}/XR_PART/patientN/studyN_positive/; remove it"
            )
        study = "/".join(names[:-1])
        label = labels[study] if study in labels else label_of_folder(names[3].rpartition("_")[2])
        if label is None:
            raise DatasetError(f"{base / study} is neither listed nor named ..._positive or ..._negative; rename it")
        yield Row(file, label, names[2], names[1].removeprefix("XR_").lower(), split, study)


def _labels(base: Path, folder: str) -> dict[str, int]:
    listing = base / f"{folder}_labeled_studies.csv"
    labels = {}
    for line, values in _lines(listing) if listing.is_file() else ():
        study = _below(values[0], folder, _DEPTH - 1, listing, line)
        if len(values) != 2 or values[1].strip() not in ("0", "1"):
            raise DatasetError(f"{listing}, line {line}: it must hold a study and its label, 0 or 1; correct the line")
        labels[study] = int(values[1])
    return labels


def _lines(listing: Path) -> Iterator[tuple[int, list[str]]]:
    with listing.open(newline="", encoding="utf-8-sig") as stream:
        reader = csv.reader(stream)
        for values in reader:
            if values:
                yield reader.line_num, values


def _below(name: str, folder: str, depth: int, listing: Path, line: int) -> str:
    """Return the listed path from train or valid on, without the folders before it."""
    names = PurePosixPath(name.strip()).parts[-depth:]
    if len(names) != depth or names[0] != folder or ".." in names:
        raise DatasetError(
            f"{listing}, line {line}: {name!r} is not a path like {folder}/XR_PART/patientN/studyN_positive; "
            "correct the line"
        )
    return "/".join(names)

"""Layouts of labelled radiographs on disk: one entry in `LAYOUTS` per layout."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from osteolite.edge.errors import DatasetError

from .catalogue import Catalogue
from .class_folders import detect_classes, detect_splits, read_classes, read_splits
from .fracatlas import detect_fracatlas, read_fracatlas
from .manifest import NAME, detect_manifest, read_manifest
from .mura import detect_mura, read_mura


@dataclass(frozen=True)
class Layout:
    """One known layout of a data set."""

    name: str
    pattern: str  # description of the folder for error messages
    detect: Callable[[Path], bool]  # whether a folder has this layout
    read: Callable[[Path], Catalogue]


MANIFEST = Layout("manifest", f"FILE.csv or {NAME} with columns file and label", detect_manifest, read_manifest)

LAYOUTS = (
    Layout("fracatlas", "dataset.csv and images/{Fractured,Non_fractured}/", detect_fracatlas, read_fracatlas),
    Layout("mura", "{train,valid}/XR_PART/patientN/studyN_{positive,negative}/", detect_mura, read_mura),
    Layout("parts", "{train,val,test}/{fractured,normal}/", detect_splits, read_splits),
    Layout("classes", "{fractured,normal}/", detect_classes, read_classes),
    MANIFEST,
)


def read_dataset(data: str | Path) -> Catalogue:
    """Detect the layout of a folder, or read a manifest, and list the labelled images.

    Raises:
        DatasetError: the path does not exist, its layout is unknown or has a mistake, or a class has no images.
    """
    data = Path(data)
    if data.is_file() and data.suffix.lower() == ".csv":
        layout = MANIFEST
    elif data.is_dir():
        layout = _detect(data)
    else:
        raise DatasetError(
            f"{data} is neither a folder nor a .csv file; name a folder of labelled radiographs or a CSV manifest"
        )
    catalogue = layout.read(data)
    if {row.label for row in catalogue.rows} != {0, 1}:
        raise DatasetError(f"{data} ({layout.name} layout) must have images of both classes, fractured and normal")
    return catalogue


def _detect(folder: Path) -> Layout:
    for layout in LAYOUTS:
        if layout.detect(folder):
            return layout
    known = "; ".join(f"{layout.name}: {layout.pattern}" for layout in LAYOUTS)
    raise DatasetError(f"the layout of {folder} is unknown; use one of these: {known}")

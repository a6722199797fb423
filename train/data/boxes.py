"""Bounding boxes of fractures, for data that has them."""

import json
from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from osteolite.edge.errors import DatasetError

from .catalogue import Catalogue

# layout: COCO file of its boxes, relative to the data folder
BOX_FILES = {"fracatlas": "Annotations/COCO JSON/COCO_fracture_masks.json"}


@dataclass(frozen=True)
class Box:
    """A bounding box in fractions of the upright image's width and height, 0 to 1, independent of the image's size."""

    left: float
    top: float
    right: float
    bottom: float

    def contains(self, x: float, y: float) -> bool:
        """Return whether the point, in the same fractions, lies in the box or on its border."""
        return self.left <= x <= self.right and self.top <= y <= self.bottom


@dataclass(frozen=True)
class BoxedImage:
    """The boxes of one image."""

    width: int  # pixels of the image that the boxes were drawn on
    height: int  # pixels
    boxes: tuple[Box, ...]

    def fits(self, width: int, height: int) -> bool:
        """Return whether an image of this size has the same aspect ratio, up to one pixel of rounding on each side.

        >>> BoxedImage(2304, 2880, ()).fits(614, 768), BoxedImage(2304, 2880, ()).fits(768, 614)
        (True, False)
        """
        return abs(width * self.height - height * self.width) <= self.width + self.height


def has_boxes(catalogue: Catalogue) -> bool:
    """Return whether the box file of the catalogue's layout exists."""
    return catalogue.layout in BOX_FILES and (catalogue.root / BOX_FILES[catalogue.layout]).is_file()


def read_boxes(catalogue: Catalogue) -> dict[str, BoxedImage]:
    """Read the boxes of the catalogue's images, by image file. Images without a box are left out.

    Raises:
        DatasetError: the data has no boxes, or the box file is damaged.
    """
    path = catalogue.root / BOX_FILES.get(catalogue.layout, "")
    if not has_boxes(catalogue):
        only = f"only the layout {', '.join(BOX_FILES)} has boxes"
        reason = f"{path} does not exist" if catalogue.layout in BOX_FILES else only
        raise DatasetError(
            f"{catalogue.root} ({catalogue.layout} layout) has no fracture boxes: {reason}. The pointing game needs "
            "them; pass the images to draw heatmaps of instead"
        )
    try:
        found = _read_coco(path)
    except (OSError, ValueError, KeyError, TypeError, ZeroDivisionError) as error:
        raise DatasetError(f"{path} is not a valid COCO file of boxes ({error!r}); download it again") from error
    files = {Path(row.file).name: row.file for row in catalogue.rows}
    return {files[name]: boxed for name, boxed in found.items() if name in files}


def _read_coco(path: Path) -> dict[str, BoxedImage]:
    """Read a COCO file, whose boxes are in pixels of the image; see https://cocodataset.org/#format-data."""
    content = json.loads(path.read_text(encoding="utf-8"))
    images = {image["id"]: image for image in content["images"]}
    boxes: dict[Any, list[Box]] = defaultdict(list)
    for annotation in content["annotations"]:
        image = images[annotation["image_id"]]
        x, y, width, height = annotation["bbox"]
        box = Box(
            max(0.0, x / image["width"]),
            max(0.0, y / image["height"]),
            min(1.0, (x + width) / image["width"]),
            min(1.0, (y + height) / image["height"]),
        )
        boxes[image["id"]].append(box)
    return {
        image["file_name"]: BoxedImage(image["width"], image["height"], tuple(boxes[number]))
        for number, image in images.items()
        if number in boxes
    }


def covered_share(boxes: tuple[Box, ...]) -> float:
    """Return the share of the image's area inside at least one box: the chance that a random point hits one.

    >>> covered_share((Box(0, 0, 0.5, 0.5), Box(0.25, 0, 0.75, 0.5)))
    0.375
    """
    columns = sorted({edge for box in boxes for edge in (box.left, box.right)})
    rows = sorted({edge for box in boxes for edge in (box.top, box.bottom)})
    return sum(
        (right - left) * (bottom - top)
        for left, right in pairwise(columns)
        for top, bottom in pairwise(rows)
        if any(box.contains((left + right) / 2, (top + bottom) / 2) for box in boxes)
    )

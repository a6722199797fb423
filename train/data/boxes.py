"""Where the fractures lie, for data that has boxes drawn round them."""

import json
from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from osteolite.edge.errors import DatasetError

from .catalogue import Catalogue

# layout: the COCO file of its boxes, under the data folder
BOX_FILES = {"fracatlas": "Annotations/COCO JSON/COCO_fracture_masks.json"}


@dataclass(frozen=True)
class Box:
    """A rectangle in shares of the upright image's width and height, 0 to 1, so that it fits every size of it."""

    left: float
    top: float
    right: float
    bottom: float

    def contains(self, x: float, y: float) -> bool:
        """Whether the point, in the same shares, lies inside or on the border."""
        return self.left <= x <= self.right and self.top <= y <= self.bottom


@dataclass(frozen=True)
class BoxedImage:
    """The boxes of one image."""

    width: int  # of the image that the boxes were drawn on, pixels
    height: int
    boxes: tuple[Box, ...]

    def fits(self, width: int, height: int) -> bool:
        """Whether an image of this size has the same aspect ratio, but for a pixel lost to rounding on each side.

        >>> BoxedImage(2304, 2880, ()).fits(614, 768), BoxedImage(2304, 2880, ()).fits(768, 614)
        (True, False)
        """
        return abs(width * self.height - height * self.width) <= self.width + self.height


def has_boxes(catalogue: Catalogue) -> bool:
    """Whether a file of boxes lies where the catalogue's layout has it."""
    return catalogue.layout in BOX_FILES and (catalogue.root / BOX_FILES[catalogue.layout]).is_file()


def read_boxes(catalogue: Catalogue) -> dict[str, BoxedImage]:
    """The boxes of the catalogue's images, by the image's file; images without a box are left out.

    Raises:
        DatasetError: the data has no boxes, or their file is damaged.
    """
    path = catalogue.root / BOX_FILES.get(catalogue.layout, "")
    if not has_boxes(catalogue):
        looked = f"no {path}" if catalogue.layout in BOX_FILES else f"boxes are known for {', '.join(BOX_FILES)} alone"
        raise DatasetError(
            f"{catalogue.root} ({catalogue.layout} layout) has no fracture boxes ({looked}), so there is nothing to "
            "point at; name the images to draw maps of instead"
        )
    try:
        found = _read_coco(path)
    except (OSError, ValueError, KeyError, TypeError, ZeroDivisionError) as error:
        raise DatasetError(f"{path} is no COCO file of boxes ({error!r}); fetch it again from its source") from error
    files = {Path(row.file).name: row.file for row in catalogue.rows}
    return {files[name]: boxed for name, boxed in found.items() if name in files}


def _read_coco(path: Path) -> dict[str, BoxedImage]:
    """COCO counts pixels of the image's own size; see https://cocodataset.org/#format-data."""
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
    """The share of the image's area that lies in at least one box: what a random point hits.

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

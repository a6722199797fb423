import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from osteolite.edge.errors import DatasetError
from osteolite.edge.imaging.radiograph import read_radiograph
from osteolite.train.data.boxes import BOX_FILES, Box, BoxedImage, covered_share, read_boxes
from osteolite.train.data.catalogue import Catalogue, Row
from osteolite.train.data.layouts import read_dataset

EIGHTHS = st.integers(0, 8)


@st.composite
def boxes(draw: st.DrawFn) -> tuple[Box, ...]:
    """Draw boxes whose edges lie on eighths."""
    found = []
    for _ in range(draw(st.integers(1, 5))):
        left, right = sorted(draw(st.tuples(EIGHTHS, EIGHTHS)))
        top, bottom = sorted(draw(st.tuples(EIGHTHS, EIGHTHS)))
        found.append(Box(left / 8, top / 8, right / 8, bottom / 8))
    return tuple(found)


@given(boxes())
def test_the_covered_share_equals_that_of_the_cells_inside(found: tuple[Box, ...]) -> None:
    centres = (np.arange(8) + 0.5) / 8
    cells = [any(box.contains(x, y) for box in found) for x in centres for y in centres]
    assert covered_share(found) == pytest.approx(np.mean(cells))


@given(st.integers(300, 4000), st.integers(300, 4000), st.floats(0.1, 1))
def test_a_scaled_image_fits_its_boxes_and_a_turned_one_does_not(width: int, height: int, scale: float) -> None:
    boxed = BoxedImage(width, height, ())
    assert boxed.fits(round(width * scale), round(height * scale))
    if max(width, height) > 1.1 * min(width, height):
        assert not boxed.fits(round(height * scale), round(width * scale))


def test_every_fractured_image_of_fracatlas_has_fitting_boxes(shared_data: Path) -> None:
    catalogue = read_dataset(shared_data / "fracatlas")
    fractured = {row.file: row for row in catalogue.rows if row.label == 1}
    found = read_boxes(catalogue)
    assert found.keys() == fractured.keys()
    # two downscaled images, one with an EXIF rotation, one as published
    for name in ("IMG0000019", "IMG0000025", "IMG0002628", "IMG0000466"):
        file = f"images/Fractured/{name}.jpg"
        image = read_radiograph(catalogue.path(fractured[file]))
        assert found[file].fits(*image.size)
    for boxed in found.values():
        for box in boxed.boxes:
            assert 0 <= box.left < box.right <= 1
            assert 0 <= box.top < box.bottom <= 1


def catalogue(root: Path, layout: str = "fracatlas") -> Catalogue:
    return Catalogue(root, layout, (Row("images/a.png", 1, split="test"),))


def coco(root: Path, text: str) -> None:
    path = root / BOX_FILES["fracatlas"]
    path.parent.mkdir(parents=True)
    path.write_text(text)


def test_boxes_are_fractions_of_the_image_they_were_drawn_on(tmp_path: Path) -> None:
    images = [{"id": 7, "file_name": "a.png", "width": 200, "height": 100}]
    annotations = [{"image_id": 7, "bbox": [20, 10, 60, 50]}, {"image_id": 7, "bbox": [-1, 0, 300, 100]}]
    coco(tmp_path, json.dumps({"images": images, "annotations": annotations}))
    expected = BoxedImage(200, 100, (Box(0.1, 0.1, 0.4, 0.6), Box(0, 0, 1, 1)))
    assert read_boxes(catalogue(tmp_path)) == {"images/a.png": expected}


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"images": [], "annotations": [{"image_id": 1, "bbox": []}]}'])
def test_a_damaged_box_file_is_refused_by_name(tmp_path: Path, text: str) -> None:
    coco(tmp_path, text)
    with pytest.raises(DatasetError, match=r"COCO_fracture_masks\.json is not a valid COCO file"):
        read_boxes(catalogue(tmp_path))


@pytest.mark.parametrize("layout", ["fracatlas", "classes"])
def test_data_without_boxes_says_what_to_do(tmp_path: Path, layout: str) -> None:
    with pytest.raises(DatasetError, match=r"no fracture boxes.*pass the images"):
        read_boxes(catalogue(tmp_path, layout))

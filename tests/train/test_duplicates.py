import csv
import io
from itertools import pairwise
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageEnhance

from osteolite.edge.preprocess import PreprocessingSpec
from osteolite.train.cache import fitted_pixels
from osteolite.train.catalogue import Catalogue, Row
from osteolite.train.duplicates import merge_groups, near_duplicates
from osteolite.train.layouts import read_dataset
from osteolite.train.phantoms import draw_phantom


def recompressed(image: Image.Image) -> Image.Image:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=50)
    return Image.open(stream)


def test_a_copy_is_found_and_a_stranger_is_not() -> None:
    image = draw_phantom(True, np.random.default_rng(1))
    stranger = image.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    images = [image, stranger, recompressed(image), ImageEnhance.Brightness(image).enhance(1.1)]
    found = near_duplicates(np.stack([np.asarray(i) for i in images]))
    assert set(found) == {(0, 2), (0, 3), (2, 3)}


@given(st.lists(st.tuples(st.integers(0, 29), st.integers(0, 29)), max_size=40))
def test_groups_joined_by_pairs_become_one(pairs: list[tuple[int, int]]) -> None:
    rows = tuple(Row(str(i), 0, f"g{i // 3}") for i in range(30))
    merged = merge_groups(Catalogue(Path(), "", rows), pairs).rows
    for i, j in pairs:
        assert merged[i].group == merged[j].group
    for i in range(0, 30, 3):  # what was one group stays one
        assert len({row.group for row in merged[i : i + 3]}) == 1
    if not pairs:
        assert merged == rows


def test_known_near_duplicates_of_fracatlas_are_found(shared_data: Path, tmp_path: Path) -> None:
    root = shared_data / "fracatlas"
    catalogue, pixels, _ = fitted_pixels(read_dataset(root), PreprocessingSpec(112, 112), tmp_path)
    with (root / "manifest.csv").open(newline="") as stream:
        known = {f"images/{line['file']}": line["near_dup_group"] for line in csv.DictReader(stream)}
    groups = [known[row.file] for row in catalogue.rows]
    order = sorted(range(len(groups)), key=lambda i: (groups[i], i))
    truth = {(a, b) for a, b in pairwise(order) if groups[a] == groups[b]}
    found = set(near_duplicates(pixels))
    assert len(truth & found) >= 0.9 * len(truth)
    assert len(found) <= 2 * len(truth)

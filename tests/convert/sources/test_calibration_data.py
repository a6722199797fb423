"""The choice of calibration images."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from osteolite.convert.sources.calibration_data import draw_by_body_part, input_tensors
from osteolite.edge.errors import UnreadableImage
from osteolite.edge.preprocess import PreprocessingSpec
from osteolite.train.data.catalogue import Catalogue, Row


@given(
    st.dictionaries(st.sampled_from(["hand", "leg", "hip", ""]), st.integers(1, 60), min_size=1), st.integers(0, 150)
)
def test_each_body_part_is_drawn_in_proportion(sizes: dict[str, int], count: int) -> None:
    pool = [Row(f"{part}{i}", 1, body_part=part) for part, size in sizes.items() for i in range(size)]
    chosen = draw_by_body_part(pool, count, np.random.default_rng(0))
    assert len(set(chosen)) == len(chosen) == min(count, len(pool))
    found = Counter(row.body_part for row in chosen)
    for part, size in sizes.items():
        assert abs(found[part] - len(chosen) * size / len(pool)) <= len(sizes) / 2 + 1


def test_a_missing_image_is_named_in_the_error(tmp_path: Path) -> None:
    catalogue = Catalogue(tmp_path, "class_folders", (Row("fractured/gone.png", 1, split="train"),))
    with pytest.raises(UnreadableImage, match=r"fractured/gone\.png: cannot be opened: No such file"):
        input_tensors(catalogue, catalogue.rows, PreprocessingSpec())

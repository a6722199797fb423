"""Which training images quantisation sees."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from osteolite.convert.sources.calibration_data import _by_body_part, tensors
from osteolite.edge.errors import UnreadableImage
from osteolite.edge.preprocess import PreprocessingSpec
from osteolite.train.data.catalogue import Catalogue, Row


@given(
    st.dictionaries(st.sampled_from(["hand", "leg", "hip", ""]), st.integers(1, 60), min_size=1), st.integers(0, 150)
)
def test_every_body_part_has_its_share(sizes: dict[str, int], count: int) -> None:
    pool = [Row(f"{part}{i}", 1, body_part=part) for part, size in sizes.items() for i in range(size)]
    chosen = _by_body_part(pool, count, np.random.default_rng(0))
    assert len(set(chosen)) == len(chosen) == min(count, len(pool))
    found = Counter(row.body_part for row in chosen)
    for part, size in sizes.items():
        assert abs(found[part] - len(chosen) * size / len(pool)) <= len(sizes) / 2 + 1


def test_an_image_that_is_gone_is_named(tmp_path: Path) -> None:
    catalogue = Catalogue(tmp_path, "class_folders", (Row("fractured/gone.png", 1, split="train"),))
    with pytest.raises(UnreadableImage, match=r"fractured/gone\.png: cannot be opened: No such file"):
        tensors(catalogue, catalogue.rows, PreprocessingSpec())

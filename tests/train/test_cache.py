from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from osteolite.edge.errors import DatasetError
from osteolite.edge.preprocess import PreprocessingSpec
from osteolite.train import cache
from osteolite.train.cache import fitted_pixels
from osteolite.train.catalogue import Catalogue
from osteolite.train.layouts import read_dataset

SPEC = PreprocessingSpec(16, 16)


@pytest.fixture
def dataset(tmp_path: Path) -> Catalogue:
    for label in ("fractured", "normal"):
        (tmp_path / "data" / label).mkdir(parents=True)
        for i in range(3):
            Image.new("L", (20, 30), 40 * i).save(tmp_path / "data" / label / f"{i}.png")
    (tmp_path / "data" / "normal" / "broken.png").write_bytes(b"not an image")
    return read_dataset(tmp_path / "data")


def test_unreadable_files_are_left_out_by_name(dataset: Catalogue, tmp_path: Path) -> None:
    kept, pixels, unreadable = fitted_pixels(dataset, SPEC, tmp_path / "cache")
    assert list(unreadable) == ["normal/broken.png"]
    assert "not an image" in unreadable["normal/broken.png"]
    assert [row.file for row in kept.rows] == [f"{c}/{i}.png" for c in ("fractured", "normal") for i in range(3)]
    assert pixels[: len(kept.rows), 8, 8].tolist() == [0, 40, 80, 0, 40, 80]


def test_no_file_is_decoded_twice(dataset: Catalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = fitted_pixels(dataset, SPEC, tmp_path / "cache")
    monkeypatch.setattr(cache, "read_radiograph", None)  # a second decode would fail
    second = fitted_pixels(dataset, SPEC, tmp_path / "cache")
    assert first[0] == second[0]
    assert first[2] == second[2]
    np.testing.assert_array_equal(first[1], second[1])


def test_a_changed_file_or_spec_is_read_anew(dataset: Catalogue, tmp_path: Path) -> None:
    fitted_pixels(dataset, SPEC, tmp_path / "cache")
    Image.new("L", (21, 30), 200).save(dataset.root / "fractured" / "0.png")
    _, pixels, _ = fitted_pixels(dataset, SPEC, tmp_path / "cache")
    assert pixels[0, 8, 8] == 200
    _, pixels, _ = fitted_pixels(dataset, PreprocessingSpec(8, 8), tmp_path / "cache")
    assert pixels.shape[1:] == (8, 8)


def test_a_folder_without_one_readable_image_is_refused(tmp_path: Path) -> None:
    for label in ("fractured", "normal"):
        (tmp_path / "data" / label).mkdir(parents=True)
        (tmp_path / "data" / label / "x.png").write_bytes(b"")
    with pytest.raises(DatasetError, match="none of the 2 images"):
        fitted_pixels(read_dataset(tmp_path / "data"), SPEC, tmp_path / "cache")

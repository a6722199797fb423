import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from osteolite.edge.errors import DatasetError
from osteolite.edge.imaging.radiograph import read_radiograph
from osteolite.edge.preprocess import PreprocessingSpec
from osteolite.train.data import pixel_cache
from osteolite.train.data.catalogue import Catalogue
from osteolite.train.data.layouts import read_dataset
from osteolite.train.data.pixel_cache import DISC, FileFacts, read_images

SPEC = PreprocessingSpec(16, 16)


@pytest.fixture
def dataset(tmp_path: Path) -> Catalogue:
    for label in ("fractured", "normal"):
        (tmp_path / "data" / label).mkdir(parents=True)
        for i in range(3):
            Image.new("L", (20, 30), 40 * i).save(tmp_path / "data" / label / f"{i}.png")
    (tmp_path / "data" / "normal" / "broken.png").write_bytes(b"not an image")
    return read_dataset(tmp_path / "data")


def test_unreadable_files_are_left_out_with_a_reason(dataset: Catalogue, tmp_path: Path) -> None:
    images = read_images(dataset, SPEC, tmp_path / "cache")
    assert list(images.unreadable) == ["normal/broken.png"]
    assert "not an image" in images.unreadable["normal/broken.png"]
    assert [row.file for row in images.catalogue.rows] == [
        f"{c}/{i}.png" for c in ("fractured", "normal") for i in range(3)
    ]
    assert images.pixels.shape == (6, 16, 16)
    assert images.squares.shape == (6, 2, DISC, DISC)
    assert images.pixels[:, 8, 8].tolist() == images.squares[:, 0, 8, 8].tolist() == [0, 40, 80, 0, 40, 80]


def test_facts_describe_the_file(dataset: Catalogue, tmp_path: Path) -> None:
    Image.new("RGB", (21, 31)).save(dataset.root / "fractured" / "0.png")
    facts = read_images(dataset, SPEC, tmp_path / "cache").facts
    content = (dataset.root / "fractured" / "0.png").read_bytes()
    assert facts[0] == FileFacts(hashlib.sha256(content).hexdigest(), len(content), 21, 31, "RGB")
    assert facts[1].mode == "L"


def test_a_second_call_reads_the_cache_and_no_image(dataset: Catalogue, tmp_path: Path) -> None:
    first = read_images(dataset, SPEC, tmp_path / "cache")
    for row in dataset.rows:  # same size and time, other content: decoding would fail
        status = dataset.path(row).stat()
        dataset.path(row).write_bytes(b"x" * status.st_size)
        os.utime(dataset.path(row), ns=(status.st_atime_ns, status.st_mtime_ns))
    second = read_images(dataset, SPEC, tmp_path / "cache")
    assert (first.catalogue, first.facts, first.unreadable) == (second.catalogue, second.facts, second.unreadable)
    np.testing.assert_array_equal(first.pixels, second.pixels)
    np.testing.assert_array_equal(first.squares, second.squares)


def test_a_file_of_several_rows_is_decoded_once(
    dataset: Catalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded = []

    def read(path: Path, spec: PreprocessingSpec) -> Image.Image:
        decoded.append(path.name)
        return read_radiograph(path, spec)

    monkeypatch.setattr(pixel_cache, "read_radiograph", read)
    rows = dataset.rows  # the last one is the broken file
    images = read_images(dataset.with_rows([rows[2], rows[-1], rows[1], rows[2], rows[-1]]), SPEC, tmp_path / "cache")
    assert sorted(decoded) == ["1.png", "2.png", "broken.png"]
    assert images.catalogue.rows == (rows[2], rows[1], rows[2])
    assert images.pixels[:, 8, 8].tolist() == images.squares[:, 0, 8, 8].tolist() == [80, 40, 80]
    assert images.facts[0] == images.facts[2] != images.facts[1]


def test_a_changed_file_or_spec_rebuilds_the_cache(dataset: Catalogue, tmp_path: Path) -> None:
    read_images(dataset, SPEC, tmp_path / "cache")
    Image.new("L", (21, 30), 200).save(dataset.root / "fractured" / "0.png")
    assert read_images(dataset, SPEC, tmp_path / "cache").pixels[0, 8, 8] == 200
    assert read_images(dataset, PreprocessingSpec(8, 8), tmp_path / "cache").pixels.shape[1:] == (8, 8)


def test_a_deleted_file_is_unreadable(dataset: Catalogue, tmp_path: Path) -> None:
    (dataset.root / "fractured" / "1.png").unlink()
    images = read_images(dataset, SPEC, tmp_path / "cache")
    assert set(images.unreadable) == {"fractured/1.png", "normal/broken.png"}


def test_a_folder_without_readable_images_is_refused(tmp_path: Path) -> None:
    for label in ("fractured", "normal"):
        (tmp_path / "data" / label).mkdir(parents=True)
        (tmp_path / "data" / label / "x.png").write_bytes(b"")
    with pytest.raises(DatasetError, match="none of the 2 images"):
        read_images(read_dataset(tmp_path / "data"), SPEC, tmp_path / "cache")

"""What a model sees in training is, byte for byte, what the file's own path makes on the device."""

from pathlib import Path

import numpy as np
import pytest

from osteolite.edge.preprocess import PreprocessingSpec, preprocess
from osteolite.edge.radiograph import read_radiograph
from osteolite.train.cache import fitted_pixels
from osteolite.train.catalogue import Catalogue
from osteolite.train.layouts import read_dataset
from osteolite.train.phantoms import write_phantoms
from osteolite.train.pipeline import evaluation_batches, training_batches
from osteolite.train.recipe import Augmentation, load_recipe
from osteolite.train.splits import split


def assert_same_bytes(catalogue: Catalogue, spec: PreprocessingSpec, folder: Path, part: str) -> int:
    catalogue, pixels, _ = fitted_pixels(catalogue, spec, folder)
    catalogue = split(catalogue, 0.1, 0.2, 1)
    chosen = np.array([i for i, row in enumerate(catalogue.rows) if row.part == part])
    count = 0
    for batch in evaluation_batches(pixels, chosen, spec, 32):
        for tensor in batch.numpy():
            row = catalogue.rows[chosen[count]]
            device = preprocess(read_radiograph(catalogue.path(row), spec), spec)
            assert device.tobytes() == tensor[None].tobytes(), row.file
            count += 1
    return count


@pytest.mark.parametrize(
    "spec",
    [
        PreprocessingSpec(64, 64),
        PreprocessingSpec(64, 48, aspect="squeeze", interpolation="lanczos", channels="grey"),
        PreprocessingSpec(50, 70, interpolation="bicubic", mean=123.675, std=58.395),
    ],
)
def test_phantoms(tmp_path: Path, spec: PreprocessingSpec) -> None:
    catalogue = read_dataset(write_phantoms(tmp_path / "data", 100, 1))
    assert assert_same_bytes(catalogue, spec, tmp_path / "cache", "test") == 20


def test_every_real_radiograph_of_a_test_part(tmp_path: Path, shared_data: Path) -> None:
    spec = load_recipe("fracatlas_mobilenetv2").preprocessing
    assert assert_same_bytes(read_dataset(shared_data / "fracatlas"), spec, tmp_path, "test") > 500


def test_full_size_radiographs_decoded_at_reduced_scale(tmp_path: Path, shared_data: Path) -> None:
    spec = load_recipe("fracatlas_mobilenetv2").preprocessing
    catalogue = read_dataset(shared_data / "fracatlas" / "fullres")
    _, pixels, _ = fitted_pixels(catalogue, spec, tmp_path)
    batches = evaluation_batches(pixels, np.arange(len(catalogue.rows)), spec, 4)
    tensors = [tensor for batch in batches for tensor in batch.numpy()]
    for row, tensor in zip(catalogue.rows, tensors, strict=True):
        assert preprocess(read_radiograph(catalogue.path(row), spec), spec).tobytes() == tensor[None].tobytes()


def test_without_augmentation_training_sees_the_same_too() -> None:
    spec = PreprocessingSpec(8, 8)
    pixels = np.random.default_rng(0).integers(0, 256, (10, 8, 8), np.uint8)
    labels = np.arange(10) % 2
    batches = training_batches(
        pixels, labels, np.ones(10, np.float32), spec, Augmentation(), 4, lambda: np.random.default_rng(3)
    )
    order = np.random.default_rng(3).permutation(10)
    tensors = np.concatenate([batch.numpy() for batch, _, _ in batches])
    given = np.concatenate([label.numpy()[:, 0] for _, label, _ in batches])
    expected = np.repeat(((pixels[order].astype(np.float32) - 127.5) / 127.5)[..., None], 3, 3)
    np.testing.assert_allclose(tensors, expected, atol=1e-6)
    assert given.tolist() == labels[order].tolist()

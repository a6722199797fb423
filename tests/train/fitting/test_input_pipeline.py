"""The input in training and evaluation equals, byte for byte, the input on the device."""

from pathlib import Path

import numpy as np
import pytest

from osteolite.edge.imaging.radiograph import read_radiograph
from osteolite.edge.preprocess import PreprocessingSpec, preprocess
from osteolite.train.data.catalogue import Catalogue
from osteolite.train.data.layouts import read_dataset
from osteolite.train.data.phantoms import write_phantoms
from osteolite.train.data.pixel_cache import read_images
from osteolite.train.data.splits import split_by_group
from osteolite.train.fitting.input_pipeline import Examples, evaluation_batches, training_batches
from osteolite.train.recipe import Augmentation, load_recipe


def assert_same_bytes(catalogue: Catalogue, spec: PreprocessingSpec, folder: Path, split: str) -> int:
    images = read_images(catalogue, spec, folder)
    catalogue = split_by_group(images.catalogue, 0.1, 0.2, 1)
    chosen = np.array([i for i, row in enumerate(catalogue.rows) if row.split == split])
    count = 0
    for batch in evaluation_batches(images.pixels, chosen, spec, 32):
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
def test_phantoms_give_the_bytes_of_the_device(tmp_path: Path, spec: PreprocessingSpec) -> None:
    catalogue = read_dataset(write_phantoms(tmp_path / "data", 100, 1))
    assert assert_same_bytes(catalogue, spec, tmp_path / "cache", "test") == 20


@pytest.mark.slow
def test_every_radiograph_of_a_test_split_gives_the_bytes_of_the_device(tmp_path: Path, shared_data: Path) -> None:
    spec = load_recipe("fracatlas_mobilenetv2").preprocessing
    assert assert_same_bytes(read_dataset(shared_data / "fracatlas"), spec, tmp_path, "test") > 500


def test_full_size_radiographs_decoded_at_reduced_scale_give_the_bytes_of_the_device(
    tmp_path: Path, shared_data: Path
) -> None:
    spec = load_recipe("fracatlas_mobilenetv2").preprocessing
    catalogue = read_dataset(shared_data / "fracatlas" / "fullres")
    pixels = read_images(catalogue, spec, tmp_path).pixels
    batches = evaluation_batches(pixels, np.arange(len(catalogue.rows)), spec, 4)
    tensors = [tensor for batch in batches for tensor in batch.numpy()]
    for row, tensor in zip(catalogue.rows, tensors, strict=True):
        assert preprocess(read_radiograph(catalogue.path(row), spec), spec).tobytes() == tensor[None].tobytes()


@pytest.mark.parametrize("augmentation", [Augmentation(), Augmentation(contrast=1e-6)])
def test_training_input_differs_only_by_the_augmentation(augmentation: Augmentation) -> None:
    spec = PreprocessingSpec(8, 8, mean=100.0, std=50.0)
    pixels = np.random.default_rng(0).integers(0, 256, (10, 8, 8), np.uint8)
    targets = np.eye(10, dtype=np.float32)
    examples = Examples(pixels, targets, np.ones(10, np.float32))
    batches = training_batches(examples, spec, augmentation, 4, lambda: np.random.default_rng(3))
    order = np.random.default_rng(3).permutation(10)
    found = [(tensor.numpy(), target.numpy()) for tensor, target, _ in batches]
    expected = np.repeat(((pixels[order].astype(np.float32) - 100) / 50)[..., None], 3, 3)
    np.testing.assert_allclose(np.concatenate([tensor for tensor, _ in found]), expected, atol=1e-4)
    np.testing.assert_array_equal(np.concatenate([target for _, target in found]), targets[order])


def test_autotune_is_off_so_that_no_pass_waits_for_its_thread() -> None:
    spec, pixels = PreprocessingSpec(8, 8), np.zeros((4, 8, 8), np.uint8)
    ones = np.ones((4, 1), np.float32)
    fed = training_batches(Examples(pixels, ones, ones[:, 0]), spec, Augmentation(), 2, np.random.default_rng)
    for dataset in (fed, evaluation_batches(pixels, np.arange(4), spec, 2)):
        assert dataset.options().autotune.enabled is False

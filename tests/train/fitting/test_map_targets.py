"""Targets of the fracture map in training batches."""

import numpy as np
import pytest

from osteolite.edge.preprocess import PreprocessingSpec
from osteolite.train.fitting.input_pipeline import Examples, training_batches
from osteolite.train.keras import tf
from osteolite.train.networks.fracture_map import STRIDE
from osteolite.train.recipe import Augmentation

SPEC = PreprocessingSpec(64, 96, channels="grey")


@pytest.mark.parametrize("changes", [Augmentation(), Augmentation(flip=True, rotation=40, zoom=0.3, brightness=0.1)])
def test_targets_move_with_the_image(changes: Augmentation) -> None:
    random = np.random.default_rng(3)
    pixels, coverage = np.zeros((40, 96, 64), np.uint8), np.zeros((40, 24, 16), np.uint8)
    for index in range(40):
        row, column = random.integers(6, 16), random.integers(5, 10)
        pixels[index, 4 * row : 4 * row + 8, 4 * column : 4 * column + 8] = 255
        coverage[index, row : row + 2, column : column + 2] = 255
    ones = np.ones((40, 1), np.float32)
    examples = Examples(pixels, ones, ones[:, 0], coverage)
    batches = training_batches(examples, SPEC, changes, 8, lambda: np.random.default_rng(1))
    seen = 0
    for tensors, (labels, targets), (weights, factors) in batches:
        assert labels.shape == (8, 1)
        assert weights.numpy().tolist() == factors.numpy().tolist() == [1.0] * 8
        shown = tf.nn.avg_pool2d((tensors + 1) / 2, STRIDE, STRIDE, "VALID").numpy()
        for picture, target in zip(shown[..., 0], targets.numpy()[..., 0], strict=True):
            assert target.max() == pytest.approx(1)
            brightest = np.unravel_index(picture.argmax(), picture.shape)
            assert target[brightest] > 0.7
            seen += 1
    assert seen == 40


def test_an_image_whose_fracture_is_cropped_away_has_no_label_weight() -> None:
    pixels, coverage = np.zeros((60, 96, 64), np.uint8), np.zeros((60, 24, 16), np.uint8)
    coverage[:30, :3, :3] = 255  # in a corner
    ones = np.ones((60, 1), np.float32)
    examples = Examples(pixels, ones, 2 * ones[:, 0], coverage)
    batches = training_batches(examples, SPEC, Augmentation(crop=0.6), 60, lambda: np.random.default_rng(1))
    ((_, (_, targets), (weights, factors)),) = list(batches)
    shown = targets.numpy().any((1, 2, 3))
    assert set(weights.numpy()) == {0.0, 2.0}
    assert (weights.numpy() == 2).sum() >= 30  # all images without a box
    assert 3 < (weights.numpy() == 0).sum() < 30
    assert not (shown & (weights.numpy() == 0) & (targets.numpy().sum((1, 2, 3)) == 0)).any()
    assert (factors.numpy() == 1).all()

"""Augmentation of images and box coverage."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from osteolite.train.fitting.augmentation import augment
from osteolite.train.keras import tf
from osteolite.train.recipe import Augmentation

Array = np.ndarray[Any, Any]
ALL = Augmentation(
    flip=True, rotation=20, turns=0.5, zoom=0.2, crop=0.4, brightness=0.2, contrast=0.3, saturation=0.3, hue=0.1
)  # fmt: skip


def pictures(count: int = 6) -> Array:
    return np.random.default_rng(0).random((count, 32, 32, 1), np.float32)


def run(images: Array, changes: Augmentation, seed: tuple[int, int] = (1, 2)) -> Array:
    changed, _, _ = augment(tf.constant(images), changes, tf.constant(seed, tf.int64), tf.constant(images))
    return np.asarray(changed)


def test_an_empty_augmentation_changes_nothing() -> None:
    np.testing.assert_allclose(run(pictures(), Augmentation()), pictures(), atol=1e-6)


@settings(max_examples=20)
@given(seed=st.tuples(st.integers(0, 2**31 - 1), st.integers(0, 2**31 - 1)))
def test_values_stay_between_black_and_white_and_the_seed_decides(seed: tuple[int, int]) -> None:
    changed = run(pictures(), ALL, seed)
    assert changed.shape == pictures().shape
    assert changed.min() >= 0
    assert changed.max() <= 1
    np.testing.assert_array_equal(changed, run(pictures(), ALL, seed))


def test_flip_mirrors_some_images_and_leaves_the_others() -> None:
    images = pictures(32)
    changed = run(images, Augmentation(flip=True))
    mirrored = [np.allclose(a, b[:, ::-1], atol=1e-5) for a, b in zip(changed, images, strict=True)]
    same = [np.allclose(a, b, atol=1e-5) for a, b in zip(changed, images, strict=True)]
    assert all(m or s for m, s in zip(mirrored, same, strict=True))
    assert 4 < sum(mirrored) < 28


def test_rotation_turns_about_the_centre() -> None:
    image = np.zeros((1, 33, 33, 1), np.float32)
    image[0, 16, 16], image[0, 16, 30] = 1, 1
    changed = run(np.repeat(image, 16, 0), Augmentation(rotation=90))
    assert (changed[:, 16, 16, 0] > 0.95).all()
    assert len({int(np.argmax(c[..., 0] * (np.arange(1089).reshape(33, 33) != 544))) for c in changed}) > 8
    assert (changed[:, :, :, 0].sum((1, 2)) > 1.75).all()  # the second dot is still in the image


def test_zoom_enlarges_and_reduces() -> None:
    image = np.zeros((32, 64, 64, 1), np.float32)
    image[:, 16:48, 16:48] = 1
    sizes = (run(image, Augmentation(zoom=0.3)) > 0.5).sum((1, 2, 3)) / 32**2
    assert sizes.min() < 0.8
    assert sizes.max() > 1.2
    assert sizes.min() > 0.7**2 - 0.05
    assert sizes.max() < 1.3**2 + 0.05


@pytest.mark.parametrize(
    ("changes", "statistic"),
    [(Augmentation(brightness=0.2), np.mean), (Augmentation(contrast=0.5), np.std)],
)
def test_brightness_and_contrast_vary_from_image_to_image(
    changes: Augmentation, statistic: Callable[[Array], Any]
) -> None:
    images = np.repeat(pictures(1) * 0.4, 16, 0).astype(np.float32)
    found = [statistic(image) for image in run(images, changes)]
    assert min(found) < statistic(images[0]) < max(found)


def test_hue_and_saturation_cannot_change_grey() -> None:
    np.testing.assert_allclose(run(pictures(), Augmentation(saturation=0.5, hue=0.2)), pictures(), atol=1e-5)


def test_a_crop_enlarges_a_region_of_the_image() -> None:
    """Grey levels rise to the right and downwards. Each crop rises more slowly and stays within the old values."""
    rows, columns = np.mgrid[:64, :64].astype(np.float32)
    images = np.repeat(((rows + 2 * columns) / 200)[None, :, :, None], 64, 0)
    changed = run(images, Augmentation(crop=0.5))[:, 1:-1, 1:-1, 0]  # the border may hold half a pixel from outside
    across, down = np.diff(changed, axis=2), np.diff(changed, axis=1)
    np.testing.assert_allclose(across.mean((1, 2)), 2 * down.mean((1, 2)), rtol=0.02)
    steps = across.mean((1, 2)) * 200 / 2  # pixels of the image to a pixel of the crop
    assert 0.49 < steps.min() < 0.6
    assert 0.9 < steps.max() <= 1.001
    assert (across.std((1, 2)) < 1e-3).all()  # nothing from outside the image
    starts = changed[:, 0, 0] * 200
    assert starts.std() > 5


@pytest.mark.parametrize("crop", [0.0, 0.6])
def test_the_visible_share_is_that_of_the_coverage(crop: float) -> None:
    random = np.random.default_rng(2)
    coverage = np.zeros((64, 96, 96, 1), np.float32)
    for one in coverage[:60]:
        row, column = random.integers(0, 84, 2)
        one[row : row + 12, column : column + 12] = 1
    changes = Augmentation(flip=True, crop=crop)
    _, seen, share = augment(tf.constant(coverage), changes, tf.constant((3, 4), tf.int64), tf.constant(coverage))
    assert share.numpy()[60:].tolist() == [1.0] * 4
    np.testing.assert_array_equal(share.numpy()[:60] < 0.02, seen.numpy()[:60].sum((1, 2, 3)) < 6)
    if crop:
        assert 5 < (share.numpy() < 0.02).sum() < 50
        assert (share.numpy() > 0.98).sum() > 10
    else:
        np.testing.assert_allclose(share.numpy(), 1, rtol=1e-4)


def test_turns_rotate_some_images_by_quarter_turns_and_keep_all_of_the_image() -> None:
    """A square at the top of a portrait image moves to another edge, as far out as the shorter side allows."""
    image = np.zeros((1, 65, 33, 1), np.float32)
    image[0, 1:10, 12:21] = 1
    images = np.repeat(image, 64, 0)
    changed, _, share = augment(
        tf.constant(images), Augmentation(turns=0.6), tf.constant((1, 2), tf.int64), tf.constant(images)
    )
    places = [tuple(np.argwhere(one > 0.3).mean(0).round().astype(int).tolist()) for one in changed.numpy()[..., 0]]
    left, right, foot, top = (32, 2), (32, 30), (59, 16), (5, 16)
    found = {place: places.count(place) for place in sorted(set(places))}
    assert set(found) == {left, right, foot, top}
    assert 15 < found[top] < 37  # two fifths of 64
    assert min(found.values()) > 5
    np.testing.assert_allclose(share, 1, atol=0.2)  # few pixels say how large a square is

"""Random augmentation of training images as TensorFlow operations on a batch, with a seed for each step."""

import math
from collections.abc import Callable
from typing import Any

from ..keras import tf
from ..recipe import Augmentation

_LARGEST_SHIFT = 0.5  # the crop's centre moves by at most this share of what is cut away, so it stays in the image


def augment(images: Any, changes: Augmentation, seed: Any, coverage: Any) -> tuple[Any, Any, Any]:
    """Augment a batch of grey images, and move the box coverage along with them.

    Args:
        images: float32 (batch, height, width, 1), black 0 to white 1.
        changes: what to change and how much. Saturation and hue have no effect on grey radiographs and are
            skipped: a recipe may name them because its publication does.
        seed: int64 of shape (2,); the same seed gives the same result.
        coverage: float32 (batch, rows, columns, 1), over the same images at any resolution.

    Returns:
        The augmented images and coverage, with the same shapes and ranges, and for each image the share of
        its coverage that is still visible, float32 (batch,); 1 for images without coverage.
    """
    seeds = tf.random.split(tf.cast(seed, tf.int32), 9)
    batch = tf.shape(images)[0]

    def uniform(index: int, extent: float) -> Any:
        return tf.random.stateless_uniform((batch,), seeds[index], -extent, extent)

    angle, zoom = uniform(1, math.radians(changes.rotation)), 1.0 + uniform(2, changes.zoom)
    if changes.turns:
        drawn = (uniform(8, 1.0) + 1.0) / 2.0 / changes.turns  # below 1 for that share of the images
        quarters = tf.where(drawn < 1.0, 1.0 + tf.floor(3.0 * drawn), 0.0)
        angle += quarters * math.pi / 2.0
        height, width = images.shape[1:3]
        zoom *= tf.where(quarters % 2.0 == 1.0, min(height / width, width / height), 1.0)  # keeps all of it visible
    side = 1.0 - (uniform(5, changes.crop) + changes.crop) / 2.0  # of the crop, as a share of the image's side
    shift = tf.stack([uniform(6, _LARGEST_SHIFT), uniform(7, _LARGEST_SHIFT)]) * (1.0 - side)
    zoom /= side

    def moved(pictures: Any) -> Any:
        if changes.flip:
            mirrored = uniform(0, 1.0)[:, None, None, None] < 0.0
            pictures = tf.where(mirrored, pictures[:, :, ::-1], pictures)
        if changes.rotation or changes.turns or changes.zoom or changes.crop:
            pictures = _transform(pictures, angle, zoom, shift)
        return pictures

    visible = moved(coverage)
    total = tf.reduce_sum(coverage, (1, 2, 3)) * zoom**2
    share = tf.where(total > 0.0, tf.math.divide_no_nan(tf.reduce_sum(visible, (1, 2, 3)), total), 1.0)
    return tf.clip_by_value(_change_tone(moved(images), changes, uniform), 0.0, 1.0), visible, share


def _change_tone(images: Any, changes: Augmentation, uniform: Callable[[int, float], Any]) -> Any:
    """Change contrast and brightness; `uniform` draws a number between -extent and extent for each image."""
    if changes.contrast:
        mean = tf.reduce_mean(images, (1, 2, 3), keepdims=True)
        images = mean + (images - mean) * (1.0 + uniform(3, changes.contrast))[:, None, None, None]
    if changes.brightness:
        images = images + uniform(4, changes.brightness)[:, None, None, None]
    return images


def _transform(images: Any, angle: Any, zoom: Any, shift: Any) -> Any:
    """Rotate and zoom about a point that is `shift` (in shares of width and height) away from the image's centre.

    One bilinear interpolation does it all. Places outside the image are black.
    """
    height, width = images.shape[1], images.shape[2]
    x, y = (width - 1) / 2.0, (height - 1) / 2.0
    cos, sin = tf.cos(angle) / zoom, tf.sin(angle) / zoom
    # Each output pixel (u, v) is taken from input (cos u - sin v + a, sin u + cos v + b).
    zero = tf.zeros_like(cos)
    across, down = x + shift[0] * width, y + shift[1] * height
    rows = [cos, -sin, across - cos * x + sin * y, sin, cos, down - sin * x - cos * y, zero, zero]
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=tf.stack(rows, axis=1),
        output_shape=tf.constant([height, width]),
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
        fill_value=0.0,
    )

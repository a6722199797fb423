"""Random changes of training images, as TensorFlow operations on a whole batch, seeded for each step."""

import math
from collections.abc import Callable
from typing import Any

from ..keras import tf
from ..recipe import Augmentation

_SIDES = 0.5  # a crop may lie anywhere: its centre up to half of what is cut away from the image's own


def augment(images: Any, changes: Augmentation, seed: Any, coverage: Any) -> tuple[Any, Any, Any]:
    """Change a batch of grey images, and what marks places in them likewise.

    Args:
        images: float32 (batch, height, width, 1), black 0 to white 1.
        changes: what to change and how much. Radiographs are grey, on which saturation and hue do
            nothing: a recipe may name them as its publication does, and no time is spent on them.
        seed: int64 of shape (2,); the same seed gives the same result.
        coverage: float32 (batch, rows, columns, 1), over the same images at any resolution.

    Returns:
        Both, of the same shapes and ranges, and of each image the share of its coverage that is still in
        sight, float32 (batch,); 1 where it has none.
    """
    seeds = tf.random.split(tf.cast(seed, tf.int32), 9)
    batch = tf.shape(images)[0]

    def uniform(index: int, extent: float) -> Any:
        return tf.random.stateless_uniform((batch,), seeds[index], -extent, extent)

    angle, zoom = uniform(1, math.radians(changes.rotation)), 1.0 + uniform(2, changes.zoom)
    if changes.turns:
        drawn = (uniform(8, 1.0) + 1.0) / 2.0 / changes.turns  # below 1 in that share of the images
        quarters = tf.where(drawn < 1.0, 1.0 + tf.floor(3.0 * drawn), 0.0)
        angle += quarters * math.pi / 2.0
        height, width = images.shape[1:3]
        zoom *= tf.where(quarters % 2.0 == 1.0, min(height / width, width / height), 1.0)  # all of it stays in sight
    kept = 1.0 - (uniform(5, changes.crop) + changes.crop) / 2.0  # of each side
    shift = tf.stack([uniform(6, _SIDES), uniform(7, _SIDES)]) * (1.0 - kept)
    zoom /= kept

    def moved(pictures: Any) -> Any:
        if changes.flip:
            mirrored = uniform(0, 1.0)[:, None, None, None] < 0.0
            pictures = tf.where(mirrored, pictures[:, :, ::-1], pictures)
        if changes.rotation or changes.turns or changes.zoom or changes.crop:
            pictures = _transform(pictures, angle, zoom, shift)
        return pictures

    seen = moved(coverage)
    whole = tf.reduce_sum(coverage, (1, 2, 3)) * zoom**2
    share = tf.where(whole > 0.0, tf.math.divide_no_nan(tf.reduce_sum(seen, (1, 2, 3)), whole), 1.0)
    return tf.clip_by_value(_toned(moved(images), changes, uniform), 0.0, 1.0), seen, share


def _toned(images: Any, changes: Augmentation, uniform: Callable[[int, float], Any]) -> Any:
    """Change grey levels alone; `uniform` draws a number for each image, between plus and minus an extent."""
    if changes.contrast:
        mean = tf.reduce_mean(images, (1, 2, 3), keepdims=True)
        images = mean + (images - mean) * (1.0 + uniform(3, changes.contrast))[:, None, None, None]
    if changes.brightness:
        images = images + uniform(4, changes.brightness)[:, None, None, None]
    return images


def _transform(images: Any, angle: Any, zoom: Any, shift: Any) -> Any:
    """Rotate and zoom about the centre, which lies off the image's own by shares of its width and height.

    One interpolation does it all; black comes in from outside.
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

"""Random changes of training images, as TensorFlow operations on a whole batch, seeded for each step."""

import math
from typing import Any

from .keras import tf
from .recipe import Augmentation


def augment(images: Any, changes: Augmentation, seed: Any) -> Any:
    """Change a batch of grey images.

    Args:
        images: float32 (batch, height, width, 1), black 0 to white 1.
        changes: what to change and how much. Radiographs are grey, on which saturation and hue do
            nothing: a recipe may name them as its publication does, and no time is spent on them.
        seed: int64 of shape (2,); the same seed gives the same result.

    Returns:
        A tensor of the same shape and range.
    """
    seeds = tf.random.split(tf.cast(seed, tf.int32), 5)
    batch = tf.shape(images)[0]

    def uniform(index: int, extent: float) -> Any:
        return tf.random.stateless_uniform((batch, 1, 1, 1), seeds[index], -extent, extent)

    if changes.flip:
        images = tf.where(uniform(0, 1.0) < 0.0, images[:, :, ::-1], images)
    if changes.rotation or changes.zoom:
        angle, zoom = uniform(1, math.radians(changes.rotation)), 1.0 + uniform(2, changes.zoom)
        images = _transform(images, angle[:, 0, 0, 0], zoom[:, 0, 0, 0])
    if changes.contrast:
        mean = tf.reduce_mean(images, (1, 2, 3), keepdims=True)
        images = mean + (images - mean) * (1.0 + uniform(3, changes.contrast))
    if changes.brightness:
        images = images + uniform(4, changes.brightness)
    return tf.clip_by_value(images, 0.0, 1.0)


def _transform(images: Any, angle: Any, zoom: Any) -> Any:
    """Rotate and zoom about the centre in one interpolation; black comes in from outside."""
    height, width = images.shape[1], images.shape[2]
    x, y = (width - 1) / 2.0, (height - 1) / 2.0
    cos, sin = tf.cos(angle) / zoom, tf.sin(angle) / zoom
    # Each output pixel (u, v) is taken from input (cos u - sin v + a, sin u + cos v + b).
    zero = tf.zeros_like(cos)
    rows = [cos, -sin, x - cos * x + sin * y, sin, cos, y - sin * x - cos * y, zero, zero]
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=tf.stack(rows, axis=1),
        output_shape=tf.constant([height, width]),
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
        fill_value=0.0,
    )

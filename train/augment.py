"""Random changes of training images, as TensorFlow operations on a whole batch, seeded for each step."""

import math
from typing import Any

from osteolite.edge.preprocess import PreprocessingSpec, grey_levels

from .keras import tf
from .recipe import Augmentation


def augment(images: Any, changes: Augmentation, spec: PreprocessingSpec, seed: Any) -> Any:
    """Change a batch of input tensors.

    Args:
        images: float32 (batch, height, width, channels), scaled by `spec`.
        changes: what to change and how much.
        spec: gives the tensor values of black and white.
        seed: int64 of shape (2,); the same seed gives the same result.

    Returns:
        A tensor of the same shape, within the range of black to white.
    """
    black, white = float(grey_levels(spec)[0]), float(grey_levels(spec)[255])
    seeds = tf.random.split(tf.cast(seed, tf.int32), 7)
    batch = tf.shape(images)[0]

    def uniform(index: int, extent: float) -> Any:
        return tf.random.stateless_uniform((batch, 1, 1, 1), seeds[index], -extent, extent)

    images = (images - black) / (white - black)
    if changes.flip or changes.rotation or changes.zoom:
        flip = uniform(0, 1.0) < 0.0 if changes.flip else tf.zeros((batch, 1, 1, 1), tf.bool)
        angle, zoom = uniform(1, math.radians(changes.rotation)), 1.0 + uniform(2, changes.zoom)
        images = _transform(images, flip[:, 0, 0, 0], angle[:, 0, 0, 0], zoom[:, 0, 0, 0], spec)
    if changes.contrast:
        mean = tf.reduce_mean(images, (1, 2, 3), keepdims=True)
        images = mean + (images - mean) * (1.0 + uniform(3, changes.contrast))
    if changes.brightness:
        images = images + uniform(4, changes.brightness)
    images = tf.clip_by_value(images, 0.0, 1.0)
    if spec.channels == "rgb" and changes.saturation:
        images = tf.image.stateless_random_saturation(
            images, 1.0 - changes.saturation, 1.0 + changes.saturation, seeds[5]
        )
    if spec.channels == "rgb" and changes.hue:
        images = tf.image.stateless_random_hue(images, changes.hue, seeds[6])
    return tf.clip_by_value(images, 0.0, 1.0) * (white - black) + black


def _transform(images: Any, flip: Any, angle: Any, zoom: Any, spec: PreprocessingSpec) -> Any:
    """Flip, rotate and zoom about the centre in one interpolation; black comes in from outside."""
    x, y = (spec.width - 1) / 2.0, (spec.height - 1) / 2.0
    cos, sin = tf.cos(angle) / zoom, tf.sin(angle) / zoom
    mirror = tf.where(flip, -1.0, 1.0)
    # Each output pixel (u, v) is taken from input (a0 u + a1 v + a2, b0 u + b1 v + b2).
    a0, a1, b0, b1 = cos * mirror, -sin * mirror, sin, cos
    zero = tf.zeros_like(cos)
    rows = [a0, a1, x - a0 * x - a1 * y, b0, b1, y - b0 * x - b1 * y, zero, zero]
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=tf.stack(rows, axis=1),
        output_shape=tf.constant([spec.height, spec.width]),
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
        fill_value=0.0,
    )

"""Batches for Keras from the cache of fitted grey pixels: scaling by the spec's table, augmentation."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from osteolite.edge.preprocess import PreprocessingSpec, grey_levels

from .augment import augment
from .cache import Pixels
from .keras import tf
from .localisation import map_targets
from .recipe import Augmentation
from .strategy import WHOLE, Share

_IN_SIGHT = 0.5  # share of its boxes of which less is left of an image whose label then counts for nothing

Indices = np.ndarray[Any, np.dtype[np.int64]]


def to_tensor(pixels: Any, spec: PreprocessingSpec) -> Any:
    """Grey pixels (batch, height, width) to the model's input, byte for byte as `edge.preprocess` makes it.

    Both look the 256 grey values up in one table, so no rounding can tell them apart.
    """
    scaled = tf.gather(tf.constant(grey_levels(spec)), tf.cast(pixels, tf.int32))
    return tf.repeat(scaled[..., None], spec.shape[2], axis=3)


def evaluation_batches(pixels: Pixels, indices: Indices, spec: PreprocessingSpec, batch: int) -> Any:
    """A dataset of input tensors, without labels, in the order of `indices`."""

    def produce() -> Iterator[Pixels]:
        for start in range(0, len(indices), batch):
            yield pixels[indices[start : start + batch]]

    signature = tf.TensorSpec((None, spec.height, spec.width), tf.uint8)
    dataset = tf.data.Dataset.from_generator(produce, output_signature=signature)
    return untuned(dataset.map(lambda grey: to_tensor(grey, spec)).prefetch(2))


def untuned(dataset: Any) -> Any:
    """The dataset without TensorFlow's search for better buffer sizes.

    The thread of that search sleeps 10 ms, 20 ms and so on up to a minute, and whoever has read the
    dataset to its end waits for it to wake: up to half of a pass, or a minute.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)


def training_batches(
    pixels: Pixels,
    targets: np.ndarray[Any, np.dtype[np.float32]],
    weights: np.ndarray[Any, np.dtype[np.float32]],
    spec: PreprocessingSpec,
    augmentation: Augmentation,
    batch: int,
    order: Callable[[], np.random.Generator],
    share: Share = WHOLE,
    coverage: Pixels | None = None,
) -> Any:
    """A dataset of (tensor, target, weight) that shuffles and augments anew at each pass.

    With a coverage, the target and the weight are pairs, the second for the fracture map.

    Args:
        pixels: uint8 of shape (images, height, width), all of the training part.
        targets: what the loss compares with: (images, outputs).
        weights: of each image in the loss.
        spec: scaling and channels.
        augmentation: what to change.
        batch: images in a step.
        order: gives the random generator of the coming pass; the same state gives the same pass.
        share: what this process takes of each batch; its replicas' rows come one after another.
        coverage: of the images by boxes, as `localisation.box_coverage` gives it; None, there is no map.
    """
    marks = np.zeros((len(pixels), 1, 1), np.uint8) if coverage is None else coverage

    def produce() -> Iterator[tuple[Pixels, Pixels, Any, Any, Any, Any]]:
        random = order()
        permutation = random.permutation(len(pixels))
        for start in range(0, len(pixels), batch):
            seeds = random.integers(0, 2**31, (share.replicas, 2), dtype=np.int64)
            for replica, chosen, factors in share.cut(permutation[start : start + batch]):
                yield pixels[chosen], marks[chosen], targets[chosen], weights[chosen] * factors, factors, seeds[replica]

    signature = (
        tf.TensorSpec((None, spec.height, spec.width), tf.uint8),
        tf.TensorSpec((None, *marks.shape[1:]), tf.uint8),
        tf.TensorSpec((None, targets.shape[1]), tf.float32),
        tf.TensorSpec((None,), tf.float32),
        tf.TensorSpec((None,), tf.float32),
        tf.TensorSpec((2,), tf.int64),
    )

    def prepare(grey: Any, marked: Any, target: Any, weight: Any, factor: Any, seed: Any) -> tuple[Any, Any, Any]:
        tensor, covered = to_tensor(grey, spec), _shares(marked)
        if augmentation != Augmentation():
            changed, covered, in_sight = augment(_shares(grey), augmentation, seed, covered)
            weight *= tf.cast(in_sight >= _IN_SIGHT, tf.float32)
            tensor = tf.repeat((changed * 255.0 - spec.mean) / spec.std, spec.shape[2], axis=3)
        if coverage is None:
            return tensor, target, weight
        return tensor, (target, map_targets(covered)), (weight, factor)

    dataset = tf.data.Dataset.from_generator(produce, output_signature=signature)
    # One thread: it keeps ahead of the network, which wants every core but the one that it leaves idle.
    return untuned(dataset.map(prepare).prefetch(2))


def _shares(levels: Any) -> Any:
    """uint8 (batch, rows, columns) as float32 with one channel, 0 to 1."""
    return tf.cast(levels[..., None], tf.float32) / 255.0

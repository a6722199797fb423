"""Batches for Keras from the cache of fitted grey pixels: scaling by the spec's table, augmentation."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from osteolite.edge.preprocess import PreprocessingSpec, grey_levels

from .augment import augment
from .cache import Pixels
from .keras import tf
from .recipe import Augmentation
from .strategy import WHOLE, Share

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
) -> Any:
    """A dataset of (tensor, target, weight) that shuffles and augments anew at each pass.

    Args:
        pixels: uint8 of shape (images, height, width), all of the training part.
        targets: what the loss compares with: (images, outputs).
        weights: of each image in the loss.
        spec: scaling and channels.
        augmentation: what to change.
        batch: images in a step.
        order: gives the random generator of the coming pass; the same state gives the same pass.
        share: what this process takes of each batch; its replicas' rows come one after another.
    """

    def produce() -> Iterator[tuple[Pixels, Any, Any, Any]]:
        random = order()
        permutation = random.permutation(len(pixels))
        for start in range(0, len(pixels), batch):
            seeds = random.integers(0, 2**31, (share.replicas, 2), dtype=np.int64)
            for replica, chosen, factors in share.cut(permutation[start : start + batch]):
                yield pixels[chosen], targets[chosen], weights[chosen] * factors, seeds[replica]

    signature = (
        tf.TensorSpec((None, spec.height, spec.width), tf.uint8),
        tf.TensorSpec((None, targets.shape[1]), tf.float32),
        tf.TensorSpec((None,), tf.float32),
        tf.TensorSpec((2,), tf.int64),
    )

    def prepare(grey: Any, target: Any, weight: Any, seed: Any) -> tuple[Any, Any, Any]:
        if augmentation == Augmentation():
            return to_tensor(grey, spec), target, weight
        changed = augment(tf.cast(grey[..., None], tf.float32) / 255.0, augmentation, seed)
        scaled = (changed * 255.0 - spec.mean) / spec.std
        return tf.repeat(scaled, spec.shape[2], axis=3), target, weight

    dataset = tf.data.Dataset.from_generator(produce, output_signature=signature)
    # One thread: it keeps ahead of the network, which wants every core but the one that it leaves idle.
    return untuned(dataset.map(prepare).prefetch(2))

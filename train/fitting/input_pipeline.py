"""Batches for Keras from the cache of fitted grey pixels: scaling by the spec's table, augmentation."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from osteolite.edge.preprocess import PreprocessingSpec, grey_levels

from ..data.pixel_cache import Pixels
from ..keras import tf
from ..networks.fracture_map import map_targets
from ..recipe import Augmentation
from .augmentation import augment
from .distillation import Teacher
from .distributed import WHOLE, Share

_IN_SIGHT = 0.5  # share of its boxes of which less is left of an image whose label then counts for nothing

Indices = np.ndarray[Any, np.dtype[np.int64]]
Reals = np.ndarray[Any, np.dtype[np.float32]]


@dataclass(frozen=True)
class Examples:
    """What a fit learns from: one entry of each for an image."""

    pixels: Pixels  # (images, height, width), fitted for the network
    targets: Reals  # (images, outputs), what the loss compares with
    weights: Reals  # (images,), in the loss
    coverage: Pixels | None = None  # by boxes, as `localisation.box_coverage` gives it; None, there is no map
    taught: Pixels | None = None  # (images, height, width), fitted for the teacher; None, there is none


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
    examples: Examples,
    spec: PreprocessingSpec,
    augmentation: Augmentation,
    batch: int,
    order: Callable[[], np.random.Generator],
    share: Share = WHOLE,
    teacher: Teacher | None = None,
) -> Any:
    """A dataset of (tensor, target, weight) that shuffles and augments anew at each pass.

    With a coverage, the target and the weight are pairs, the second for the fracture map.

    Args:
        examples: all of the training part.
        spec: scaling and channels.
        augmentation: what to change.
        batch: images in a step.
        order: gives the random generator of the coming pass; the same state gives the same pass.
        share: what this process takes of each batch; its replicas' rows come one after another.
        teacher: has a say in the targets.
    """
    targets, weights = examples.targets, examples.weights
    nothing = np.zeros((len(targets), 1, 1), np.uint8)
    images = [nothing if one is None else one for one in (examples.pixels, examples.coverage, examples.taught)]

    def produce() -> Iterator[tuple[Any, ...]]:
        random = order()
        permutation = random.permutation(len(targets))
        for start in range(0, len(targets), batch):
            seeds = random.integers(0, 2**31, (share.replicas, 2), dtype=np.int64)
            for replica, chosen, factors in share.cut(permutation[start : start + batch]):
                shown = (one[chosen] for one in images)
                yield *shown, targets[chosen], weights[chosen] * factors, factors, seeds[replica]

    signature = (
        *(tf.TensorSpec((None, *one.shape[1:]), tf.uint8) for one in images),
        tf.TensorSpec((None, targets.shape[1]), tf.float32),
        tf.TensorSpec((None,), tf.float32),
        tf.TensorSpec((None,), tf.float32),
        tf.TensorSpec((2,), tf.int64),
    )

    def prepare(
        grey: Any, marked: Any, taught: Any, target: Any, weight: Any, factor: Any, seed: Any
    ) -> tuple[Any, Any, Any]:
        def changed(levels: Any, scaling: PreprocessingSpec) -> tuple[Any, Any, Any]:
            if augmentation == Augmentation():
                return to_tensor(levels, scaling), _shares(marked), tf.ones_like(weight)
            shown, covered, in_sight = augment(_shares(levels), augmentation, seed, _shares(marked))
            return tf.repeat((shown * 255.0 - scaling.mean) / scaling.std, scaling.shape[2], axis=3), covered, in_sight

        tensor, covered, in_sight = changed(grey, spec)
        labelled = in_sight >= _IN_SIGHT
        if teacher:
            target = teacher.targets(changed(taught, teacher.spec)[0], target, labelled)
        else:
            weight *= tf.cast(labelled, tf.float32)
        if examples.coverage is None:
            return tensor, target, weight
        return tensor, (target, map_targets(covered)), (weight, factor)

    dataset = tf.data.Dataset.from_generator(produce, output_signature=signature)
    # One thread: it keeps ahead of the network, which wants every core but the one that it leaves idle.
    return untuned(dataset.map(prepare).prefetch(2))


def _shares(levels: Any) -> Any:
    """uint8 (batch, rows, columns) as float32 with one channel, 0 to 1."""
    return tf.cast(levels[..., None], tf.float32) / 255.0

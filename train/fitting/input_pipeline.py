"""Batches for Keras from the pixel cache: scaling by the spec's lookup table, and augmentation."""

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
from .distributed import FULL_BATCH, BatchShare

_VISIBLE = 0.5  # share of an image's boxes that augmentation must leave visible for its label to count

Indices = np.ndarray[Any, np.dtype[np.int64]]
Reals = np.ndarray[Any, np.dtype[np.float32]]


@dataclass(frozen=True)
class Examples:
    """The training examples of a fit: arrays with one entry for each image."""

    pixels: Pixels  # (images, height, width), at the network's input size
    targets: Reals  # (images, outputs), as the loss takes them
    weights: Reals  # (images,), weights in the loss
    coverage: Pixels | None = None  # by boxes, as `fracture_map.box_coverage` returns it; None without a fracture map
    teacher_pixels: Pixels | None = None  # (images, height, width), at the teacher's input size; None without a teacher


def to_tensor(pixels: Any, spec: PreprocessingSpec) -> Any:
    """Scale grey pixels (batch, height, width) to the model's input, byte for byte as `edge.preprocess` does.

    Both look up the 256 grey values in the same table, so rounding cannot differ.
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
    return without_autotune(dataset.map(lambda grey: to_tensor(grey, spec)).prefetch(2))


def without_autotune(dataset: Any) -> Any:
    """Switch off TensorFlow's search for better buffer sizes.

    The thread of that search sleeps for 10 ms, 20 ms and so on up to a minute, and the end of each pass
    waits for it to wake: up to half the duration of the pass, or a minute.
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
    share: BatchShare = FULL_BATCH,
    teacher: Teacher | None = None,
) -> Any:
    """A dataset of (tensor, target, weight) that is shuffled and augmented anew in each pass.

    If the examples have a coverage, target and weight are pairs, and the second element is for the fracture map.

    Args:
        examples: the whole training split.
        spec: scaling and channels.
        augmentation: what to change.
        batch: images in a step.
        order: returns the random generator for the next pass; the same state gives the same pass.
        share: the share of each batch for this process; its replicas' rows follow one another.
        teacher: contributes to the targets.
    """
    targets = examples.targets
    unused = np.zeros((len(targets), 1, 1), np.uint8)  # TensorFlow needs an array in the place of what is missing
    arrays = (examples.pixels, examples.coverage, examples.teacher_pixels)
    images = [unused if one is None else one for one in arrays]

    def produce() -> Iterator[tuple[Any, ...]]:
        random = order()
        permutation = random.permutation(len(targets))
        for start in range(0, len(targets), batch):
            seeds = random.integers(0, 2**31, (share.replicas, 2), dtype=np.int64)
            for replica, rows, factors in share.divide(permutation[start : start + batch]):
                chosen = (one[rows] for one in images)
                yield *chosen, targets[rows], examples.weights[rows] * factors, factors, seeds[replica]

    signature = (
        *(tf.TensorSpec((None, *one.shape[1:]), tf.uint8) for one in images),
        tf.TensorSpec((None, targets.shape[1]), tf.float32),
        tf.TensorSpec((None,), tf.float32),
        tf.TensorSpec((None,), tf.float32),
        tf.TensorSpec((2,), tf.int64),
    )
    prepare = _preparation(spec, augmentation, teacher, mapped=examples.coverage is not None)
    dataset = tf.data.Dataset.from_generator(produce, output_signature=signature)
    # One thread is enough to keep ahead of the network, which uses all the other cores.
    return without_autotune(dataset.map(prepare).prefetch(2))


def _preparation(
    spec: PreprocessingSpec, augmentation: Augmentation, teacher: Teacher | None, mapped: bool
) -> Callable[..., tuple[Any, Any, Any]]:
    """The function that turns one batch of stored arrays into what Keras fits; `mapped`: with a fracture map."""

    def augmented(levels: Any, marked: Any, seed: Any, scaling: PreprocessingSpec) -> tuple[Any, Any, Any]:
        if augmentation == Augmentation():
            return to_tensor(levels, scaling), _to_shares(marked), tf.ones_like(levels[:, 0, 0], tf.float32)
        changed, coverage, visible = augment(_to_shares(levels), augmentation, seed, _to_shares(marked))
        tensor = tf.repeat((changed * 255.0 - scaling.mean) / scaling.std, scaling.shape[2], axis=3)
        return tensor, coverage, visible

    def prepare(
        levels: Any, marked: Any, teacher_levels: Any, target: Any, weight: Any, factor: Any, seed: Any
    ) -> tuple[Any, Any, Any]:
        tensor, coverage, visible = augmented(levels, marked, seed, spec)
        label_visible = visible >= _VISIBLE
        if teacher:
            teacher_tensor, _, _ = augmented(teacher_levels, marked, seed, teacher.spec)
            target = teacher.targets(teacher_tensor, target, label_visible)
        else:
            weight *= tf.cast(label_visible, tf.float32)
        if not mapped:
            return tensor, target, weight
        return tensor, (target, map_targets(coverage)), (weight, factor)

    return prepare


def _to_shares(levels: Any) -> Any:
    """Convert uint8 (batch, rows, columns) to float32 with one channel, 0 to 1."""
    return tf.cast(levels[..., None], tf.float32) / 255.0

"""Where the fracture is, learnt from boxes: a second output beside the logit, a map of the image.

A feature pyramid (Lin et al., CVPR 2017): the last features, enlarged, join those of twice their resolution,
and these such of four times. Boxes are so small and so few places of an image lie in one that the map's loss weighs
these more; it also teaches the features below what a fracture looks like, which labels alone take many
more images to teach.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from osteolite.edge.errors import UsageError
from osteolite.edge.preprocess import PreprocessingSpec

from ..data.boxes import BoxedImage, read_boxes
from ..data.catalogue import Catalogue
from ..keras import keras, tf

STRIDE = 8  # pixels of the input that a place of the map stands for
FINE = 4  # pixels of the input that a place of the boxes' coverage stands for, before it is augmented
LAYERS = "map_"  # how the names of the map's layers begin
_COARSE = 4  # steps of the pyramid's last level, of `STRIDE` each
_CHANNELS = 32  # of a network of width 1; a narrow one has half
_NARROW = 0.5  # width up to which a network counts as narrow
_PRIOR = -3.0  # the logit of a place of which nothing is known: 0 in the map
_POSITIVE = 4.0  # what a place in a box counts for in the loss
_NOTHING = 1e-6  # what a place without a box is taken for, where its logarithm is needed
_LEAST = 0.004  # covered share of the fullest place, below which an image shows no box

Array = np.ndarray[Any, Any]


def fracture_map(backbone: Any, alpha: float) -> Any:
    """The map's tensor, float32 (batch, height / 8, width / 8, 1): above 0 a fracture is likelier than elsewhere.

    Args:
        backbone: the network under it.
        alpha: its width.

    Raises:
        UsageError: the backbone has no features of 8, 16 and 32 pixels to a place for this input.
    """
    channels, layer = _CHANNELS if alpha > _NARROW else _CHANNELS // 2, keras.layers
    top, *sides = (_last_of(backbone, level * STRIDE) for level in (_COARSE, 2, 1))
    joined = layer.Conv2D(channels, 1, name=f"{LAYERS}top")(top)
    for level, side in zip((2, 1), sides, strict=True):
        # Bilinear, as XNNPACK and the Edge TPU do not enlarge by copies.
        enlarged = layer.UpSampling2D(2, interpolation="bilinear", name=f"{LAYERS}enlarged{level}")(joined)
        beside = layer.Conv2D(channels, 1, name=f"{LAYERS}side{level}")(side)
        joined = layer.Add(name=f"{LAYERS}sum{level}")([enlarged, beside])
    joined = layer.ReLU(6.0, name=f"{LAYERS}relu")(joined)
    mixed = layer.Conv2D(channels, 3, padding="same", name=f"{LAYERS}mixed")(joined)
    return layer.Conv2D(1, 1, name=f"{LAYERS}logits")(layer.ReLU(6.0, name=f"{LAYERS}mixed_relu")(mixed))


def with_strongest_place(label: Any, drawn: Any, weight: float) -> Any:
    """The tensor of a logit that also counts what the map's strongest place says, (batch, 1).

    It is added after training: trained on the sum, the strongest place learns the training images by heart.

    Args:
        label: the logit that was trained on labels, (batch, 1).
        drawn: the map.
        weight: of the strongest place.
    """
    layer = keras.layers
    strongest = layer.Flatten(name=f"{LAYERS}flat")(
        layer.MaxPooling2D(drawn.shape[1:3], name=f"{LAYERS}strongest")(drawn)
    )
    start = keras.initializers.Constant(weight)
    weighted = layer.Dense(1, use_bias=False, kernel_initializer=start, trainable=False, name=f"{LAYERS}weighted")
    return layer.Add(name=f"{LAYERS}answer")([label, weighted(strongest)])


def _last_of(backbone: Any, stride: int) -> Any:
    height, width = backbone.input_shape[1:3]
    wanted = (height // stride, width // stride)
    found = [layer.output for layer in backbone.layers if tuple(layer.output.shape[1:3]) == wanted]
    if height % stride or width % stride or not found:
        raise UsageError(
            f"a fracture map needs an input whose sides are multiples of {_COARSE * STRIDE} pixels, and a backbone "
            f"with features of {STRIDE}, {2 * STRIDE} and {_COARSE * STRIDE} pixels to a place; {width} x {height} "
            f"pixels in {backbone.name} give none of {stride}"
        )
    return found[-1]


def map_loss(pointing: float = 0.0) -> Callable[[Any, Any], Any]:
    """A loss of each image's map, (batch,), against targets as `map_targets` gives them.

    It is the cross-entropy of the places, and of an image that shows a box also that of the softmax over its
    places: how likely that lies in a box. The first counts places, of which a small box has few; to the second
    all fractures are equal.

    Args:
        pointing: weight of the second beside the first.
    """

    def loss(covered: Any, logits: Any) -> Any:
        places = tf.nn.weighted_cross_entropy_with_logits(covered, logits + _PRIOR, _POSITIVE)
        missed = tf.reduce_mean(places, (1, 2, 3))
        if not pointing:
            return missed
        inside = tf.reduce_logsumexp(logits + tf.math.log(covered + _NOTHING), (1, 2, 3))
        whole = tf.reduce_logsumexp(logits, (1, 2, 3))
        shown = tf.cast(tf.reduce_max(covered, (1, 2, 3)) > 0.0, tf.float32)
        return missed + pointing * shown * (whole - inside)

    return loss


def box_coverage(catalogue: Catalogue, spec: PreprocessingSpec) -> Array:
    """How much of each place of each image lies in a box.

    Returns:
        uint8 (images, height / 4, width / 4), 255: all of it; images without boxes are 0.

    Raises:
        DatasetError: the data has no boxes.
    """
    known = read_boxes(catalogue)
    shape = (spec.height // FINE, spec.width // FINE)
    coverage = np.zeros((len(catalogue.rows), *shape), np.uint8)
    for index, row in enumerate(catalogue.rows):
        if row.file in known:
            coverage[index] = _covered(known[row.file], spec)
    return coverage


def _covered(boxed: BoxedImage, spec: PreprocessingSpec) -> Array:
    width, height = spec.fitted_size(boxed.width, boxed.height)
    shares = [
        np.outer(_shares(box.top, box.bottom, height, spec.height), _shares(box.left, box.right, width, spec.width))
        for box in boxed.boxes
    ]
    covered: Array = np.round(255 * np.max(shares, axis=0)).astype(np.uint8)
    return covered


def _shares(start: float, end: float, length: int, side: int) -> Array:
    """The share of each place along one side that lies between two shares of the fitted image in its middle."""
    offset = (side - length) // 2
    edges = np.arange(side // FINE) * float(FINE)
    overlap = np.minimum(offset + end * length, edges + FINE) - np.maximum(offset + start * length, edges)
    return np.asarray(np.clip(overlap, 0, None) / FINE)


def map_targets(coverage: Any) -> Any:
    """What the map is compared with.

    Args:
        coverage: float32 (batch, height / 4, width / 4, 1), 0 to 1, as `box_coverage` gives it and augmentation
            changes it.

    Returns:
        float32 (batch, height / 8, width / 8, 1): 1 at the place that a box covers most, however small the box.
    """
    pooled = tf.nn.avg_pool2d(coverage, STRIDE // FINE, STRIDE // FINE, "VALID")
    fullest = tf.reduce_max(pooled, (1, 2, 3), keepdims=True)
    return tf.where(fullest < _LEAST, 0.0, tf.math.divide_no_nan(pooled, fullest))

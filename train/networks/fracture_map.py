"""The fracture map: a second output beside the logit that learns from boxes where the fracture is.

The map is a feature pyramid (Lin et al., CVPR 2017): the last features are upsampled and added to those of twice
their resolution, and the sum to those of four times. Boxes are small and cover few cells of the map, so the loss
gives these cells more weight. The boxes also teach the backbone what a fracture looks like; with labels alone this
takes many more images.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from osteolite.edge.errors import UsageError
from osteolite.edge.preprocess import PreprocessingSpec

from ..data.boxes import BoxedImage, read_boxes
from ..data.catalogue import Catalogue
from ..keras import keras, tf

STRIDE = 8  # side of a cell of the map, in input pixels
FINE = 4  # side of a cell of the box coverage before augmentation, in input pixels
PREFIX = "map_"  # prefix of the names of the map's layers
_COARSE = 4  # stride of the coarsest pyramid level, in multiples of `STRIDE`
_CHANNELS = 32  # channels of the pyramid; a narrow network has half
_NARROW = 0.5  # largest width multiplier of a narrow network
_PRIOR = -3.0  # prior: the loss adds it to the map, so that 0 in the map means no information
_POSITIVE = 4.0  # weight in the loss of a cell inside a box
_EPSILON = 1e-6  # added to the coverage before its logarithm
_LEAST = 0.004  # coverage of the fullest cell below which an image counts as having no box

Array = np.ndarray[Any, Any]


def fracture_map(backbone: Any, alpha: float) -> Any:
    """Build the tensor of the map: float32 (batch, height / 8, width / 8, 1), above 0 where a fracture is likely.

    Args:
        backbone: the backbone whose features the map uses.
        alpha: width multiplier of the backbone.

    Raises:
        UsageError: the backbone has no features of stride 8, 16 and 32 for this input.
    """
    channels, layer = _CHANNELS if alpha > _NARROW else _CHANNELS // 2, keras.layers
    top, *sides = (_last_of(backbone, level * STRIDE) for level in (_COARSE, 2, 1))
    joined = layer.Conv2D(channels, 1, name=f"{PREFIX}top")(top)
    for level, side in zip((2, 1), sides, strict=True):
        # Bilinear, because XNNPACK and the Edge TPU do not support nearest-neighbour upsampling.
        upsampled = layer.UpSampling2D(2, interpolation="bilinear", name=f"{PREFIX}enlarged{level}")(joined)
        beside = layer.Conv2D(channels, 1, name=f"{PREFIX}side{level}")(side)
        joined = layer.Add(name=f"{PREFIX}sum{level}")([upsampled, beside])
    joined = layer.ReLU(6.0, name=f"{PREFIX}relu")(joined)
    mixed = layer.Conv2D(channels, 3, padding="same", name=f"{PREFIX}mixed")(joined)
    return layer.Conv2D(1, 1, name=f"{PREFIX}logits")(layer.ReLU(6.0, name=f"{PREFIX}mixed_relu")(mixed))


def with_map_maximum(logit: Any, fracture_map: Any, weight: float) -> Any:
    """Add the weighted maximum of the map to the logit; both (batch, 1).

    The term is added after training. Trained on the sum, the maximum would memorise the training images.

    Args:
        logit: the logit that was trained on labels, (batch, 1).
        fracture_map: the tensor of the map.
        weight: factor of the map's maximum.
    """
    layer = keras.layers
    strongest = layer.Flatten(name=f"{PREFIX}flat")(
        layer.MaxPooling2D(fracture_map.shape[1:3], name=f"{PREFIX}strongest")(fracture_map)
    )
    start = keras.initializers.Constant(weight)
    weighted = layer.Dense(1, use_bias=False, kernel_initializer=start, trainable=False, name=f"{PREFIX}weighted")
    return layer.Add(name=f"{PREFIX}answer")([logit, weighted(strongest)])


def _last_of(backbone: Any, stride: int) -> Any:
    height, width = backbone.input_shape[1:3]
    wanted = (height // stride, width // stride)
    found = [layer.output for layer in backbone.layers if tuple(layer.output.shape[1:3]) == wanted]
    if height % stride or width % stride or not found:
        raise UsageError(
            f"a fracture map needs an input whose sides are multiples of {_COARSE * STRIDE} pixels, and a backbone "
            f"with features of stride {STRIDE}, {2 * STRIDE} and {_COARSE * STRIDE}; with {width} x {height} pixels "
            f"{backbone.name} has none of stride {stride}"
        )
    return found[-1]


def map_loss(pointing: float = 0.0) -> Callable[[Any, Any], Any]:
    """Return a loss of each image's map, (batch,), against the targets of `map_targets`.

    The loss is the cross-entropy over the cells. Images with a box also have a pointing term: the negative log of
    the probability that a softmax over the cells puts inside the boxes. The first term counts cells, of which a
    small box has few; the second treats all fractures equally.

    Args:
        pointing: weight of the pointing term.
    """

    def loss(covered: Any, logits: Any) -> Any:
        cells = tf.nn.weighted_cross_entropy_with_logits(covered, logits + _PRIOR, _POSITIVE)
        cross_entropy = tf.reduce_mean(cells, (1, 2, 3))
        if not pointing:
            return cross_entropy
        inside = tf.reduce_logsumexp(logits + tf.math.log(covered + _EPSILON), (1, 2, 3))
        whole = tf.reduce_logsumexp(logits, (1, 2, 3))
        has_box = tf.cast(tf.reduce_max(covered, (1, 2, 3)) > 0.0, tf.float32)
        return cross_entropy + pointing * has_box * (whole - inside)

    return loss


def box_coverage(catalogue: Catalogue, spec: PreprocessingSpec) -> Array:
    """Compute how much of each cell of each image lies in a box.

    Returns:
        uint8 (images, height / 4, width / 4), 255 for a fully covered cell; 0 everywhere in images without boxes.

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
    """Return the share of each cell along one axis between two fractions of the fitted image, which is centred."""
    offset = (side - length) // 2
    edges = np.arange(side // FINE) * float(FINE)
    overlap = np.minimum(offset + end * length, edges + FINE) - np.maximum(offset + start * length, edges)
    return np.asarray(np.clip(overlap, 0, None) / FINE)


def map_targets(coverage: Any) -> Any:
    """Compute the targets of the map.

    Args:
        coverage: float32 (batch, height / 4, width / 4, 1), 0 to 1: the augmented result of `box_coverage`.

    Returns:
        float32 (batch, height / 8, width / 8, 1): 1 in the cell that is covered most, however small the box.
    """
    pooled = tf.nn.avg_pool2d(coverage, STRIDE // FINE, STRIDE // FINE, "VALID")
    fullest = tf.reduce_max(pooled, (1, 2, 3), keepdims=True)
    return tf.where(fullest < _LEAST, 0.0, tf.math.divide_no_nan(pooled, fullest))

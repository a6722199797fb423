"""Fine-tuning a trained network with its conversion in view, by TensorFlow Model Optimization.

Sources: B. Jacob et al., CVPR 2018 (quantisation-aware training); M. Zhu and S. Gupta, 2017 (pruning
by magnitude); S. Han et al., ICLR 2016 (clustering).
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from osteolite.edge.errors import UsageError
from osteolite.edge.inference.tensors import Tensor
from osteolite.edge.modelfile.description import BODY_PART
from osteolite.edge.silence import quiet_stderr
from osteolite.train.audit.duplicates import Duplicates
from osteolite.train.console import console
from osteolite.train.data.pixel_cache import read_images
from osteolite.train.fitting.fit import Fit
from osteolite.train.fitting.tasks import BodyPartTask, FractureTask
from osteolite.train.keras import keras, tf
from osteolite.train.recipe import Conversion, Phase
from osteolite.train.runs.prepared import Prepared
from osteolite.train.runs.run_folder import Run

with quiet_stderr():
    import tensorflow_model_optimization as tfmot

_PRUNE_EVERY = 20  # steps
_BATCH = 8  # images, whose every layer's output is held at once
_RANGE = re.compile("(?<!kernel)_(min|max):0$")  # names of the variables that hold an output's range


@dataclass(frozen=True)
class Kind:
    """A way to retrain: what is wrapped around the layers meanwhile, and how it comes off."""

    wrap: Callable[[Any, Conversion, int], Any]  # of a model, for so many steps
    strip: Callable[[Any], Any] | None = None  # None: what is wrapped around belongs to the result
    callbacks: Callable[[], list[Any]] = list
    ranges_inside: bool = False  # whether the result carries int8's ranges
    haste: float = 1.0  # times the recipe's learning rate: what takes much away has more to mend
    after: str = ""  # the kind whose result it starts from; empty: the trained network


def _quantise(model: Any, conversion: Conversion, steps: int) -> Any:
    return _listed_once(tfmot.quantization.keras.quantize_model(model))


def _quantise_pruned(model: Any, conversion: Conversion, steps: int) -> Any:
    scheme = tfmot.experimental.combine.Default8BitPrunePreserveQuantizeScheme()
    annotated = tfmot.quantization.keras.quantize_annotate_model(model)
    return _listed_once(tfmot.quantization.keras.quantize_apply(annotated, scheme))


def _listed_once(model: Any) -> Any:
    """The wrapper lists batch norm's weights as its own too, twice where they are frozen; no file can hold that."""
    for layer in model.layers:
        if isinstance(getattr(layer, "layer", None), keras.layers.BatchNormalization):
            layer._trainable_weights.clear()
    return model


def _prune(model: Any, conversion: Conversion, steps: int) -> Any:
    schedule = tfmot.sparsity.keras.PolynomialDecay(
        0.0, conversion.sparsity, begin_step=0, end_step=2 * steps // 3, frequency=_PRUNE_EVERY
    )
    return _wrap_pointwise(model, lambda one: tfmot.sparsity.keras.prune_low_magnitude(one, pruning_schedule=schedule))


def _cluster(model: Any, conversion: Conversion, steps: int) -> Any:
    start = tfmot.clustering.keras.CentroidInitialization.KMEANS_PLUS_PLUS
    return _wrap_pointwise(model, lambda one: tfmot.clustering.keras.cluster_weights(one, conversion.clusters, start))


def _wrap_pointwise(model: Any, wrap: Callable[[Any], Any]) -> Any:
    """The convolutions of 1 x 1 hold nearly all weights; the few others carry too much to be touched."""

    def chosen(layer: Any) -> Any:
        pointwise = type(layer) is keras.layers.Conv2D and layer.kernel_size == (1, 1)
        return wrap(layer) if pointwise else layer

    return keras.models.clone_model(model, clone_function=chosen)


KINDS = {
    "quantisation_aware": Kind(_quantise, ranges_inside=True),
    "pruned": Kind(
        _prune, tfmot.sparsity.keras.strip_pruning, lambda: [tfmot.sparsity.keras.UpdatePruningStep()], haste=10.0
    ),
    "clustered": Kind(_cluster, tfmot.clustering.keras.strip_clustering),
    "pruned_quantisation_aware": Kind(_quantise_pruned, ranges_inside=True, after="pruned"),
}


def retrain(run: Run, build: Callable[[], Any], seen: list[Tensor], kind: str) -> Any:
    """Fine-tune the whole network for the recipe's `conversion.retraining_epochs`.

    Batch norm is folded into what is quantised, with the statistics that it has: those of the few
    images of a batch would replace what the whole training settled on.

    An interrupted retraining goes on where it was; a finished one is taken from the run's folder
    `retraining/KIND`.

    Args:
        run: the finished run.
        build: makes its Keras model, as it is to be converted; anew each time, as Model Optimization
            changes the layers that it wraps.
        seen: input tensors (1, height, width, channels), over which int8's ranges start.
        kind: a name of `KINDS`.

    Returns:
        The Keras model with the weights of its best epoch on the validation part.

    Raises:
        UsageError: the network has layers that this cannot be done to.
    """
    made, recipe = KINDS[kind], run.recipe
    start = retrain(run, build, seen, made.after) if made.after else build()
    ranges = {}
    if made.ranges_inside:
        _even_channels(start)
        ranges = _ranges(start, seen)
    images, epochs = len(run.catalogue.in_split("train")), recipe.conversion.retraining_epochs
    try:
        wrapped = made.wrap(start, recipe.conversion, -(-images // recipe.training.batch) * epochs)
    except (ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UsageError(
            f"{recipe.name} cannot be retrained {kind.replace('_', ' ')}: its network has layers that TensorFlow Model "
            f"Optimization does not know ({reason}); take another variant"
        ) from error
    _set_ranges(wrapped, ranges)
    phase = Phase(kind, epochs, made.haste * recipe.conversion.retraining_rate, unfrozen=1.0)
    tuned = replace(recipe, training=replace(recipe.training, phases=(phase,), averaging=0.0))
    console.print(f"retraining {recipe.name}: {kind.replace('_', ' ')}")
    task = _task(run, start)
    folder = run.path(f"retraining/{kind}")
    Fit(
        wrapped, task, tuned, _prepared(run), folder, True, run.json("run.json")["seed"], callbacks=made.callbacks
    ).run()
    if made.strip is None:
        return wrapped
    plain = build()  # what is stripped shares its layers with what was wrapped
    plain.set_weights(made.strip(wrapped).get_weights())
    return plain


def _even_channels(model: Any) -> None:
    """Give the channels of each depthwise kernel one range, and its batch norm the rest: the same function.

    Training with int8's rounding has one scale for the whole of a depthwise kernel, whose channels
    otherwise differ a hundredfold.
    """
    for layer in model.layers:
        followers = [node.outbound_layer for node in layer.outbound_nodes]
        if not isinstance(layer, keras.layers.DepthwiseConv2D) or layer.use_bias or len(followers) != 1:
            continue
        norm = followers[0]
        if isinstance(norm, keras.layers.BatchNormalization) and norm.scale and norm.center:
            (kernel,), (gamma, beta, mean, variance) = layer.get_weights(), norm.get_weights()
            size = np.abs(kernel).max(axis=(0, 1, 3)) + 1e-12
            layer.set_weights([kernel / size[:, None]])
            slope = gamma / np.sqrt(variance + norm.epsilon)
            norm.set_weights([slope * size, beta, mean / size, np.full_like(variance, 1.0 - norm.epsilon)])


def _ranges(model: Any, tensors: list[Tensor]) -> dict[str, tuple[float, float]]:
    """The smallest and largest output of each layer, by its name."""
    network = keras.Model(model.input, [layer.output for layer in model.layers])

    @tf.function  # type: ignore[untyped-decorator]  # TensorFlow has no types
    def ends(images: Any) -> Any:
        return [(tf.reduce_min(one), tf.reduce_max(one)) for one in network(images, training=False)]

    found = np.array([ends(np.concatenate(tensors[i : i + _BATCH])) for i in range(0, len(tensors), _BATCH)])
    lows, highs = found[..., 0].min(axis=0), found[..., 1].max(axis=0)
    return {layer.name: (low, high) for layer, low, high in zip(model.layers, lows, highs, strict=True)}


def _set_ranges(model: Any, ranges: dict[str, tuple[float, float]]) -> None:
    """Start from the ranges that there are: from those of the wrapper, -6 to 6, training takes thousands of steps."""
    for layer in model.layers:
        inner = getattr(layer, "layer", model.layers[0])  # what has no inner layer quantises the input
        for variable in layer.weights:
            if inner.name in ranges and (end := _RANGE.search(variable.name)):
                variable.assign(ranges[inner.name][end[1] == "max"])


def _task(run: Run, model: Any) -> Any:
    about = run.json("run.json")
    return (
        BodyPartTask(tuple(about["parts"]))
        if about.get("kind") == BODY_PART
        else FractureTask(model.outputs[0].shape[1])
    )


def _prepared(run: Run) -> Prepared:
    """The images of the run with their parts; of its own cache, which is made where it is missing."""
    catalogue = run.catalogue
    images = read_images(catalogue, run.recipe.preprocessing, run.path("cache"))
    return Prepared(images, catalogue, Duplicates((), ()))

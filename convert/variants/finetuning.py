"""Fine-tuning before conversion by TensorFlow Model Optimization: quantisation-aware, pruned or clustered.

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

_PRUNING_INTERVAL = 20  # steps
_BATCH = 8  # images for which the outputs of all layers are in memory at once
_RANGE = re.compile("(?<!kernel)_(min|max):0$")  # names of the variables that hold the range of an output


@dataclass(frozen=True)
class Method:
    """A fine-tuning method: how it wraps the layers for training and unwraps them afterwards."""

    wrap: Callable[[Any, Conversion, int], Any]  # (model, conversion, training steps) to the wrapped model
    strip: Callable[[Any], Any] | None = None  # removes the wrappers; None, the result keeps them
    callbacks: Callable[[], list[Any]] = list
    has_ranges: bool = False  # whether the result carries int8 ranges
    rate_factor: float = 1.0  # times the recipe's learning rate: pruning removes much and needs larger steps
    start_from: str = ""  # the method whose result it starts from; empty, the trained network


def _quantise(model: Any, conversion: Conversion, steps: int) -> Any:
    return _without_duplicate_weights(tfmot.quantization.keras.quantize_model(model))


def _quantise_pruned(model: Any, conversion: Conversion, steps: int) -> Any:
    scheme = tfmot.experimental.combine.Default8BitPrunePreserveQuantizeScheme()
    annotated = tfmot.quantization.keras.quantize_annotate_model(model)
    return _without_duplicate_weights(tfmot.quantization.keras.quantize_apply(annotated, scheme))


def _without_duplicate_weights(model: Any) -> Any:
    """The wrapper of a batch norm also lists the weights of its layer, frozen ones twice; no file can hold that."""
    for layer in model.layers:
        if isinstance(getattr(layer, "layer", None), keras.layers.BatchNormalization):
            layer._trainable_weights.clear()
    return model


def _prune(model: Any, conversion: Conversion, steps: int) -> Any:
    schedule = tfmot.sparsity.keras.PolynomialDecay(
        0.0, conversion.sparsity, begin_step=0, end_step=2 * steps // 3, frequency=_PRUNING_INTERVAL
    )
    return _wrap_pointwise(
        model, lambda layer: tfmot.sparsity.keras.prune_low_magnitude(layer, pruning_schedule=schedule)
    )


def _cluster(model: Any, conversion: Conversion, steps: int) -> Any:
    start = tfmot.clustering.keras.CentroidInitialization.KMEANS_PLUS_PLUS
    return _wrap_pointwise(
        model, lambda layer: tfmot.clustering.keras.cluster_weights(layer, conversion.clusters, start)
    )


def _wrap_pointwise(model: Any, wrap: Callable[[Any], Any]) -> Any:
    """Wrap the 1 x 1 convolutions: they hold nearly all weights, and the few others matter too much to be changed."""

    def wrap_layer(layer: Any) -> Any:
        pointwise = type(layer) is keras.layers.Conv2D and layer.kernel_size == (1, 1)
        return wrap(layer) if pointwise else layer

    return keras.models.clone_model(model, clone_function=wrap_layer)


METHODS = {
    "quantisation_aware": Method(_quantise, has_ranges=True),
    "pruned": Method(
        _prune, tfmot.sparsity.keras.strip_pruning, lambda: [tfmot.sparsity.keras.UpdatePruningStep()], rate_factor=10.0
    ),
    "clustered": Method(_cluster, tfmot.clustering.keras.strip_clustering),
    "pruned_quantisation_aware": Method(_quantise_pruned, has_ranges=True, start_from="pruned"),
}


def finetune(run: Run, build: Callable[[], Any], calibration: list[Tensor], name: str) -> Any:
    """Fine-tune the whole network for the recipe's `conversion.retraining_epochs`.

    Batch norm is folded into the quantised layers with its trained statistics: those of a batch of few
    images would replace the statistics of the whole training.

    An interrupted fine-tuning resumes where it stopped. A finished one is read from the run's folder
    `retraining/NAME`.

    Args:
        run: a finished run.
        build: builds the run's Keras model as it is to be converted. It must build a new one at each
            call, because Model Optimization changes the layers that it wraps.
        calibration: tensors (1, height, width, channels) that the int8 ranges are initialised from.
        name: a name of `METHODS`.

    Returns:
        The Keras model with the weights of its best epoch on the validation split.

    Raises:
        UsageError: Model Optimization does not support a layer of the network.
    """
    method, recipe = METHODS[name], run.recipe
    start = finetune(run, build, calibration, method.start_from) if method.start_from else build()
    ranges = {}
    if method.has_ranges:
        _equalise_channels(start)
        ranges = _output_ranges(start, calibration)
    images, epochs = len(run.catalogue.in_split("train")), recipe.conversion.retraining_epochs
    wrapped = _wrapped(run, name, start, -(-images // recipe.training.batch) * epochs)
    _set_ranges(wrapped, ranges)
    phase = Phase(name, epochs, method.rate_factor * recipe.conversion.retraining_rate, unfrozen=1.0)
    tuned = replace(recipe, training=replace(recipe.training, phases=(phase,), averaging=0.0))
    console.print(f"fine-tuning {recipe.name}: {name.replace('_', ' ')}")
    folder, seed = run.path(f"retraining/{name}"), run.json("run.json")["seed"]
    Fit(wrapped, _task(run, start), tuned, _prepared(run), folder, True, seed, callbacks=method.callbacks).run()
    if method.strip is None:
        return wrapped
    plain = build()  # a new one, because the stripped model shares its layers with the wrapped one
    plain.set_weights(method.strip(wrapped).get_weights())
    return plain


def _wrapped(run: Run, name: str, model: Any, steps: int) -> Any:
    try:
        return METHODS[name].wrap(model, run.recipe.conversion, steps)
    except (ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UsageError(
            f"{run.recipe.name} cannot be fine-tuned ({name.replace('_', ' ')}): TensorFlow Model Optimization does "
            f"not support a layer of its network ({reason}); choose another variant"
        ) from error


def _equalise_channels(model: Any) -> None:
    """Scale the channels of each depthwise kernel to one range and let its batch norm undo it: the same function.

    Quantisation-aware training has one scale for a whole depthwise kernel, whose channels otherwise
    differ a hundredfold.
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


def _output_ranges(model: Any, tensors: list[Tensor]) -> dict[str, tuple[float, float]]:
    """The smallest and largest output of each layer, by the layer's name."""
    network = keras.Model(model.input, [layer.output for layer in model.layers])

    @tf.function  # type: ignore[untyped-decorator]  # TensorFlow has no types
    def extremes(images: Any) -> Any:
        return [(tf.reduce_min(one), tf.reduce_max(one)) for one in network(images, training=False)]

    found = np.array([extremes(np.concatenate(tensors[i : i + _BATCH])) for i in range(0, len(tensors), _BATCH)])
    lows, highs = found[..., 0].min(axis=0), found[..., 1].max(axis=0)
    return {layer.name: (low, high) for layer, low, high in zip(model.layers, lows, highs, strict=True)}


def _set_ranges(model: Any, ranges: dict[str, tuple[float, float]]) -> None:
    """Start from measured ranges: from the wrapper's own, -6 to 6, training takes thousands of steps."""
    for layer in model.layers:
        inner = getattr(layer, "layer", model.layers[0])  # a layer without an inner one quantises the input
        for variable in layer.weights:
            if inner.name in ranges and (end := _RANGE.search(variable.name)):
                variable.assign(ranges[inner.name][end[1] == "max"])


def _task(run: Run, model: Any) -> Any:
    about = run.json("run.json")
    if about.get("kind") == BODY_PART:
        return BodyPartTask(tuple(about["parts"]))
    return FractureTask(model.outputs[0].shape[1])


def _prepared(run: Run) -> Prepared:
    """The run's images and splits, from its pixel cache, which is rebuilt if missing."""
    catalogue = run.catalogue
    images = read_images(catalogue, run.recipe.preprocessing, run.path("cache"))
    return Prepared(images, catalogue, Duplicates((), ()))

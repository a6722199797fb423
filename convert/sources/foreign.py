"""A classifier that another program trained, as a subject of conversion and gate."""

import hashlib
import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from osteolite.edge.errors import ModelFileError, UndescribedModel, UsageError
from osteolite.edge.labels import LABELS, label_of_folder
from osteolite.edge.modelfile.archive import read_description
from osteolite.edge.modelfile.description import CLASSES, FRACTURE, ModelDescription
from osteolite.edge.preprocess import PreprocessingSpec
from osteolite.train.audit.duplicates import find_duplicates, merge_groups
from osteolite.train.data.catalogue import Catalogue
from osteolite.train.data.layouts import read_dataset
from osteolite.train.data.pixel_cache import read_images
from osteolite.train.data.splits import split_by_group
from osteolite.train.metrics.metrics import auroc
from osteolite.train.metrics.probability_calibration import calibrate, probabilities
from osteolite.train.metrics.threshold import choose_threshold
from osteolite.train.recipe import Conversion, Gate, Threshold, load_recipe

from ..gate.gate import Array, PartVerdict, Verdict, judge, judge_parts
from ..variants.flatbuffer import cut_activation, join_outputs, packed, unpacked
from .calibration_data import calibration_data, tensors
from .networks import read_network
from .subject import Subject, versions

_HELD_OUT = 0.25  # share of the images for each held-out part
_SMALLEST = 1e-7  # probability, before its logarithm is taken


@dataclass(frozen=True)
class _Terms:
    """What a recipe or the file's own description settles."""

    spec: PreprocessingSpec
    conversion: Conversion = field(default_factory=Conversion)
    gate: Gate = field(default_factory=Gate)
    threshold: Threshold = field(default_factory=Threshold)
    described: ModelDescription | None = None  # of a file that `osteolite convert` wrote


@dataclass(frozen=True)
class _Answer:
    """A network that ends in logits, and how the original's outputs become them."""

    flatbuffer: bytes
    labels: tuple[str, ...]  # of the outputs; of a fracture model none
    logits: Callable[[Array], Array]  # of the original's outputs (1, outputs)
    sign: int = 1  # -1: the one output speaks for normal
    order: tuple[str, ...] = LABELS  # of a fracture model, how its outputs were understood


def foreign_subject(path: Path, data: Path, recipe: str | None, labels: tuple[str, ...]) -> Subject:
    """The subject of a SavedModel, a Keras file or a float .tflite.

    Half of the images are what quantisation sees; on the others the gate compares each variant with
    the original, after threshold and probability calibration were found there where the file brings
    none.

    Args:
        path: the network.
        data: labelled radiographs, as the network shall see them.
        recipe: a recipe's name or file, whose preprocessing the network was trained with; None for a
            file that says so itself.
        labels: names of the outputs, in order; of one output what its low and its high end mean.

    Raises:
        UsageError: no preprocessing, or labels that are missing or do not fit.
        DatasetError: the folder has no known layout, or not enough images of both classes.
        ModelFileError: the network is damaged, or is none with one image as its input.
    """
    terms = _terms(path, recipe)
    network = read_network(path, terms.spec.shape)
    answer = _answer(path, network.flatbuffer, labels)
    catalogue = _split(data, terms.spec)
    held_out = [*catalogue.in_split("validation"), *catalogue.in_split("test")]
    inputs = tensors(catalogue, held_out, terms.spec)
    reference = np.concatenate([answer.logits(network.outputs(tensor)) for tensor in inputs])
    truth = np.array([row.label for row in held_out]), np.array([row.group for row in held_out])
    judged, described = (
        _classes(answer, reference, truth[1], terms)
        if answer.labels
        else _fracture(path, answer, reference, truth, terms)
    )
    return Subject(
        name=re.sub(r"[^\w.-]+", "_", path.stem).removesuffix("_float32"),
        conversion=terms.conversion,
        float32=lambda: answer.flatbuffer,
        calibration=calibration_data(
            catalogue, catalogue.in_split("train"), terms.spec, terms.conversion.calibration_images, str(data)
        ),
        tensors=inputs,
        judge=judged,
        description={**_about(path, terms), **described},
        retrain=_no_training_data,
    )


def _terms(path: Path, recipe: str | None) -> _Terms:
    if recipe is not None:
        loaded = load_recipe(recipe)
        return _Terms(loaded.preprocessing, loaded.conversion, loaded.gate, loaded.threshold)
    if path.suffix.lower() == ".tflite":
        try:
            described = read_description(path)
        except UndescribedModel:
            described = None
        if isinstance(described, ModelDescription):
            return _Terms(described.preprocessing, described=described)
    raise UsageError(
        f"{path} does not say how its images were prepared; name the recipe that does by --recipe, or write one "
        '(extends = "fracatlas_mobilenetv2" and a table [preprocessing] are enough)'
    )


def _answer(path: Path, flatbuffer: bytes, labels: tuple[str, ...]) -> _Answer:
    """Make the graph end in logits: one of `fractured`, or one for each class."""
    model = unpacked(flatbuffer)
    cut = cut_activation(model)
    outputs = int(model.subgraphs[0].tensors[int(model.subgraphs[0].outputs[0])].shape[-1])
    if labels and len(labels) != max(outputs, 2):
        raise UsageError(f"--labels names {len(labels)}; {path} needs {max(outputs, 2)}")
    logits = partial(_logits, cut)
    positive = _positive(labels)
    if outputs == 1:
        if positive is None and labels:
            raise UsageError(
                f"--labels {','.join(labels)}: of one output they are {' and '.join(LABELS)}, in its order"
            )
        return _Answer(packed(model), (), logits, -1 if positive == 0 else 1, labels or LABELS)
    if positive is not None:
        if not join_outputs(model, positive):
            raise ModelFileError(f"{path}: its two outputs do not come from one dense layer; give a network with one")
        return _Answer(packed(model), (), lambda values: _difference(logits(values), positive), order=labels)
    if outputs == 2 and not labels:
        raise UsageError(f"{path} has two outputs; say which is which by --labels {','.join(LABELS)} or the reverse")
    return _Answer(packed(model), labels or tuple(f"class {i}" for i in range(outputs)), logits)


def _positive(labels: tuple[str, ...]) -> int | None:
    """The index of `fractured` among two labels, if the other one is `normal`."""
    found = [label_of_folder(label) for label in labels]
    return found.index(1) if sorted(found, key=str) == [0, 1] else None


def _logits(activation: str, outputs: Array) -> Array:
    """What stood before the last activation."""
    values = np.asarray(outputs, np.float64).reshape(1, -1)
    if not activation:
        return values
    values = np.clip(values, _SMALLEST, 1.0 - _SMALLEST)
    return np.log(values) - (np.log1p(-values) if activation == "LOGISTIC" else 0.0)


def _difference(logits: Array, positive: int) -> Array:
    return logits[:, [positive]] - logits[:, [1 - positive]]


def _split(data: Path, spec: PreprocessingSpec) -> Catalogue:
    """The data's images, near-duplicates kept together, in parts."""
    with tempfile.TemporaryDirectory() as folder:
        images = read_images(read_dataset(data), spec, Path(folder))
        catalogue = merge_groups(images.catalogue, find_duplicates(images).pairs())
    return split_by_group(catalogue, _HELD_OUT, _HELD_OUT, seed=0)


def _fracture(
    path: Path, answer: _Answer, reference: Array, truth: tuple[Array, Array], terms: _Terms
) -> tuple[Callable[[Array], Verdict], dict[str, Any]]:
    (labels, groups), towards = truth, answer.sign * reference[:, 0]
    if terms.described is not None:
        slope, intercept, threshold = terms.described.slope, terms.described.intercept, terms.described.threshold
        described = terms.described.details
        about = {key: described[key] for key in ("threshold", "probability_calibration")}
    else:
        if (area := auroc(labels, towards)) < 0.5:
            raise UsageError(
                f"{path}: AUROC {area:.2f}, as if high outputs meant {LABELS[0]}; if they do, say "
                f"--labels {','.join(answer.order[::-1])}"
            )
        fitted = calibrate(labels, towards, groups)
        slope, intercept = answer.sign * fitted.slope, fitted.intercept
        scores = probabilities(reference[:, 0], slope, intercept)
        threshold = choose_threshold(labels, scores, groups, terms.threshold)
        about = {
            "threshold": {"rule": terms.threshold.rule, "value": threshold},
            "probability_calibration": {**fitted.to_dict(), "slope": slope},
        }
    before = probabilities(reference[:, 0], slope, intercept)

    def judged(outputs: Array) -> Verdict:
        return judge(labels, groups, before, probabilities(outputs[:, 0], slope, intercept), threshold, terms.gate)

    return judged, {"kind": FRACTURE, **about}


def _classes(
    answer: _Answer, reference: Array, groups: Array, terms: _Terms
) -> tuple[Callable[[Array], PartVerdict], dict[str, Any]]:
    """Of classes that the data does not name: what the original answers is taken for the truth."""
    own = reference.argmax(axis=1)
    described = {
        "kind": CLASSES,
        "labels": list(answer.labels),
        "probability_calibration": {"method": "none", "temperature": 1.0},
    }
    return lambda outputs: judge_parts(own, groups, reference, outputs, terms.gate), described


def _about(path: Path, terms: _Terms) -> dict[str, Any]:
    if terms.described is not None:
        kept = ("attribution", "training", "evaluation", "audit")
        known = {key: value for key, value in terms.described.details.items() if key in kept}
    else:
        files = sorted(one for one in path.rglob("*") if one.is_file()) if path.is_dir() else [path]
        digest = hashlib.sha256(b"".join(hashlib.sha256(one.read_bytes()).digest() for one in files))
        known = {"original": {"name": path.name, "sha256_of_sha256": digest.hexdigest()}}
    return {
        "intended_use": "research only; no medical device",
        "preprocessing": terms.spec.to_dict(),
        "versions": versions(),
        **known,
    }


def _no_training_data(kind: str) -> bytes:
    raise UsageError(f"{kind.replace('_', ' ')} retraining needs a run of `osteolite train`; take another variant")

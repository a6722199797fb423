"""The subject of a classifier that another program trained."""

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

from ..gate.gate import Array, MulticlassVerdict, Verdict, judge, judge_multiclass
from ..variants.flatbuffer import merge_two_outputs, pack, remove_last_activation, unpack
from .calibration_data import calibration_data, input_tensors
from .networks import read_network
from .subject import Subject, versions

_HELD_OUT = 0.25  # share of the images in each held-out split
_MIN_PROBABILITY = 1e-7  # lower bound before taking a logarithm


@dataclass(frozen=True)
class _Settings:
    """What a recipe or the file's own description sets."""

    spec: PreprocessingSpec
    conversion: Conversion = field(default_factory=Conversion)
    gate: Gate = field(default_factory=Gate)
    threshold: Threshold = field(default_factory=Threshold)
    description: ModelDescription | None = None  # of a file that `osteolite convert` wrote


@dataclass(frozen=True)
class LogitHead:
    """A network changed to end in logits, and the map from the original's outputs to these logits."""

    flatbuffer: bytes
    labels: tuple[str, ...]  # of the outputs; empty for a fracture model
    logits: Callable[[Array], Array]  # from the original's outputs (1, outputs)
    sign: int = 1  # -1: a high output means normal
    order: tuple[str, ...] = LABELS  # of a fracture model: how its outputs were understood


def foreign_subject(path: Path, data: Path, recipe: str | None, labels: tuple[str, ...]) -> Subject:
    """Make the subject of a SavedModel, a Keras file or a float .tflite.

    Half of the images are the calibration data. On the other half, the gate compares each variant with
    the original; there, too, the threshold and the probability calibration are fitted if the file has
    none.

    Args:
        path: the network.
        data: labelled radiographs like those that the network will see.
        recipe: name or file of a recipe with the preprocessing that the network was trained with; None
            if the file describes it.
        labels: names of the outputs, in order; for one output, the meaning of a low and of a high value.

    Raises:
        UsageError: the preprocessing is unknown, or the labels are missing or do not fit.
        DatasetError: the folder has no known layout, or not enough images of both classes.
        ModelFileError: the network is damaged, or its input is not one image.
    """
    settings = _settings(path, recipe)
    network = read_network(path, settings.spec.shape)
    head = _logit_head(path, network.flatbuffer, labels)
    catalogue = _split_data(data, settings.spec)
    held_out = [*catalogue.in_split("validation"), *catalogue.in_split("test")]
    inputs = input_tensors(catalogue, held_out, settings.spec)
    reference = np.concatenate([head.logits(network.outputs(tensor)) for tensor in inputs])
    truth = np.array([row.label for row in held_out]), np.array([row.group for row in held_out])
    judged, described = (
        _multiclass_judge(head, reference, truth[1], settings)
        if head.labels
        else _fracture_judge(path, head, reference, truth, settings)
    )
    count = settings.conversion.calibration_images
    return Subject(
        name=re.sub(r"[^\w.-]+", "_", path.stem).removesuffix("_float32"),
        conversion=settings.conversion,
        float32=lambda: head.flatbuffer,
        calibration=calibration_data(catalogue, catalogue.in_split("train"), settings.spec, count, str(data)),
        tensors=inputs,
        judge=judged,
        description={**_file_description(path, settings), **described},
        finetune=_refuse_finetuning,
    )


def _settings(path: Path, recipe: str | None) -> _Settings:
    if recipe is not None:
        loaded = load_recipe(recipe)
        return _Settings(loaded.preprocessing, loaded.conversion, loaded.gate, loaded.threshold)
    if path.suffix.lower() == ".tflite":
        try:
            description = read_description(path)
        except UndescribedModel:
            description = None
        if isinstance(description, ModelDescription):
            return _Settings(description.preprocessing, description=description)
    raise UsageError(
        f"{path} does not say how its images were preprocessed; name a recipe with its preprocessing by --recipe "
        '(a file with extends = "fracatlas_mobilenetv2" and a table [preprocessing] is enough)'
    )


def _logit_head(path: Path, flatbuffer: bytes, labels: tuple[str, ...]) -> LogitHead:
    """Change the graph to end in logits: one for `fractured`, or one for each class."""
    model = unpack(flatbuffer)
    removed = remove_last_activation(model)
    outputs = int(model.subgraphs[0].tensors[int(model.subgraphs[0].outputs[0])].shape[-1])
    if labels and len(labels) != max(outputs, 2):
        raise UsageError(f"--labels has {len(labels)} names; {path} needs {max(outputs, 2)}")
    logits = partial(_logits, removed)
    positive = _positive(labels)
    if outputs == 1:
        if positive is None and labels:
            raise UsageError(
                f"--labels {','.join(labels)}: {path} has one output, so name {' and '.join(LABELS)}; the name of "
                "low values first"
            )
        return LogitHead(pack(model), (), logits, -1 if positive == 0 else 1, labels or LABELS)
    if positive is not None:
        if not merge_two_outputs(model, positive):
            raise ModelFileError(f"{path}: its two outputs do not come from one dense layer; give a network with one")
        return LogitHead(pack(model), (), lambda values: _difference(logits(values), positive), order=labels)
    if outputs == 2 and not labels:
        raise UsageError(f"{path} has two outputs; name them in order by --labels {','.join(LABELS)} or the reverse")
    return LogitHead(pack(model), labels or tuple(f"class {i}" for i in range(outputs)), logits)


def _positive(labels: tuple[str, ...]) -> int | None:
    """The index of `fractured` among two labels, if the other one is `normal`."""
    found = [label_of_folder(label) for label in labels]
    return found.index(1) if sorted(found, key=str) == [0, 1] else None


def _logits(activation: str, outputs: Array) -> Array:
    """Undo the last activation."""
    values = np.asarray(outputs, np.float64).reshape(1, -1)
    if not activation:
        return values
    values = np.clip(values, _MIN_PROBABILITY, 1.0 - _MIN_PROBABILITY)
    return np.log(values) - (np.log1p(-values) if activation == "LOGISTIC" else 0.0)


def _difference(logits: Array, positive: int) -> Array:
    return logits[:, [positive]] - logits[:, [1 - positive]]


def _split_data(data: Path, spec: PreprocessingSpec) -> Catalogue:
    """Split the images, with near-duplicates in the same split."""
    with tempfile.TemporaryDirectory() as folder:
        images = read_images(read_dataset(data), spec, Path(folder))
        catalogue = merge_groups(images.catalogue, find_duplicates(images).pairs())
    return split_by_group(catalogue, _HELD_OUT, _HELD_OUT, seed=0)


def _fracture_judge(
    path: Path, head: LogitHead, reference: Array, truth: tuple[Array, Array], settings: _Settings
) -> tuple[Callable[[Array], Verdict], dict[str, Any]]:
    (labels, groups), fracture_logits = truth, head.sign * reference[:, 0]
    if (own := settings.description) is not None:
        slope, intercept, threshold = own.slope, own.intercept, own.threshold
        described = {key: own.details[key] for key in ("threshold", "probability_calibration")}
    else:
        if (area := auroc(labels, fracture_logits)) < 0.5:
            raise UsageError(
                f"{path}: AUROC {area:.2f}, as if high outputs meant {LABELS[0]}; if they do, say "
                f"--labels {','.join(head.order[::-1])}"
            )
        fitted = calibrate(labels, fracture_logits, groups)
        slope, intercept = head.sign * fitted.slope, fitted.intercept
        scores = probabilities(reference[:, 0], slope, intercept)
        threshold = choose_threshold(labels, scores, groups, settings.threshold)
        described = {
            "threshold": {"rule": settings.threshold.rule, "value": threshold},
            "probability_calibration": {**fitted.to_dict(), "slope": slope},
        }
    before = probabilities(reference[:, 0], slope, intercept)

    def judged(outputs: Array) -> Verdict:
        return judge(labels, groups, before, probabilities(outputs[:, 0], slope, intercept), threshold, settings.gate)

    return judged, {"kind": FRACTURE, **described}


def _multiclass_judge(
    head: LogitHead, reference: Array, groups: Array, settings: _Settings
) -> tuple[Callable[[Array], MulticlassVerdict], dict[str, Any]]:
    """Judge classes that the data does not name, by the original's predictions as the true classes."""
    own = reference.argmax(axis=1)
    described = {
        "kind": CLASSES,
        "labels": list(head.labels),
        "probability_calibration": {"method": "none", "temperature": 1.0},
    }
    return lambda outputs: judge_multiclass(own, groups, reference, outputs, settings.gate), described


def _file_description(path: Path, settings: _Settings) -> dict[str, Any]:
    if settings.description is not None:
        kept = ("attribution", "training", "evaluation", "audit")
        known = {key: value for key, value in settings.description.details.items() if key in kept}
    else:
        files = sorted(one for one in path.rglob("*") if one.is_file()) if path.is_dir() else [path]
        digest = hashlib.sha256(b"".join(hashlib.sha256(one.read_bytes()).digest() for one in files))
        known = {"original": {"name": path.name, "sha256_of_sha256": digest.hexdigest()}}
    return {
        "intended_use": "research only; no medical device",
        "preprocessing": settings.spec.to_dict(),
        "versions": versions(),
        **known,
    }


def _refuse_finetuning(method: str) -> bytes:
    raise UsageError(
        f"fine-tuning ({method.replace('_', ' ')}) needs a run of `osteolite train`; choose another variant"
    )

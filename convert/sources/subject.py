"""The subject of a conversion: a trained classifier with its calibration data and the gate's judge."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from osteolite.edge.imaging.radiograph import read_radiograph
from osteolite.edge.inference.tensors import Tensor
from osteolite.edge.modelfile.description import BODY_PART, FRACTURE
from osteolite.edge.preprocess import fit
from osteolite.train.data.layouts import read_dataset
from osteolite.train.data.pixel_cache import Pixels
from osteolite.train.metrics.curves import operating_points
from osteolite.train.metrics.probability_calibration import probabilities
from osteolite.train.metrics.units import gather_units, rows_of_predictions
from osteolite.train.networks.model import logits_of
from osteolite.train.recipe import Conversion
from osteolite.train.runs.run_folder import Run
from osteolite.train.workflows.body_part import body_part_model

from ..gate.gate import Array, MulticlassVerdict, Verdict, judge, judge_multiclass
from ..variants.tracing import traced
from .calibration_data import CalibrationData, calibration_data, input_tensors

_BATCH = 64
_MAX_KNOWN = 400  # training images that the out-of-distribution limits are computed from
_PACKAGES = ("osteolite", "tensorflow", "tf-keras", "ai-edge-litert", "ai-edge-quantizer", "numpy", "pillow")


@dataclass(frozen=True)
class Subject:
    """A trained classifier with its validation split, ready for conversion and gate."""

    name: str  # released files are NAME_VARIANT.tflite
    conversion: Conversion
    float32: Callable[[], bytes]  # makes its flatbuffer
    calibration: CalibrationData
    tensors: list[Tensor]  # inputs of the validation split
    judge: Callable[[Array], Verdict | MulticlassVerdict]  # a variant's outputs (images, outputs) to its verdict
    description: dict[str, Any]  # the values of osteolite.json that all variants share
    finetune: Callable[[str], bytes]  # a name of `finetuning.METHODS` to the flatbuffer of the fine-tuned network
    known_images: Callable[[], Iterator[Pixels]] | None = None  # training images; None if unknown


def subject_of(run: Run, calibration: Path | None) -> Subject:
    """Make the subject of a run of one network.

    Args:
        run: a finished run of a fracture model or of a body-part network.
        calibration: a folder of labelled radiographs as calibration data; None, the run's training split.

    Raises:
        DatasetError: the folder has no known layout.
        ImageError: an image cannot be read.
    """
    recipe, rows = run.recipe, run.catalogue.in_split("validation")
    inputs = input_tensors(run.catalogue, rows, recipe.preprocessing)
    body_part = run.json("run.json").get("kind") == BODY_PART
    build = partial(body_part_model, run) if body_part else run.model
    reference = _outputs(build(), inputs)
    judged, described = (_body_part_judge if body_part else _fracture_judge)(run, reference)
    data = read_dataset(calibration) if calibration else run.catalogue
    seen = calibration_data(
        data,
        data.rows if calibration else data.in_split("train"),
        recipe.preprocessing,
        recipe.conversion.calibration_images,
        str(calibration) if calibration else "training split",
    )
    return Subject(
        name=recipe.name,
        conversion=recipe.conversion,
        float32=lambda: traced(build()),
        calibration=seen,
        tensors=inputs,
        judge=judged,
        description={**run_description(run), **described},
        finetune=partial(_finetune, run, build, seen.tensors),
        known_images=partial(_training_images, run),
    )


def _training_images(run: Run) -> Iterator[Pixels]:
    """At most `_MAX_KNOWN` images of the training split, evenly drawn and fitted to the input."""
    catalogue, spec = run.catalogue, run.recipe.preprocessing
    rows = catalogue.in_split("train")
    for row in rows[:: -(-len(rows) // _MAX_KNOWN)]:
        yield fit(read_radiograph(catalogue.path(row), spec), spec)


def _finetune(run: Run, build: Callable[[], Any], calibration: list[Tensor], method: str) -> bytes:
    from ..variants.finetuning import METHODS, finetune  # needs TensorFlow Model Optimization

    return traced(finetune(run, build, calibration, method), METHODS[method].has_ranges)


def _fracture_judge(run: Run, reference: Array) -> tuple[Callable[[Array], Verdict], dict[str, Any]]:
    evaluation, rows = run.json("evaluation.json"), run.catalogue.in_split("validation")
    calibration, threshold = evaluation["probability_calibration"], evaluation["threshold"]
    calibrated = partial(probabilities, slope=calibration["slope"], intercept=calibration["intercept"])
    labels, groups = np.array([row.label for row in rows]), np.array([row.group for row in rows])
    before, limits = calibrated(reference[:, 0]), run.recipe.gate

    def judged(outputs: Array) -> Verdict:
        return judge(labels, groups, before, calibrated(outputs[:, 0]), threshold["value"], limits)

    described = {"kind": FRACTURE, "threshold": threshold, "probability_calibration": calibration}
    return judged, {**described, "evaluation": {**_test_metrics(run), "operating_points": _operating_points(run)}}


def _operating_points(run: Run) -> list[list[float]]:
    """The operating points on the test split, in the unit of its metrics."""
    lines = run.predictions("test")
    units = gather_units(rows_of_predictions(lines), np.array([float(line["fracture_probability"]) for line in lines]))
    return operating_points(units.labels, units.scores)


def _body_part_judge(run: Run, reference: Array) -> tuple[Callable[[Array], MulticlassVerdict], dict[str, Any]]:
    rows, labels, limits = run.catalogue.in_split("validation"), run.json("run.json")["parts"], run.recipe.gate
    targets = np.array([labels.index(row.body_part) for row in rows])
    groups = np.array([row.group for row in rows])
    calibration = run.json("evaluation.json")["probability_calibration"]
    described = {"kind": BODY_PART, "labels": labels, "probability_calibration": calibration}
    return lambda outputs: judge_multiclass(targets, groups, reference, outputs, limits), described


def run_description(run: Run) -> dict[str, Any]:
    """The values of `osteolite.json` that a run of any kind gives: the model's origin and its metrics."""
    recipe, about = run.recipe, run.json("run.json")
    values = {
        "intended_use": "research only; no medical device",
        "attribution": about["attribution"],
        "preprocessing": recipe.preprocessing.to_dict(),
        "training": {
            "recipe": recipe.name,
            "layout": about["layout"],
            "seed": about["seed"],
            "weights": about["weights"],
            "images": {split: len(run.catalogue.in_split(split)) for split in ("train", "validation", "test")},
            "catalogue_sha256": run.catalogue_sha256,
            **({"teacher": about["teacher"]} if "teacher" in about else {}),
        },
        "evaluation": _test_metrics(run),
        "versions": versions(),
    }
    return {**values, "audit": about["audit"]} if "audit" in about else values


def _test_metrics(run: Run) -> dict[str, Any]:
    test = run.json("evaluation.json")["test"]
    metrics = {key: value for key, value in test.items() if key != "curves"}
    return {"model": "float32 Keras model before conversion", "part": "test", **metrics}


def versions() -> dict[str, str]:
    """The versions of the packages that make a file."""
    return {package: version(package) for package in _PACKAGES}


def _outputs(model: Any, inputs: list[Tensor]) -> Array:
    batches = [np.concatenate(inputs[i : i + _BATCH]) for i in range(0, len(inputs), _BATCH)]
    return np.concatenate([np.asarray(logits_of(model(batch, training=False))) for batch in batches])

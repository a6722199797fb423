"""What is converted: a fracture model, a body-part network or another classifier, and how the gate judges it."""

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

from ..gate.gate import Array, PartVerdict, Verdict, judge, judge_parts
from ..variants.tracing import traced
from .calibration_data import CalibrationData, calibration_data, tensors

_BATCH = 64
_KNOWN = 400  # images, at most, that the out-of-distribution limits are learnt from
_PACKAGES = ("osteolite", "tensorflow", "tf-keras", "ai-edge-litert", "ai-edge-quantizer", "numpy", "pillow")


@dataclass(frozen=True)
class Subject:
    """A trained classifier and its validation part, ready for conversion and gate."""

    name: str  # released files are NAME_VARIANT.tflite
    conversion: Conversion
    float32: Callable[[], bytes]  # its flatbuffer
    calibration: CalibrationData
    tensors: list[Tensor]  # of the validation part
    judge: Callable[[Array], Verdict | PartVerdict]  # a variant's outputs (images, outputs) to its verdict
    description: dict[str, Any]  # what osteolite.json says of it, whatever the variant
    retrain: Callable[[str], bytes]  # a name of `retraining.KINDS` to the flatbuffer of the network fine-tuned so
    known: Callable[[], Iterator[Pixels]] | None = None  # images that it was trained on, where that can be told


def subject_of(run: Run, calibration: Path | None) -> Subject:
    """The subject of a run of one network.

    Args:
        run: finished, of a fracture model or of a body-part network.
        calibration: a folder of labelled radiographs for quantisation to see; None, the run's train part.

    Raises:
        DatasetError: the folder has no known layout.
        ImageError: an image cannot be read.
    """
    recipe, rows = run.recipe, run.catalogue.in_split("validation")
    inputs = tensors(run.catalogue, rows, recipe.preprocessing)
    parts = run.json("run.json").get("kind") == BODY_PART
    build = partial(body_part_model, run) if parts else run.model
    reference = _outputs(build(), inputs)
    judged, described = (_body_part if parts else _fracture)(run, reference)
    data = read_dataset(calibration) if calibration else run.catalogue
    seen = calibration_data(
        data,
        data.rows if calibration else data.in_split("train"),
        recipe.preprocessing,
        recipe.conversion.calibration_images,
        str(calibration) if calibration else "train part",
    )
    return Subject(
        name=recipe.name,
        conversion=recipe.conversion,
        float32=lambda: traced(build()),
        calibration=seen,
        tensors=inputs,
        judge=judged,
        description={**description(run), **described},
        retrain=partial(_retrain, run, build, seen.tensors),
        known=partial(_known, run),
    )


def _known(run: Run) -> Iterator[Pixels]:
    """Images of the train part, evenly drawn and fitted."""
    catalogue, spec = run.catalogue, run.recipe.preprocessing
    rows = catalogue.in_split("train")
    for row in rows[:: -(-len(rows) // _KNOWN)]:
        yield fit(read_radiograph(catalogue.path(row), spec), spec)


def _retrain(run: Run, build: Callable[[], Any], seen: list[Tensor], kind: str) -> bytes:
    from ..variants.finetuning import KINDS, retrain

    return traced(retrain(run, build, seen, kind), KINDS[kind].ranges_inside)


def _fracture(run: Run, reference: Array) -> tuple[Callable[[Array], Verdict], dict[str, Any]]:
    evaluation, rows = run.json("evaluation.json"), run.catalogue.in_split("validation")
    calibration, threshold = evaluation["probability_calibration"], evaluation["threshold"]
    calibrated = partial(probabilities, slope=calibration["slope"], intercept=calibration["intercept"])
    labels, groups = np.array([row.label for row in rows]), np.array([row.group for row in rows])
    before, limits = calibrated(reference[:, 0]), run.recipe.gate

    def judged(outputs: Array) -> Verdict:
        return judge(labels, groups, before, calibrated(outputs[:, 0]), threshold["value"], limits)

    described = {"kind": FRACTURE, "threshold": threshold, "probability_calibration": calibration}
    return judged, {**described, "evaluation": {**_tested(run), "operating_points": _operating_points(run)}}


def _operating_points(run: Run) -> list[list[float]]:
    """Of the test part, in the unit of its figures."""
    lines = run.predictions("test")
    units = gather_units(rows_of_predictions(lines), np.array([float(line["fracture_probability"]) for line in lines]))
    return operating_points(units.labels, units.scores)


def _body_part(run: Run, reference: Array) -> tuple[Callable[[Array], PartVerdict], dict[str, Any]]:
    rows, parts, limits = run.catalogue.in_split("validation"), run.json("run.json")["parts"], run.recipe.gate
    targets = np.array([parts.index(row.body_part) for row in rows])
    groups = np.array([row.group for row in rows])
    calibration = run.json("evaluation.json")["probability_calibration"]
    described = {"kind": BODY_PART, "labels": parts, "probability_calibration": calibration}
    return lambda outputs: judge_parts(targets, groups, reference, outputs, limits), described


def description(run: Run) -> dict[str, Any]:
    """What `osteolite.json` says of any run: where the model comes from, and its figures."""
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
            "images": {part: len(run.catalogue.in_split(part)) for part in ("train", "validation", "test")},
            "catalogue_sha256": run.catalogue_sha256,
            **({"teacher": about["teacher"]} if "teacher" in about else {}),
        },
        "evaluation": _tested(run),
        "versions": versions(),
    }
    return {**values, "audit": about["audit"]} if "audit" in about else values


def _tested(run: Run) -> dict[str, Any]:
    test = run.json("evaluation.json")["test"]
    figures = {key: value for key, value in test.items() if key != "curves"}
    return {"model": "float32 Keras model before conversion", "part": "test", **figures}


def versions() -> dict[str, str]:
    """Of the packages that made a file."""
    return {package: version(package) for package in _PACKAGES}


def _outputs(model: Any, inputs: list[Tensor]) -> Array:
    batches = [np.concatenate(inputs[i : i + _BATCH]) for i in range(0, len(inputs), _BATCH)]
    return np.concatenate([np.asarray(logits_of(model(batch, training=False))) for batch in batches])

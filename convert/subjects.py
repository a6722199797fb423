"""What is converted: a fracture model or a body-part network, and how the gate judges it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from osteolite.edge.description import BODY_PART, FRACTURE
from osteolite.train.body_part import body_part_model
from osteolite.train.probability import probabilities
from osteolite.train.runs import Run

from .calibration import tensors
from .gate import Array, PartVerdict, Verdict, judge, judge_parts
from .variants import Tensor

_BATCH = 64


@dataclass(frozen=True)
class Subject:
    """A trained model and its validation part, ready for the gate."""

    model: Any  # of Keras: float32 (batch, height, width, channels) to the outputs that the file shall give
    tensors: list[Tensor]  # of the validation part
    judge: Callable[[Array], Verdict | PartVerdict]  # a variant's outputs (images, outputs) to its verdict
    description: dict[str, Any]  # what osteolite.json says of the answer


def subject_of(run: Run) -> Subject:
    """The subject of a run of either kind."""
    return _body_part(run) if run.json("run.json").get("kind") == BODY_PART else _fracture(run)


def _fracture(run: Run) -> Subject:
    evaluation, rows, model = run.json("evaluation.json"), run.catalogue.part("validation"), run.model()
    inputs = tensors(run.catalogue, list(rows), run.recipe.preprocessing)
    calibration, threshold = evaluation["probability_calibration"], evaluation["threshold"]
    calibrated = partial(probabilities, slope=calibration["slope"], intercept=calibration["intercept"])
    labels, groups = np.array([row.label for row in rows]), np.array([row.group for row in rows])
    reference, limits = calibrated(_outputs(model, inputs)[:, 0]), run.recipe.gate

    def judged(outputs: Array) -> Verdict:
        return judge(labels, groups, reference, calibrated(outputs[:, 0]), threshold["value"], limits)

    described = {"kind": FRACTURE, "threshold": threshold, "probability_calibration": calibration}
    return Subject(model, inputs, judged, described)


def _body_part(run: Run) -> Subject:
    rows, model, parts = run.catalogue.part("validation"), body_part_model(run), run.json("run.json")["parts"]
    inputs = tensors(run.catalogue, list(rows), run.recipe.preprocessing)
    targets = np.array([parts.index(row.body_part) for row in rows])
    groups = np.array([row.group for row in rows])
    reference, limits = _outputs(model, inputs), run.recipe.gate
    described = {
        "kind": BODY_PART,
        "labels": parts,
        "probability_calibration": run.json("evaluation.json")["probability_calibration"],
    }
    return Subject(model, inputs, lambda outputs: judge_parts(targets, groups, reference, outputs, limits), described)


def _outputs(model: Any, inputs: list[Tensor]) -> Array:
    batches = [np.concatenate(inputs[i : i + _BATCH]) for i in range(0, len(inputs), _BATCH)]
    return np.concatenate([np.asarray(model(batch, training=False)) for batch in batches])

"""What a finished fit is worth: probability calibration, threshold and figures, written into its run folder."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from osteolite.edge.atomic import write_csv, write_json

from ..data.catalogue import Row
from ..fitting.fit import Progress, outputs_of
from ..metrics.curves import curves, reliability
from ..metrics.probability_calibration import calibrate, probabilities
from ..metrics.threshold import choose_threshold, expected_sensitivity
from ..metrics.units import gather_units, subgroups
from ..networks.model import fracture_logits
from ..recipe import Recipe, Threshold
from ..runs.prepared import Prepared
from ..runs.run_folder import Run

Array = np.ndarray[Any, Any]
_PARTS = ("validation", "test")
_COLUMNS = ("file", "part", "label", "group", "study", "logit", "fracture_probability")


def assess(run: Run, recipe: Recipe, model: Any, prepared: Prepared, progress: Progress) -> None:
    """Calibrate and choose the threshold on validation, then look at test once."""
    parts = np.array([row.split for row in prepared.catalogue.rows])
    rows = {part: prepared.catalogue.in_split(part) for part in _PARTS}
    logits = {
        part: fracture_logits(outputs_of(model, prepared.images.pixels, np.flatnonzero(parts == part), recipe))
        for part in _PARTS
    }
    evaluation = judge_logits(rows, logits, recipe.threshold)
    evaluation |= {"epochs": len(progress.history), "unreadable": prepared.images.unreadable}
    write_predictions(run, rows, logits, evaluation["probability_calibration"])
    write_json(run.path("evaluation.json"), evaluation)


def judge_logits(rows: Mapping[str, Sequence[Row]], logits: Mapping[str, Array], rule: Threshold) -> dict[str, Any]:
    """Everything that the logits of the validation and test part say.

    Args:
        rows: the images of "validation" and "test".
        logits: of `fractured`, for each image of each part.
        rule: how the threshold is chosen.

    Returns:
        {"probability_calibration": {"method", "slope", "intercept", "candidates"},
        "threshold": {"value", "rule", "chosen_on", "unit", "promise"},
        "validation" and "test": figures and "curves",
        "subgroups": of the test part, "uncalibrated": {part: {"ece", "brier", "calibration"}}}.
    """
    fitted_on = rows["validation"]
    calibration = calibrate(
        np.array([row.label for row in fitted_on]),
        logits["validation"],
        np.array([row.group for row in fitted_on]),
    )
    units = {
        part: gather_units(rows[part], probabilities(logits[part], calibration.slope, calibration.intercept))
        for part in _PARTS
    }
    validation = units["validation"]
    threshold = choose_threshold(validation.labels, validation.scores, validation.groups, rule)
    found = {part: units[part].metrics(threshold) for part in _PARTS}
    return {
        "probability_calibration": calibration.to_dict(),
        "threshold": {
            "value": threshold,
            "rule": rule.rule,
            "chosen_on": "validation",
            "unit": validation.unit,
            "promise": expected_sensitivity(
                validation.labels, validation.scores, validation.groups, rule, found["test"]["sensitivity"]["value"]
            ),
        },
        **{part: {**found[part], "curves": curves(units[part].labels, units[part].scores)} for part in _PARTS},
        "subgroups": subgroups(units["test"], threshold),
        "uncalibrated": {part: _uncalibrated(rows[part], logits[part]) for part in _PARTS},
    }


def _uncalibrated(rows: Sequence[Row], logits: Array) -> dict[str, Any]:
    """How far the network's own probabilities, the sigmoid of its logits, are from what happens."""
    units = gather_units(rows, probabilities(logits, 1.0, 0.0))
    found = units.metrics(0.5)
    return {"ece": found["ece"], "brier": found["brier"], "calibration": reliability(units.labels, units.scores)}


def write_predictions(
    run: Run, rows: Mapping[str, Sequence[Row]], logits: Mapping[str, Array], calibration: dict[str, Any]
) -> None:
    """Write `predictions.csv`: one line an image of the validation and the test part."""
    lines = []
    for part in _PARTS:
        scores = probabilities(logits[part], calibration["slope"], calibration["intercept"])
        for row, logit, score in zip(rows[part], logits[part], scores, strict=True):
            lines.append([row.file, part, row.label, row.group, row.study, f"{logit:.6f}", f"{score:.8f}"])
    write_csv(run.path("predictions.csv"), _COLUMNS, lines)

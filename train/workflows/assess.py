"""Evaluate a finished fit: probability calibration, threshold and metrics, written into its run folder."""

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
_HELD_OUT = ("validation", "test")
_COLUMNS = ("file", "part", "label", "group", "study", "logit", "fracture_probability")


def assess(run: Run, recipe: Recipe, model: Any, prepared: Prepared, progress: Progress) -> None:
    """Calibrate and choose the threshold on the validation split, then evaluate once on the test split."""
    splits = np.array([row.split for row in prepared.catalogue.rows])
    rows = {split: prepared.catalogue.in_split(split) for split in _HELD_OUT}
    logits = {
        split: fracture_logits(outputs_of(model, prepared.images.pixels, np.flatnonzero(splits == split), recipe))
        for split in _HELD_OUT
    }
    evaluation = evaluate_logits(rows, logits, recipe.threshold)
    evaluation |= {"epochs": len(progress.history), "unreadable": prepared.images.unreadable}
    write_predictions(run, rows, logits, evaluation["probability_calibration"])
    write_json(run.path("evaluation.json"), evaluation)


def evaluate_logits(rows: Mapping[str, Sequence[Row]], logits: Mapping[str, Array], rule: Threshold) -> dict[str, Any]:
    """Calibrate probabilities, choose the threshold and compute all metrics from the logits of both held-out splits.

    Args:
        rows: the images of "validation" and "test".
        logits: the fracture logit of each of these images, by split.
        rule: how to choose the threshold.

    Returns:
        {"probability_calibration": {"method", "slope", "intercept", "candidates"},
        "threshold": {"value", "rule", "chosen_on", "unit", "promise"},
        "validation" and "test": metrics and "curves",
        "subgroups": of the test split, "uncalibrated": {split: {"ece", "brier", "calibration"}}}.
    """
    fitted_on = rows["validation"]
    calibration = calibrate(
        np.array([row.label for row in fitted_on]),
        logits["validation"],
        np.array([row.group for row in fitted_on]),
    )
    units = {
        split: gather_units(rows[split], probabilities(logits[split], calibration.slope, calibration.intercept))
        for split in _HELD_OUT
    }
    validation = units["validation"]
    threshold = choose_threshold(validation.labels, validation.scores, validation.groups, rule)
    found = {split: units[split].metrics(threshold) for split in _HELD_OUT}
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
        **{split: {**found[split], "curves": curves(units[split].labels, units[split].scores)} for split in _HELD_OUT},
        "subgroups": subgroups(units["test"], threshold),
        "uncalibrated": {split: _uncalibrated(rows[split], logits[split]) for split in _HELD_OUT},
    }


def _uncalibrated(rows: Sequence[Row], logits: Array) -> dict[str, Any]:
    """Calibration error and reliability of the plain sigmoid of the logits."""
    units = gather_units(rows, probabilities(logits, 1.0, 0.0))
    found = units.metrics(0.5)
    return {"ece": found["ece"], "brier": found["brier"], "calibration": reliability(units.labels, units.scores)}


def write_predictions(
    run: Run, rows: Mapping[str, Sequence[Row]], logits: Mapping[str, Array], calibration: dict[str, Any]
) -> None:
    """Write `predictions.csv`: one row for each image of the validation and test splits."""
    lines = []
    for split in _HELD_OUT:
        scores = probabilities(logits[split], calibration["slope"], calibration["intercept"])
        for row, logit, score in zip(rows[split], logits[split], scores, strict=True):
            lines.append([row.file, split, row.label, row.group, row.study, f"{logit:.6f}", f"{score:.8f}"])
    write_csv(run.path("predictions.csv"), _COLUMNS, lines)

"""What a finished fit is worth: probability calibration, threshold and figures, written into its run folder."""

from typing import Any

import numpy as np

from osteolite.edge.atomic import write_csv, write_json

from .catalogue import Catalogue
from .evaluation import calibrate, choose_threshold, curves, figures, probabilities
from .fit import Progress, outputs_of
from .prepare import Prepared
from .recipe import Recipe
from .runs import Run
from .tasks import fracture_logits


def assess(run: Run, recipe: Recipe, model: Any, prepared: Prepared, progress: Progress) -> None:
    """Calibrate and choose the threshold on validation, then look at test once."""
    catalogue, pixels = prepared.catalogue, prepared.images.pixels
    labels = np.array([row.label for row in catalogue.rows])
    groups = np.array([row.group for row in catalogue.rows])
    parts = np.array([row.part for row in catalogue.rows])
    indices = {part: np.flatnonzero(parts == part) for part in ("validation", "test")}
    scores = {part: fracture_logits(outputs_of(model, pixels, chosen, recipe)) for part, chosen in indices.items()}
    slope, intercept = calibrate(labels[indices["validation"]], scores["validation"])
    calibrated = {part: probabilities(values, slope, intercept) for part, values in scores.items()}
    threshold = choose_threshold(
        labels[indices["validation"]], calibrated["validation"], groups[indices["validation"]], recipe.threshold
    )
    evaluation: dict[str, Any] = {
        "probability_calibration": {"method": "platt", "slope": slope, "intercept": intercept},
        "threshold": {"value": threshold, "rule": recipe.threshold.rule, "chosen_on": "validation"},
        "epochs": len(progress.history),
        "unreadable": prepared.images.unreadable,
    }
    for part, chosen in indices.items():
        evaluation[part] = figures(labels[chosen], calibrated[part], threshold, groups[chosen])
        evaluation[part]["curves"] = curves(labels[chosen], calibrated[part])
    _write_predictions(run, catalogue, indices, calibrated)
    write_json(run.path("evaluation.json"), evaluation)


def _write_predictions(run: Run, catalogue: Catalogue, indices: dict[str, Any], scores: dict[str, Any]) -> None:
    rows = [
        [catalogue.rows[index].file, part, catalogue.rows[index].label, f"{score:.6f}"]
        for part, chosen in indices.items()
        for index, score in zip(chosen, scores[part], strict=True)
    ]
    write_csv(run.path("predictions.csv"), ["file", "part", "label", "fracture_probability"], rows)

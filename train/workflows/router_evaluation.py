"""Evaluate both stages of a router together, on the test split, as on the device."""

from typing import Any

import numpy as np
from scipy.special import softmax

from osteolite.edge.atomic import write_csv, write_json

from ..fitting.fit import outputs_of
from ..metrics.probability_calibration import probabilities
from ..metrics.units import gather_units
from ..runs.prepared import Prepared
from ..runs.run_folder import Run
from .body_part import body_part_metrics, body_part_model

Array = np.ndarray[Any, Any]
_COLUMNS = (
    "file",
    "part",
    "label",
    "group",
    "study",
    "body_part",
    "body_part_answer",
    "body_part_probability",
    "fracture_probability",
    "threshold",
)
_WITHOUT_THRESHOLD = ("auroc", "average_precision", "ece", "brier")  # metrics of the probabilities themselves


def assess_router(run: Run, prepared: Prepared) -> None:
    """Score each test image with the fracture network of its predicted body part, and write the metrics.

    Each stage has its own threshold. Metrics of decisions are therefore computed from the distance of the
    probability to the threshold of the stage that was used, which equals deciding image by image. AUROC,
    average precision and calibration are those of the calibrated probabilities.
    """
    rows, body_parts = prepared.catalogue.in_split("test"), tuple(run.json("run.json")["parts"])
    tested = np.flatnonzero([row.split == "test" for row in prepared.catalogue.rows])
    shares = _score_body_parts(run, prepared, tested)
    predicted = shares.argmax(axis=1)
    scores, thresholds = np.empty(len(tested)), np.empty(len(tested))
    stages = {name: Run(run.path(f"stages/{name}")) for name in body_parts}
    for index, stage in enumerate(stages.values()):
        chosen = predicted == index
        scores[chosen], thresholds[chosen] = _score_fractures(stage, prepared, tested[chosen])
    metrics = {
        **gather_units(rows, 0.5 + (scores - thresholds) / 2).metrics(0.5),
        **{name: gather_units(rows, scores).metrics(0.5)[name] for name in _WITHOUT_THRESHOLD},
    }
    lines = [
        [
            r.file,
            "test",
            r.label,
            r.group,
            r.study,
            r.body_part,
            body_parts[i],
            f"{s.max():.6f}",
            f"{p:.8f}",
            f"{t:.8f}",
        ]
        for r, i, s, p, t in zip(rows, predicted, shares, scores, thresholds, strict=True)
    ]
    write_csv(run.path("predictions.csv"), _COLUMNS, lines)
    targets = np.array([body_parts.index(row.body_part) for row in rows])
    evaluation = {
        "kind": "router",
        "thresholds": {name: stage.json("evaluation.json")["threshold"]["value"] for name, stage in stages.items()},
        "body_part": body_part_metrics(targets, predicted, np.array([row.group for row in rows]), body_parts),
        "test": metrics,
        "unreadable": prepared.images.unreadable,
    }
    write_json(run.path("evaluation.json"), evaluation)


def _score_body_parts(run: Run, prepared: Prepared, tested: Array) -> Array:
    """Compute calibrated body-part probabilities (images, body parts)."""
    stage = Run(run.path("stages/body_part"))
    temperature = stage.json("evaluation.json")["probability_calibration"]["temperature"]
    logits = outputs_of(body_part_model(stage), prepared.images.pixels, tested, stage.recipe)
    shares: Array = softmax(logits / temperature, axis=1)
    return shares


def _score_fractures(stage: Run, prepared: Prepared, chosen: Array) -> tuple[Array, float]:
    """Compute calibrated fracture probabilities with one stage; also return its threshold."""
    evaluation = stage.json("evaluation.json")
    calibration, threshold = evaluation["probability_calibration"], float(evaluation["threshold"]["value"])
    if not len(chosen):
        return np.empty(0), threshold
    logits = outputs_of(stage.model(), prepared.images.pixels, chosen, stage.recipe)[:, 0]
    return probabilities(logits, calibration["slope"], calibration["intercept"]), threshold

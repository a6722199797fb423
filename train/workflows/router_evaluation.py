"""What a router's two stages are worth together: the test part goes through them as on the device."""

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
_OF_PROBABILITIES = ("auroc", "average_precision", "ece", "brier")  # figures that know no threshold


def assess_chain(run: Run, prepared: Prepared) -> None:
    """Score each test image with the fracture model of the part that was found, and write the figures.

    Each stage has its threshold. The figures of decisions therefore are those of the probability's
    distance to the threshold of the stage that answered, which is the same as deciding image by
    image; AUROC, average precision and calibration are those of the calibrated probabilities.
    """
    rows, parts = prepared.catalogue.in_split("test"), tuple(run.json("run.json")["parts"])
    tested = np.flatnonzero([row.split == "test" for row in prepared.catalogue.rows])
    shares = _body_parts(run, prepared, tested)
    answers = shares.argmax(axis=1)
    scores, thresholds = np.empty(len(tested)), np.empty(len(tested))
    for index, part in enumerate(parts):
        chosen = answers == index
        scores[chosen], thresholds[chosen] = _fractures(Run(run.path(f"stages/{part}")), prepared, tested[chosen])
    figures = {
        **gather_units(rows, 0.5 + (scores - thresholds) / 2).metrics(0.5),
        **{name: gather_units(rows, scores).metrics(0.5)[name] for name in _OF_PROBABILITIES},
    }
    targets = np.array([parts.index(row.body_part) for row in rows])
    stages = {part: Run(run.path(f"stages/{part}")).json("evaluation.json") for part in parts}
    columns = ["file", "part", "label", "group", "study", "body_part", "body_part_answer", "body_part_probability"]
    lines = [
        [r.file, "test", r.label, r.group, r.study, r.body_part, parts[a], f"{s.max():.6f}", f"{p:.8f}", f"{t:.8f}"]
        for r, a, s, p, t in zip(rows, answers, shares, scores, thresholds, strict=True)
    ]
    write_csv(run.path("predictions.csv"), [*columns, "fracture_probability", "threshold"], lines)
    evaluation = {
        "kind": "router",
        "thresholds": {part: found["threshold"]["value"] for part, found in stages.items()},
        "body_part": body_part_metrics(targets, answers, np.array([row.group for row in rows]), parts),
        "test": figures,
        "unreadable": prepared.images.unreadable,
    }
    write_json(run.path("evaluation.json"), evaluation)


def _body_parts(run: Run, prepared: Prepared, tested: Array) -> Array:
    """Calibrated probabilities (images, body parts)."""
    stage = Run(run.path("stages/body_part"))
    temperature = stage.json("evaluation.json")["probability_calibration"]["temperature"]
    logits = outputs_of(body_part_model(stage), prepared.images.pixels, tested, stage.recipe)
    shares: Array = softmax(logits / temperature, axis=1)
    return shares


def _fractures(stage: Run, prepared: Prepared, chosen: Array) -> tuple[Array, float]:
    """Calibrated fracture probabilities of images, by one stage, and its threshold."""
    evaluation = stage.json("evaluation.json")
    calibration, threshold = evaluation["probability_calibration"], float(evaluation["threshold"]["value"])
    if not len(chosen):
        return np.empty(0), threshold
    logits = outputs_of(stage.model(), prepared.images.pixels, chosen, stage.recipe)[:, 0]
    return probabilities(logits, calibration["slope"], calibration["intercept"]), threshold

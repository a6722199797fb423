"""Figures of a finished model on labelled radiographs."""

from pathlib import Path
from typing import Any

import numpy as np

from osteolite.edge.classifier import FractureClassifier
from osteolite.edge.errors import DatasetError, ImageError
from osteolite.edge.preprocess import preprocess
from osteolite.edge.radiograph import read_radiograph

from .catalogue import Catalogue
from .console import tracked
from .layouts import read_dataset
from .probability import probabilities
from .runs import Run
from .units import gather, subgroups


def evaluate(model: Path, data: Path, part: str | None) -> dict[str, Any]:
    """Score labelled images one by one, as a device does, and compute their figures.

    Args:
        model: a .tflite file, or a run folder, whose Keras model is then scored.
        data: a folder in a known layout, a CSV manifest, or a run's catalogue.csv.
        part: train, validation or test, where the data has parts; None takes all.

    Returns:
        What `Units.figures` gives, with "subgroups", and "unreadable", a message for each file left out.

    Raises:
        DatasetError: no image of that part, or of one of the classes, could be scored.
    """
    catalogue = _catalogue(data)
    rows = catalogue.part(part) if part else catalogue.rows
    score, threshold = _scorer(model)
    kept, scores, unreadable = [], [], {}
    for row in tracked(rows, "scoring", len(rows)):
        try:
            scores.append(score(catalogue.path(row)))
            kept.append(row)
        except ImageError as error:
            unreadable[row.file] = str(error)
    if {row.label for row in kept} != {0, 1}:
        raise DatasetError(f"{data}: images of both classes are needed{f' in its {part} part' if part else ''}")
    units = gather(kept, np.array(scores))
    return {**units.figures(threshold), "subgroups": subgroups(units, threshold), "unreadable": unreadable}


def _catalogue(data: Path) -> Catalogue:
    if data.name == "catalogue.csv" and (data.parent / "run.json").is_file():
        return Run.open(data.parent).catalogue
    return read_dataset(data)


def _scorer(model: Path) -> tuple[Any, float]:
    if not model.is_dir():
        classifier = FractureClassifier(model)
        return lambda path: classifier.predict(path).fracture_probability, classifier.description.threshold
    run = Run.open(model)
    network, spec, evaluation = run.model(), run.recipe.preprocessing, run.json("evaluation.json")
    calibration = evaluation["probability_calibration"]

    def score(path: Path) -> float:
        tensor = preprocess(read_radiograph(path, spec), spec)
        logit = np.asarray(network(tensor, training=False))[0, 0]
        return float(probabilities(logit, calibration["slope"], calibration["intercept"]))

    return score, evaluation["threshold"]["value"]

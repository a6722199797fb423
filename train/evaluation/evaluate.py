"""Figures of a finished model on labelled radiographs, and all that could make them look better than they are."""

import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from osteolite.edge.errors import DatasetError
from osteolite.edge.preprocess import PreprocessingSpec

from ..audit.external_data import unseen_images
from ..data.boxes import has_boxes, read_boxes
from ..data.catalogue import Catalogue, Row
from ..data.layouts import read_dataset
from ..metrics.bootstrap import bootstrap_weights, percentile_interval
from ..metrics.curves import curves
from ..metrics.metrics import auroc, sensitivity_at, weighted_metrics
from ..metrics.pointing_game import PointedImage, pointing_metrics
from ..metrics.units import Units, gather_units, subgroups
from ..runs.run_folder import Run
from .failures import draw_failures, make_folder
from .scoring import ScoredImage, answers, open_judge

SPECIFICITY = 0.7  # at which the sensitivity is told whatever the threshold
_COMPARED = PreprocessingSpec(64, 64)  # of pixels that nothing but duplicates are looked for in

Array = np.ndarray[Any, Any]


def evaluate(
    model: Path, data: Path, part: str | None, known: Path | None = None, failures: tuple[Path, int] | None = None
) -> dict[str, Any]:
    """Score labelled images one by one, as a device does, and compute their figures.

    Args:
        model: a .tflite file, or a run folder, whose Keras model is then scored.
        data: a folder in a known layout, a CSV manifest, or a run's catalogue.csv.
        part: train, validation or test, where the data has parts; None takes all.
        known: what the model was trained on, where `data` is another set: what is alike to it is left out, and
            images alike to each other count as one (see `external.unseen`).
        failures: a folder for pictures of the worst mistakes, and how many of each kind.

    Returns:
        What `Units.metrics` gives, with
        "threshold"; "subgroups", also by orientation and size of the images; "curves";
        "at_specificity": as `sensitivity_at` gives it;
        "pointing": as `pointing_metrics` gives it, None without boxes or a map;
        "warnings": {"images": with any, "kinds": {kind: images}};
        "unreadable": a message for each file left out;
        "failures" as `draw_failures`, and "external" as `unseen` gives them, or None;
        "against_run", where `data` is a run's catalogue: {"images", "flips": decisions that its Keras model took
        otherwise, "auroc": of that, "auroc_difference", "largest_probability_difference"}, or None.

    Raises:
        DatasetError: no image of that part, or of one of the classes, could be scored.
        UsageError: the folder for pictures cannot be made, or is not empty.
    """
    if failures:
        make_folder(failures[0])
    catalogue, external = _catalogue(data), None
    if known is not None:
        with tempfile.TemporaryDirectory() as folder:
            catalogue, external = unseen_images(catalogue, _catalogue(known), _COMPARED, Path(folder))
    rows = catalogue.in_split(part) if part else catalogue.rows
    judge, unreadable = open_judge(model), dict[str, str]()
    scored = list(answers(judge, catalogue, rows, unreadable))
    if {row.label for row, _ in scored} != {0, 1}:
        raise DatasetError(f"{data}: images of both classes are needed{f' in its {part} part' if part else ''}")
    units = gather_units([row for row, _ in scored], np.array([one.probability for _, one in scored]))
    given = {row.file: one for row, one in scored}
    drawn = draw_failures(judge, catalogue, scored, *failures) if failures else None
    return {
        **units.metrics(judge.threshold),
        "threshold": judge.threshold,
        "subgroups": subgroups(units, judge.threshold, _pictured(given)),
        "curves": curves(units.labels, units.scores),
        "at_specificity": sensitivity_at(units.labels, units.scores, units.groups, SPECIFICITY),
        "pointing": _pointing(catalogue, scored, judge.threshold) if judge.points else None,
        "warnings": _warnings(given.values()),
        "unreadable": unreadable,
        "failures": drawn,
        "external": external,
        "against_run": _against_run(data, part, units, judge.threshold),
    }


def _catalogue(data: Path) -> Catalogue:
    return Run.open(data.parent).catalogue if _of_run(data) else read_dataset(data)


def _of_run(data: Path) -> bool:
    return data.name == "catalogue.csv" and (data.parent / "run.json").is_file()


def _pictured(given: Mapping[str, ScoredImage]) -> dict[str, dict[str, str]]:
    """What an image is like that its content does not say, for subgroups."""
    return {
        "orientation": {file: one.orientation for file, one in given.items()},
        "size": {file: one.size for file, one in given.items()},
    }


def _pointing(
    catalogue: Catalogue, scored: Sequence[tuple[Row, ScoredImage]], threshold: float
) -> dict[str, Any] | None:
    if not has_boxes(catalogue):
        return None
    boxes = read_boxes(catalogue)
    played = [
        PointedImage(row.group, boxes[row.file].boxes, one.probability, one.point)
        for row, one in scored
        if row.label == 1 and row.file in boxes and boxes[row.file].fits(one.width, one.height)
    ]
    return pointing_metrics(played, threshold) if played else None


def _warnings(given: Any) -> dict[str, Any]:
    kinds = Counter(kind for one in given for kind in one.warnings)
    return {"images": sum(bool(one.warnings) for one in given), "kinds": dict(kinds.most_common())}


def _against_run(data: Path, part: str | None, units: Units, threshold: float) -> dict[str, Any] | None:
    """What differs from the Keras model of the run whose validation or test part this is."""
    if not _of_run(data) or part not in ("validation", "test"):
        return None
    run = Run.open(data.parent)
    trained = {line["file"]: float(line["fracture_probability"]) for line in run.predictions(part)}
    files = [rows[0].file for rows in units.rows]
    if units.unit != "image" or not set(files) <= set(trained):
        return None
    before = np.array([trained[file] for file in files])
    limit = run.json("evaluation.json")["threshold"]["value"]
    flipped = (before >= limit) != (units.scores >= threshold)
    return {
        "images": len(files),
        "flips": int(flipped.sum()),
        "auroc": round(auroc(units.labels, before), 5),
        "auroc_difference": _difference(units, before),
        "largest_probability_difference": round(float(np.abs(units.scores - before).max()), 5),
    }


def _difference(units: Units, before: Array) -> dict[str, float]:
    """Of the AUROC, with its interval by a paired bootstrap of groups."""
    weights = np.concatenate([np.ones((1, len(before))), bootstrap_weights(units.groups, units.labels, seed=0)])
    after, first = (weighted_metrics(units.labels, scores, 0.5, weights)["auroc"] for scores in (units.scores, before))
    changes = after - first
    low, high = percentile_interval(changes[1:])
    return {"value": round(float(changes[0]), 5), "low": round(low, 5), "high": round(high, 5)}

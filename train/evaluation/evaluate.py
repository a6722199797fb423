"""Evaluate a finished model on labelled radiographs: metrics, subgroups, warnings and known duplicates."""

import tempfile
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
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
from .scoring import ScoredImage, open_scorer, score_images

SPECIFICITY = 0.7  # at which the sensitivity is reported, independent of the threshold
_COMPARED = PreprocessingSpec(64, 64)  # input size for the search for duplicates

Array = np.ndarray[Any, Any]


def evaluate(
    model: Path, data: Path, split: str | None, known: Path | None = None, failures: tuple[Path, int] | None = None
) -> dict[str, Any]:
    """Score labelled images one by one, as a device does, and compute metrics.

    Args:
        model: a .tflite file, or a run folder for its Keras model.
        data: a folder in a known layout, a CSV manifest, or a run's catalogue.csv.
        split: train, validation or test, if the data has splits; None uses all images.
        known: the model's training data, if `data` is another data set: images that resemble one of it are left
            out, and images that resemble each other count as one (see `external_data.unseen_images`).
        failures: a folder for pictures of the worst mistakes, and the largest number of each kind.

    Returns:
        The result of `Units.metrics`, with
        "threshold"; "subgroups", also by orientation and size of the images; "curves";
        "at_specificity": the result of `sensitivity_at`;
        "pointing": the result of `pointing_metrics`, or None without boxes or a map;
        "warnings": {"images": number with a warning, "kinds": {kind: number of images}};
        "unreadable": a message for each file that was left out;
        "failures": the result of `draw_failures`, or None; "external": that of `unseen_images`, or None;
        "against_run", if `data` is a run's catalogue: {"images", "flips": number of decisions that differ from
        the run's Keras model, "auroc": of the Keras model, "auroc_difference",
        "largest_probability_difference"}, or None.

    Raises:
        DatasetError: no image of the split, or of one of the classes, could be scored.
        UsageError: the folder for pictures cannot be made, or is not empty.
    """
    if failures:
        make_folder(failures[0])
    catalogue, external = _read(data), None
    if known is not None:
        with tempfile.TemporaryDirectory() as folder:
            catalogue, external = unseen_images(catalogue, _read(known), _COMPARED, Path(folder))
    rows = catalogue.in_split(split) if split else catalogue.rows
    scorer, unreadable = open_scorer(model), dict[str, str]()
    scored = list(score_images(scorer, catalogue, rows, unreadable))
    if {row.label for row, _ in scored} != {0, 1}:
        raise DatasetError(f"{data}: images of both classes are needed{f' in the {split} split' if split else ''}")
    units = gather_units([row for row, _ in scored], np.array([one.probability for _, one in scored]))
    by_file = {row.file: one for row, one in scored}
    drawn = draw_failures(scorer, catalogue, scored, *failures) if failures else None
    return {
        **units.metrics(scorer.threshold),
        "threshold": scorer.threshold,
        "subgroups": subgroups(units, scorer.threshold, _image_properties(by_file)),
        "curves": curves(units.labels, units.scores),
        "at_specificity": sensitivity_at(units.labels, units.scores, units.groups, SPECIFICITY),
        "pointing": _pointing(catalogue, scored, scorer.threshold) if scorer.has_map else None,
        "warnings": _count_warnings(by_file.values()),
        "unreadable": unreadable,
        "failures": drawn,
        "external": external,
        "against_run": _compare_with_run(data, split, units, scorer.threshold),
    }


def _read(data: Path) -> Catalogue:
    return Run.open(data.parent).catalogue if _is_run_catalogue(data) else read_dataset(data)


def _is_run_catalogue(data: Path) -> bool:
    return data.name == "catalogue.csv" and (data.parent / "run.json").is_file()


def _image_properties(by_file: Mapping[str, ScoredImage]) -> dict[str, dict[str, str]]:
    """Orientation and size of each image, for subgroups."""
    return {
        "orientation": {file: one.orientation for file, one in by_file.items()},
        "size": {file: one.size for file, one in by_file.items()},
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


def _count_warnings(scored: Collection[ScoredImage]) -> dict[str, Any]:
    kinds = Counter(kind for one in scored for kind in one.warnings)
    return {"images": sum(bool(one.warnings) for one in scored), "kinds": dict(kinds.most_common())}


def _compare_with_run(data: Path, split: str | None, units: Units, threshold: float) -> dict[str, Any] | None:
    """Compare with the Keras model of the run, if this is its validation or test split."""
    if not _is_run_catalogue(data) or split not in ("validation", "test"):
        return None
    run = Run.open(data.parent)
    trained = {line["file"]: float(line["fracture_probability"]) for line in run.predictions(split)}
    files = [rows[0].file for rows in units.rows]
    if units.unit != "image" or not set(files) <= set(trained):
        return None
    before = np.array([trained[file] for file in files])
    run_threshold = run.json("evaluation.json")["threshold"]["value"]
    flipped = (before >= run_threshold) != (units.scores >= threshold)
    return {
        "images": len(files),
        "flips": int(flipped.sum()),
        "auroc": round(auroc(units.labels, before), 5),
        "auroc_difference": _auroc_difference(units, before),
        "largest_probability_difference": round(float(np.abs(units.scores - before).max()), 5),
    }


def _auroc_difference(units: Units, before: Array) -> dict[str, float]:
    """The difference of the AUROC, with an interval by paired bootstrap over groups."""
    weights = np.concatenate([np.ones((1, len(before))), bootstrap_weights(units.groups, units.labels, seed=0)])
    after, first = (weighted_metrics(units.labels, scores, 0.5, weights)["auroc"] for scores in (units.scores, before))
    changes = after - first
    low, high = percentile_interval(changes[1:])
    return {"value": round(float(changes[0]), 5), "low": round(low, 5), "high": round(high, 5)}

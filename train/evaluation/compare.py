"""Compare runs: test metrics, paired differences, and the spread over all of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from osteolite.edge.errors import UsageError

from ..metrics.bootstrap import bootstrap_weights, percentile_interval
from ..metrics.metrics import METRICS, weighted_metrics
from ..metrics.units import Units, gather_units, rows_of_predictions
from ..runs.run_folder import Run

Array = np.ndarray[Any, Any]

DIFFERENCES = ("auroc", "average_precision", "sensitivity", "specificity", "accuracy")


@dataclass(frozen=True)
class TestedRun:
    """A run's results on its test split."""

    folder: str
    about: dict[str, Any]  # run.json
    test: dict[str, Any]  # metrics
    units: Units  # sorted, so that equal test images have the same order
    thresholds: Array  # (units,), because the stages of a router have their own
    expected_sensitivity: dict[str, Any] | None = None  # the range expected from validation, and the test value


def compare(folders: Sequence[Path]) -> dict[str, Any]:
    """Compare finished runs on their test splits.

    Args:
        folders: two or more run folders; differences are from the first.

    Returns:
        {"runs": [{"run", "recipe", "seed", "weights", "unit", "count", "fractured", "test": metrics,
        "promise": the expected sensitivity, "differences": for each of `DIFFERENCES` {"value", "low", "high"},
        run minus first run, or null for the first and for a run on other test images, "same_test_images"}],
        "summary": for each of `METRICS` {"mean", "sd", "min", "max"} over the runs, or null where they
        differ by more than the seed}. The intervals of the differences are by paired bootstrap: both
        runs are scored on the same draws of the first run's groups.

    Raises:
        UsageError: fewer than two runs, or a folder without the metrics of a fracture model.
    """
    if len(folders) < 2:
        raise UsageError("compare needs two or more runs; name their folders")
    runs = [_read(folder) for folder in folders]
    first = runs[0]
    return {
        "runs": [_entry(first, run) for run in runs],
        "summary": _summary(runs) if len({_recipe_and_data(run) for run in runs}) == 1 else None,
    }


def _read(folder: Path) -> TestedRun:
    run = Run.open(folder)
    evaluation = run.json("evaluation.json")
    try:
        test = {key: evaluation["test"][key] for key in ("unit", "count", "fractured", *METRICS)}
        expected_sensitivity = evaluation.get("threshold", {}).get("promise")
        return TestedRun(str(folder), run.json("run.json"), test, *_units(run, evaluation), expected_sensitivity)
    except (KeyError, FileNotFoundError) as error:
        raise UsageError(
            f"{folder} has no {error} of a fracture model's test split; name a finished run folder, "
            "or train an older run again"
        ) from error


def _units(run: Run, evaluation: dict[str, Any]) -> tuple[Units, Array]:
    lines = run.predictions("test")
    own = "threshold" in lines[0]
    thresholds = [float(line["threshold"]) if own else evaluation["threshold"]["value"] for line in lines]
    rows, scores = rows_of_predictions(lines), [float(line["fracture_probability"]) for line in lines]
    return gather_units(rows, np.array(scores)), gather_units(rows, np.array(thresholds)).scores


def _entry(first: TestedRun, run: TestedRun) -> dict[str, Any]:
    same = _test_images(first) == _test_images(run)
    return {
        "run": run.folder,
        **{key: run.about[key] for key in ("recipe", "seed", "weights")},
        **{key: run.test[key] for key in ("unit", "count", "fractured")},
        "test": {name: run.test[name] for name in METRICS},
        "promise": run.expected_sensitivity,
        "same_test_images": same,
        "differences": _differences(first, run) if same and run is not first else None,
    }


def _test_images(run: TestedRun) -> list[tuple[str, int]]:
    """The test images and their labels."""
    return [(row.file, row.label) for rows in run.units.rows for row in rows]


def _differences(first: TestedRun, run: TestedRun) -> dict[str, Any]:
    labels = first.units.labels
    drawn = bootstrap_weights(first.units.groups, labels, seed=0)
    weights = np.vstack([np.ones(len(labels)), drawn])  # the first row is the test set itself
    before = weighted_metrics(labels, first.units.scores, first.thresholds, weights)
    after = weighted_metrics(labels, run.units.scores, run.thresholds, weights)
    result = {}
    for name in DIFFERENCES:
        change = after[name] - before[name]
        low, high = percentile_interval(change[1:])
        result[name] = {"value": round(float(change[0]), 5), "low": round(low, 5), "high": round(high, 5)}
    return result


def _recipe_and_data(run: TestedRun) -> tuple[str, str]:
    return run.about["recipe"], run.about["data"]


def _summary(runs: list[TestedRun]) -> dict[str, Any]:
    return {name: _spread([run.test[name]["value"] for run in runs]) for name in METRICS}


def _spread(values: list[float]) -> dict[str, float]:
    return {
        "mean": round(float(np.mean(values)), 5),
        "sd": round(float(np.std(values, ddof=1)), 5),
        "min": min(values),
        "max": max(values),
    }

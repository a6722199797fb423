"""Results of a cross-validation: metrics over the folds, and over all held-out predictions together."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..data.catalogue import Row
from ..metrics.bootstrap import bootstrap_weights, percentile_interval
from ..metrics.metrics import METRICS, weighted_metrics
from ..metrics.units import Units, gather_units
from ..recipe import Recipe
from ..runs.run_folder import Run

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class PooledScores:
    """Every image or study with the score from the model of its own fold, for which it was held out."""

    units: Units
    thresholds: Any  # (units,), the threshold chosen on the validation split of the unit's fold

    @property
    def rows(self) -> tuple[tuple[Row, ...], ...]:
        return self.units.rows

    def metrics(self, weights: Array) -> dict[str, Array]:
        """The metrics for each draw, as `weighted_metrics` returns them: each (draws,)."""
        return weighted_metrics(self.units.labels, self.units.scores, self.thresholds, weights)

    def draws(self) -> Array:
        """Bootstrap draws by group, the same for every model on the same images."""
        return bootstrap_weights(self.units.groups, self.units.labels, seed=0)


def pool_folds(runs: list[Run]) -> PooledScores:
    """Join the test splits of all folds."""
    rows: list[Row] = []
    scores: list[float] = []
    thresholds: dict[str, float] = {}
    for run in runs:
        threshold = run.json("evaluation.json")["threshold"]["value"]
        fold_scores = _test_scores(run)
        for row in run.catalogue.in_split("test"):
            rows.append(row)
            scores.append(fold_scores[row.file])
            thresholds[row.file] = threshold
    units = gather_units(rows, np.array(scores))
    return PooledScores(units, np.array([thresholds[images[0].file] for images in units.rows]))


def summary(recipe: Recipe, runs: list[Run], pooled: PooledScores) -> dict[str, Any]:
    """Summarise one model's cross-validation.

    Returns:
        {"name", "backbone", "start", "unit", "count", "folds": [{"run", "images", "threshold", and
        each of `METRICS`}], "mean" and "sd": each of `METRICS` over the folds (the sample standard
        deviation), "pooled": for each of `METRICS` {"value", "low", "high"} over all units together, each
        decided by the threshold of its own fold, with an interval by bootstrap over groups}.
    """
    folds = [_fold(run) for run in runs]
    values = {name: [fold[name] for fold in folds] for name in METRICS}
    point, drawn = pooled.metrics(np.ones((1, len(pooled.units.labels)))), pooled.metrics(pooled.draws())
    return {
        "name": recipe.name,
        "backbone": recipe.model.backbone,
        "start": runs[0].json("run.json")["weights"]["start"],
        "unit": pooled.units.unit,
        "count": len(pooled.units.labels),
        "folds": folds,
        "mean": {name: round(float(np.mean(found)), 5) for name, found in values.items()},
        "sd": {name: round(float(np.std(found, ddof=1)), 5) for name, found in values.items()},
        "pooled": {name: _with_interval(point[name][0], drawn[name]) for name in METRICS},
    }


def difference(first_name: str, first: PooledScores, second_name: str, second: PooledScores) -> dict[str, Any]:
    """Subtract the first model's metrics from the second's, on the same images.

    Returns:
        {"first", "second", and for each of `METRICS` {"value", "low", "high"}}, with an interval by paired
        bootstrap over groups: both models are scored on each draw.
    """
    weights = np.concatenate([np.ones((1, len(first.units.labels))), first.draws()])
    before, after = first.metrics(weights), second.metrics(weights)
    changes = {name: after[name] - before[name] for name in METRICS}
    return {
        "first": first_name,
        "second": second_name,
        **{name: _with_interval(change[0], change[1:]) for name, change in changes.items()},
    }


def _fold(run: Run) -> dict[str, Any]:
    evaluation = run.json("evaluation.json")
    test = evaluation["test"]
    return {
        "run": run.folder.name,
        "images": test["images"],
        "threshold": evaluation["threshold"]["value"],
        **{name: test[name]["value"] for name in METRICS},
    }


def _with_interval(value: Any, drawn: Array) -> dict[str, float]:
    low, high = percentile_interval(drawn)
    return {"value": round(float(value), 5), "low": round(low, 5), "high": round(high, 5)}


def _test_scores(run: Run) -> dict[str, float]:
    return {line["file"]: float(line["fracture_probability"]) for line in run.predictions("test")}

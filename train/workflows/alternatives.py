"""Train a recipe's alternatives one after another on the same images and split, and compare them in one table."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from osteolite.edge.atomic import write_csv, write_json

from ..keras import keras
from ..metrics.metrics import METRICS
from ..recipe import Recipe
from ..runs.initial_weights import describe_weights, find_weights
from ..runs.run_folder import Run
from .job import Job, claim_folder

COMPARED = ("accuracy", "recall", "precision", "auroc")


def train_alternatives(job: Job, train_one: Callable[[Job], Run]) -> list[Run]:
    """Train each alternative in its own subfolder of the job's folder, and write alternatives.json and table.csv.

    Raises:
        UsageError: the folder holds something else, or the starting weights of an alternative cannot be used;
            nothing has been trained then.
    """
    recipes = job.recipe.alternatives
    about = claim_folder(
        job,
        "alternatives.json",
        {
            "runs": [one.name for one in recipes],
            "weights": {one.name: describe_initial_weights(job, one) for one in recipes},
        },
    )
    runs = []
    for one in recipes:
        keras.backend.clear_session()  # frees the previous network
        runs.append(train_one(replace(job, recipe=one, out=job.out / one.name, cache=shared_cache(job.out, one))))
    results = [_result(run) for run in runs]
    write_json(job.out / "alternatives.json", {**about, "part": "test", "results": results})
    write_csv(job.out / "table.csv", *_csv_table(results))
    return runs


def describe_initial_weights(job: Job, recipe: Recipe) -> dict[str, str]:
    """Describe the starting weights of a recipe for the report."""
    return describe_weights(find_weights(recipe, job.weights, job.data))


def shared_cache(out: Path, recipe: Recipe) -> Path:
    """The pixel cache shared by all recipes with the same size, aspect and interpolation."""
    spec = recipe.preprocessing
    return out / "cache" / f"{spec.width}x{spec.height}_{spec.aspect}_{spec.interpolation}"


def comparison(results: list[dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Columns and rows of the table of metrics with intervals, from the results in alternatives.json."""
    rows = [
        [one["name"], one["backbone"], one["start"], *(_with_interval(one[name]) for name in COMPARED)]
        for one in results
    ]
    return ["alternative", "backbone", "start", *(METRICS[name] for name in COMPARED)], rows


def _with_interval(metric: dict[str, float]) -> str:
    return f"{metric['value']:.4f} ({metric['low']:.4f} to {metric['high']:.4f})"


def _result(run: Run) -> dict[str, Any]:
    recipe, test = run.recipe, run.json("evaluation.json")["test"]
    return {
        "name": recipe.name,
        "backbone": recipe.model.backbone,
        "start": run.json("run.json")["weights"]["start"],
        "images": test["images"],
        **{name: test[name] for name in COMPARED},
    }


def _csv_table(results: list[dict[str, Any]]) -> tuple[list[str], list[list[Any]]]:
    ends = ("value", "low", "high")
    columns = ["name", "backbone", "start", "images"]
    metrics = [name if end == "value" else f"{name}_{end}" for name in COMPARED for end in ends]
    rows = [[*(one[c] for c in columns), *(one[name][end] for name in COMPARED for end in ends)] for one in results]
    return [*columns, *metrics], rows

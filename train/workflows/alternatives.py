"""A recipe's alternatives, trained one after another on the same images and split, and compared in one table."""

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
    """Train each alternative into its own folder below the job's, and write alternatives.json and table.csv.

    Raises:
        UsageError: the folder holds something else, or the start of one of them is no good; then none is trained.
    """
    recipes = job.recipe.alternatives
    about = claim_folder(
        job,
        "alternatives.json",
        {"runs": [one.name for one in recipes], "weights": {one.name: start_of(job, one) for one in recipes}},
    )
    runs = []
    for one in recipes:
        keras.backend.clear_session()  # the network before is not needed any more
        runs.append(train_one(replace(job, recipe=one, out=job.out / one.name, cache=shared_cache(job.out, one))))
    results = [_result(run) for run in runs]
    write_json(job.out / "alternatives.json", {**about, "part": "test", "results": results})
    write_csv(job.out / "table.csv", *_plain(results))
    return runs


def start_of(job: Job, recipe: Recipe) -> dict[str, str]:
    """What the report says of the weights that this one starts from."""
    return describe_weights(find_weights(recipe, job.weights, job.data))


def shared_cache(out: Path, recipe: Recipe) -> Path:
    """The folder of the pixels that all whose input is fitted alike share."""
    spec = recipe.preprocessing
    return out / "cache" / f"{spec.width}x{spec.height}_{spec.aspect}_{spec.interpolation}"


def comparison(results: list[dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Columns and rows of the table of figures with their intervals, from alternatives.json's results."""
    rows = [
        [one["name"], one["backbone"], one["start"], *(_with_interval(one[f]) for f in COMPARED)] for one in results
    ]
    return ["alternative", "backbone", "start", *(METRICS[name] for name in COMPARED)], rows


def _with_interval(figure: dict[str, float]) -> str:
    return f"{figure['value']:.4f} ({figure['low']:.4f} to {figure['high']:.4f})"


def _result(run: Run) -> dict[str, Any]:
    recipe, test = run.recipe, run.json("evaluation.json")["test"]
    return {
        "name": recipe.name,
        "backbone": recipe.model.backbone,
        "start": run.json("run.json")["weights"]["start"],
        "images": test["images"],
        **{name: test[name] for name in COMPARED},
    }


def _plain(results: list[dict[str, Any]]) -> tuple[list[str], list[list[Any]]]:
    ends = ("value", "low", "high")
    columns = ["name", "backbone", "start", "images"]
    figures = [name if end == "value" else f"{name}_{end}" for name in COMPARED for end in ends]
    rows = [[*(one[c] for c in columns), *(one[name][end] for name in COMPARED for end in ends)] for one in results]
    return [*columns, *figures], rows

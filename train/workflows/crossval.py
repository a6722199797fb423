"""Cross-validation by group: every image is in the test split once."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from osteolite.edge.atomic import write_json
from osteolite.edge.errors import DatasetError, UsageError

from ..console import console
from ..data.splits import split_by_group, strata
from ..fitting.tasks import FractureTask
from ..keras import keras
from ..recipe import Recipe
from ..runs.initial_weights import find_weights
from ..runs.prepared import Prepared
from ..runs.run_folder import Run
from .alternatives import describe_initial_weights, shared_cache
from .assess import assess
from .job import Job, claim, claim_folder, open_job
from .out_of_fold import difference, pool_folds, summary
from .prepare import audit_splits, load_images, write_splits
from .router import FitFunction
from .train import fit

Array = np.ndarray[Any, Any]


def crossval(
    data: Path, recipe_name: str, folds: int, out: Path, weights: str | None, seed: int, fit: FitFunction = fit
) -> dict[str, Any]:
    """Train and evaluate a recipe, or each of its alternatives, once for each fold; finished folds are kept.

    A split that comes with the data is ignored. Every image is in the test split of one fold, together with
    its group. The validation split of each fold, which determines probability calibration and threshold, is
    drawn by group from the rest.

    Args:
        data: a folder in one of the known layouts, or a CSV manifest.
        recipe_name: a recipe's name, or the path of a TOML file.
        folds: 2 or more.
        out: a new folder, or that of an earlier identical call, for crossval.json and a run folder for each
            fold: `out`/foldN or, for a recipe with alternatives, `out`/NAME/foldN.
        weights: as for `initial_weights.find_weights`.
        seed: for the folds and each fit.
        fit: builds and fits a network in a run's folder.

    Returns:
        The content of crossval.json: {"recipe", "data", "layout", "seed", "folds", "weights", "versions",
        "images", "fractured", "groups", "results": for each alternative, as `out_of_fold.summary` returns it,
        "differences": of each later alternative from the first, as `out_of_fold.difference` returns it}.

    Raises:
        DatasetError: the data cannot be used, or a class has fewer groups than folds.
        UsageError: `out` holds something else, or the recipe or the weights cannot be used.
    """
    job = open_job(data, recipe_name, out, weights, seed, allow_leaks=False)
    recipe = job.recipe
    if recipe.stages:
        raise UsageError(f"recipe {recipe.name} has stages; crossval needs a recipe of one fracture model")
    recipes = recipe.alternatives or (recipe,)
    described = {one.name: describe_initial_weights(job, one) for one in recipes}
    about = claim_folder(job, "crossval.json", {"folds": folds, "weights": described})
    runs: dict[str, list[Run]] = {one.name: [] for one in recipes}
    for one, prepared, number in _folds(job, recipes, folds):
        folder = out / one.name if recipe.alternatives else out
        runs[one.name].append(_train_fold(replace(job, recipe=one, out=folder / f"fold{number}"), prepared, fit))
    pooled = [pool_folds(found) for found in runs.values()]
    rows = [row for units in pooled[0].rows for row in units]
    found = {
        **about,
        "images": len(rows),
        "fractured": sum(row.label for row in rows),
        "groups": len({row.group for row in rows}),
        "results": [summary(one, runs[one.name], units) for one, units in zip(recipes, pooled, strict=True)],
        "differences": [
            difference(recipes[0].name, pooled[0], recipes[i].name, pooled[i]) for i in range(1, len(recipes))
        ],
    }
    write_json(out / "crossval.json", found)
    return found


def assign_folds(prepared: Prepared, folds: int, seed: int) -> Array:
    """Assign each image to a fold, 1 to `folds`, by group, with classes and body parts as even as the groups allow.

    Raises:
        DatasetError: a class has fewer groups than folds.
    """
    rows = list(prepared.catalogue.rows)
    groups = {label: len({row.group for row in rows if row.label == label}) for label in (0, 1)}
    if min(groups.values()) < folds:
        raise DatasetError(
            f"the data has {groups[1]} groups of fractured and {groups[0]} of normal images; {folds} folds need at "
            f"least {folds} of each; use fewer --folds"
        )
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    assigned = np.zeros(len(rows), int)
    for number, (_, held_out) in enumerate(splitter.split(rows, strata(rows, folds), [row.group for row in rows]), 1):
        assigned[held_out] = number
    return assigned


def _folds(job: Job, recipes: tuple[Recipe, ...], folds: int) -> Iterator[tuple[Recipe, Prepared, int]]:
    """Yield recipe, split images and number of each fold. Recipes with the same input share the decoded pixels."""
    assigned: Array | None = None
    by_cache: dict[Path, Prepared] = {}
    for recipe in recipes:
        cache = shared_cache(job.out, recipe)
        prepared = by_cache[cache] = by_cache.get(cache) or load_images(job.found, recipe, cache)
        assigned = assign_folds(prepared, folds, job.seed) if assigned is None else assigned
        for number in range(1, folds + 1):
            console.print(f"\n{recipe.name}, fold {number} of {folds}")
            yield recipe, _with_fold(prepared, assigned == number, recipe, job.seed), number


def _with_fold(prepared: Prepared, tested: Array, recipe: Recipe, seed: int) -> Prepared:
    rows = zip(prepared.catalogue.rows, tested, strict=True)
    catalogue = prepared.catalogue.with_rows(replace(row, split="test" if held else "") for row, held in rows)
    return prepared.with_catalogue(split_by_group(catalogue, recipe.data.validation, recipe.data.test, seed))


def _train_fold(job: Job, prepared: Prepared, fit: FitFunction) -> Run:
    initial_weights = find_weights(job.recipe, job.weights, job.data)
    run = claim(job, initial_weights)
    if run.path("evaluation.json").is_file():
        console.print(f"{run.folder} is already trained")
        return run
    audit_splits(job, run, initial_weights, prepared)
    write_splits(prepared, run, initial_weights)
    keras.backend.clear_session()  # frees the previous fold's network
    model, progress = fit(run, job.recipe, FractureTask(job.recipe.model.outputs), prepared, initial_weights, job.seed)
    assess(run, job.recipe, model, prepared, progress)
    return run

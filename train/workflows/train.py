"""Train and evaluate a recipe on labelled radiographs."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from ..console import console
from ..fitting.distillation import Teacher
from ..fitting.distributed import SINGLE_PROCESS, Workers, open_workers
from ..fitting.fit import Fit, Progress
from ..fitting.tasks import FractureTask, Task
from ..keras import keras
from ..networks.model import build_model, with_map_term
from ..recipe import Recipe
from ..runs.initial_weights import find_weights
from ..runs.prepared import Prepared
from ..runs.run_folder import Run
from .alternatives import train_alternatives
from .assess import assess
from .job import Job, claim, open_job
from .prepare import prepare
from .router import train_router


def train(
    data: Path,
    recipe_name: str,
    out: Path,
    weights: str | None,
    seed: int,
    allow_leaks: bool = False,
    strategy: str = "none",
) -> list[Run]:
    """Train a recipe on labelled radiographs. An interrupted run is resumed.

    Args:
        data: a folder in one of the known layouts, or a CSV manifest.
        recipe_name: a recipe's name, or the path of a TOML file.
        out: the run folder: new, or that of an earlier identical call.
        weights: imagenet, none, a weights file or a run folder; None uses the recipe's setting.
        seed: for the split, the shuffling, the augmentation and the initial weights of the head.
        allow_leaks: train even if the data's own split leaks.
        strategy: one of `distributed.STRATEGIES`.

    Returns:
        The finished run, or one for each alternative of the recipe, in `out`/NAME. The list is empty in a
        worker that is not the chief.

    Raises:
        DatasetError: the data cannot be used.
        AuditRefusal: the data's own split leaks.
        UsageError: `out` holds something else, or the recipe or the weights cannot be used.
    """
    job = open_job(data, recipe_name, out, weights, seed, allow_leaks)
    with open_workers(strategy, out) as workers:
        runs = _train(replace(job, out=workers.folder), workers)
    return runs if workers.chief else []


def _train(job: Job, workers: Workers) -> list[Run]:
    if job.recipe.alternatives:
        return train_alternatives(job, partial(train_one, workers=workers))
    if job.recipe.stages:
        return [train_router(job, partial(fit, workers=workers))]
    return [train_one(job, workers)]


def train_one(job: Job, workers: Workers = SINGLE_PROCESS) -> Run:
    """Train one fracture model."""
    recipe = job.recipe
    initial_weights = find_weights(recipe, job.weights, job.data)
    run = claim(job, initial_weights)
    if run.path("evaluation.json").is_file():
        console.print(f"{run.folder} is already trained")
        return run
    console.print(f"recipe {recipe.name}, starting weights: {initial_weights or 'none'}")
    prepared = prepare(job, run, initial_weights)
    model, progress = fit(run, recipe, FractureTask(recipe.model.outputs), prepared, initial_weights, job.seed, workers)
    assess(run, recipe, model, prepared, progress)
    return run


def fit(
    run: Run,
    recipe: Recipe,
    task: Task,
    prepared: Prepared,
    initial_weights: str | None,
    seed: int,
    workers: Workers = SINGLE_PROCESS,
) -> tuple[Any, Progress]:
    """Build the recipe's network for a task and fit it in the run's folder.

    Args:
        run: the claimed folder.
        recipe: network, augmentation and phases.
        task: the classification task.
        prepared: the images with their splits.
        initial_weights: the result of `find_weights`.
        seed: for the initial weights of the head, the shuffling and the augmentation.
        workers: the processes that train together.

    Returns:
        The Keras model with its final weights, and the progress of the fit.
    """
    keras.utils.set_random_seed(seed)
    model = build_model(recipe, initial_weights, task.outputs)
    teacher = Teacher(recipe, run, prepared.catalogue) if recipe.training.teacher else None
    fitting = Fit(
        model, task, recipe, prepared, run.folder, initial_weights is not None, seed, workers, teacher=teacher
    )
    progress = fitting.run()
    return with_map_term(model, recipe), progress

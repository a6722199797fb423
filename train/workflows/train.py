"""From labelled radiographs to a trained and evaluated run folder."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from ..console import console
from ..fitting.distillation import Teacher
from ..fitting.distributed import ALONE, Workers, open_crew
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
    """Train a recipe on labelled radiographs; an interrupted run goes on where it was.

    Args:
        data: a folder in one of the known layouts, or a CSV manifest.
        recipe_name: a recipe's name, or the path of a TOML file.
        out: the run folder, new or of the same call.
        weights: imagenet, none, a weights file or a run folder; None takes the recipe's own start.
        seed: of the split, the shuffling, the augmentation and the head's start.
        allow_leaks: train even where the data's own split leaks.
        strategy: one of `strategy.STRATEGIES`.

    Returns:
        The finished run; of a recipe with alternatives one for each, in `out`/NAME.
        Nothing where another worker is the chief: the runs are its own.

    Raises:
        DatasetError: the data cannot be used as it is.
        AuditRefusal: the data's own split leaks.
        UsageError: `out` holds something else, or the recipe or the weights are no good.
    """
    job = open_job(data, recipe_name, out, weights, seed, allow_leaks)
    with open_crew(strategy, out) as crew:
        runs = _train(replace(job, out=crew.folder), crew)
    return runs if crew.chief else []


def _train(job: Job, crew: Workers) -> list[Run]:
    if job.recipe.alternatives:
        return train_alternatives(job, partial(train_one, crew=crew))
    if job.recipe.stages:
        return [train_router(job, partial(fit, crew=crew))]
    return [train_one(job, crew)]


def train_one(job: Job, crew: Workers = ALONE) -> Run:
    """Train one fracture model."""
    recipe = job.recipe
    start = find_weights(recipe, job.weights, job.data)
    run = claim(job, start)
    if run.path("evaluation.json").is_file():
        console.print(f"{run.folder} is trained already")
        return run
    console.print(f"recipe {recipe.name}, starting weights: {start or 'none'}")
    prepared = prepare(job, run, start)
    model, progress = fit(run, recipe, FractureTask(recipe.model.outputs), prepared, start, job.seed, crew)
    assess(run, recipe, model, prepared, progress)
    return run


def fit(
    run: Run, recipe: Recipe, task: Task, prepared: Prepared, start: str | None, seed: int, crew: Workers = ALONE
) -> tuple[Any, Progress]:
    """Build the recipe's network for a task and fit it in the run's folder.

    Args:
        run: the claimed folder.
        recipe: network, augmentation and phases.
        task: what the network is asked.
        prepared: images with their parts.
        start: as `find_weights` gives it.
        seed: of the head's start, the shuffling and the augmentation.
        crew: the processes that train together.

    Returns:
        The Keras model with the weights that stay, as it is used, and how the fit went.
    """
    keras.utils.set_random_seed(seed)
    model = build_model(recipe, start, task.outputs)
    teacher = Teacher(recipe, run, prepared.catalogue) if recipe.training.teacher else None
    work = Fit(model, task, recipe, prepared, run.folder, start is not None, seed, crew, teacher=teacher)
    progress = work.run()
    return with_map_term(model, recipe), progress

"""From labelled radiographs to a trained and evaluated run folder."""

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

from osteolite.edge.atomic import write_json, write_text
from osteolite.edge.errors import UsageError

from .assess import assess
from .backbones import describe_weights, find_weights
from .console import console
from .fit import Fit, Progress
from .keras import keras
from .layouts import read_dataset
from .model import build_model
from .prepare import Prepared, prepare
from .recipe import Recipe, load_recipe, to_toml
from .runs import Run
from .tasks import FractureTask, Task

_PACKAGES = ("osteolite", "tensorflow", "tf-keras", "numpy", "pillow", "scikit-learn")


def train(data: Path, recipe_name: str, out: Path, weights: str | None, seed: int) -> Run:
    """Train a recipe on a folder of labelled radiographs; an interrupted run goes on where it was.

    Args:
        data: a folder in one of the known layouts, or a CSV manifest.
        recipe_name: a recipe's name, or the path of a TOML file.
        out: the run folder, new or of the same call.
        weights: imagenet, none, a weights file or a run folder; None takes the recipe's own start.
        seed: of the split, the shuffling, the augmentation and the head's start.

    Raises:
        DatasetError: the data cannot be used as it is.
        UsageError: `out` holds something else, or the recipe or the weights are no good.
    """
    recipe, found = load_recipe(recipe_name), read_dataset(data)
    start = find_weights(recipe, weights, data)
    run = claim(out, recipe, data, start, seed)
    if run.path("evaluation.json").is_file():
        console.print(f"{out} is trained already")
        return run
    console.print(f"recipe {recipe.name}, starting weights: {start or 'none'}")
    prepared = prepare(found, recipe, run, seed)
    task = FractureTask(recipe.model.outputs)
    model, progress = fit(run, recipe, task, prepared, start, seed)
    assess(run, recipe, model, prepared, progress)
    return run


def fit(run: Run, recipe: Recipe, task: Task, prepared: Prepared, start: str | None, seed: int) -> tuple[Any, Progress]:
    """Build the recipe's network for a task and fit it in the run's folder.

    Args:
        run: the claimed folder.
        recipe: network, augmentation and phases.
        task: what the network is asked.
        prepared: images with their parts.
        start: as `find_weights` gives it.
        seed: of the head's start, the shuffling and the augmentation.

    Returns:
        The Keras model with its best weights, and how the fit went.
    """
    keras.utils.set_random_seed(seed)
    model = build_model(recipe, start, task.outputs)
    work = Fit(model, task, recipe, prepared, run.folder, pretrained=start is not None, seed=seed)
    return model, work.run()


def claim(out: Path, recipe: Recipe, data: Path, start: str | None, seed: int) -> Run:
    """Make the folder this run's own, or see that it is.

    Raises:
        UsageError: the folder holds another run.
    """
    about = {
        "recipe": recipe.name,
        "data": str(data.resolve()),
        "layout": "",
        "seed": seed,
        "weights": describe_weights(start),
        "versions": {package: version(package) for package in _PACKAGES},
    }
    known = out / "run.json"
    if known.is_file():
        before = json.loads(known.read_text(encoding="utf-8"))
        same = all(before[key] == about[key] for key in ("recipe", "data", "seed", "weights"))
        if not same or Run(out).recipe != recipe:
            raise UsageError(f"{out} holds a run of another recipe, data, seed or start; name another --out")
        return Run(out)
    if out.exists() and any(out.iterdir()):
        raise UsageError(f"{out} is not empty and holds no run; name another --out")
    write_text(out / "recipe.toml", to_toml(recipe))
    write_json(known, about)
    return Run(out)

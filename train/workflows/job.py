"""What a call of `osteolite train` asks for, and the folder that is its own."""

import json
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from osteolite.edge.atomic import write_json, write_text
from osteolite.edge.errors import UsageError

from ..console import console
from ..data.boxes import has_boxes
from ..data.catalogue import Catalogue
from ..data.layouts import read_dataset
from ..fitting.distillation import check_teaching, describe_teacher
from ..recipe import Recipe, load_recipe, to_toml
from ..runs.initial_weights import describe_weights
from ..runs.run_folder import Run

_PACKAGES = ("osteolite", "tensorflow", "tf-keras", "numpy", "pillow", "scikit-learn")


@dataclass(frozen=True)
class Job:
    """One training that is asked for."""

    recipe: Recipe
    found: Catalogue  # what the data set holds, before anything is read
    data: Path  # folder or manifest, as the user named it
    out: Path  # the run folder
    weights: str | None  # imagenet, none, a weights file or a run folder; None: the recipe's own start
    seed: int
    allow_leaks: bool
    cache: Path | None = None  # of the fitted pixels, where several jobs share it; None: in the run folder


def open_job(data: Path, recipe_name: str, out: Path, weights: str | None, seed: int, allow_leaks: bool) -> Job:
    """A job of a recipe's name; where the data has no fracture boxes, the recipe goes without a fracture map.

    Raises:
        DatasetError: the data has no known layout.
        UsageError: no such recipe, or one whose fracture map learns from nothing.
    """
    recipe, found = load_recipe(recipe_name), read_dataset(data)
    for one in (recipe, *recipe.alternatives):
        check_teaching(one)
        _check_map(one)
    if not has_boxes(found):
        if any(one.model.fracture_map for one in (recipe, *recipe.alternatives)):
            console.print("note: the data has no fracture boxes, so the network learns no fracture map")
        recipe = _without_map(recipe)
    return Job(recipe, found, data, out, weights, seed, allow_leaks)


def _check_map(recipe: Recipe) -> None:
    mapped, training = recipe.model.fracture_map, recipe.training
    if mapped != (training.box_weight > 0):
        raise UsageError(
            f"recipe {recipe.name}: model.fracture_map is {mapped} and training.box_weight "
            f"{training.box_weight:g}; a fracture map needs a weight above 0, and a weight needs a map"
        )
    if training.pointing_weight < 0 or (training.pointing_weight and not mapped):
        raise UsageError(
            f"recipe {recipe.name}: training.pointing_weight is {training.pointing_weight:g} and model.fracture_map "
            f"{mapped}; the weight is 0 or more, and above 0 it needs a map"
        )


def _without_map(recipe: Recipe) -> Recipe:
    model = replace(recipe.model, fracture_map=False)
    return replace(recipe, model=model, alternatives=tuple(map(_without_map, recipe.alternatives)))


def claim(job: Job, start: str | None) -> Run:
    """Make the job's folder its own run, or see that it is.

    Args:
        job: the training.
        start: the starting weights, as `starts.find_weights` found them.

    Raises:
        UsageError: the folder holds another run.
    """
    claim_folder(job, "run.json", {"weights": describe_weights(start), **describe_teacher(job.recipe)})
    return Run(job.out)


def claim_folder(job: Job, record: str, more: dict[str, Any]) -> dict[str, Any]:
    """Make the job's folder its own, or see that it is.

    Args:
        job: the training, or the recipe with alternatives, or the cross-validation.
        record: the file that says whose the folder is.
        more: what else must be the same when the call is repeated.

    Returns:
        What stands in the record.

    Raises:
        UsageError: the folder holds something else.
    """
    out = job.out
    about = {
        "recipe": job.recipe.name,
        "data": str(job.data.resolve()),
        "root": str(job.found.root.resolve()),
        "layout": job.found.layout,
        "attribution": job.recipe.attribution.strip() or job.found.attribution,
        "seed": job.seed,
        **more,
    }
    known = out / record
    if known.is_file():
        before: dict[str, Any] = json.loads(known.read_text(encoding="utf-8"))
        same = all(before.get(key) == about[key] for key in about if key not in ("layout", "attribution"))
        if not same or Run(out).recipe != job.recipe:
            raise UsageError(f"{out} holds a run of another recipe, data, seed or start; name another --out")
        return before
    if out.exists() and any(out.iterdir()):
        raise UsageError(f"{out} is not empty and holds no run; name another --out")
    about["versions"] = {package: version(package) for package in _PACKAGES}
    write_text(out / "recipe.toml", to_toml(job.recipe))
    write_json(known, about)
    return about

"""The settings of one training, and its claim on a run folder."""

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
from ..fitting.distillation import check_teacher, describe_teacher
from ..recipe import Recipe, load_recipe, to_toml
from ..runs.initial_weights import describe_weights
from ..runs.run_folder import Run

_PACKAGES = ("osteolite", "tensorflow", "tf-keras", "numpy", "pillow", "scikit-learn")


@dataclass(frozen=True)
class Job:
    """The settings of one training."""

    recipe: Recipe
    found: Catalogue  # the data set's images, before any is read
    data: Path  # folder or manifest, as named by the user
    out: Path  # the run folder
    weights: str | None  # imagenet, none, a weights file or a run folder; None: the recipe's setting
    seed: int
    allow_leaks: bool
    cache: Path | None = None  # pixel cache shared with other jobs; None: in the run folder


def open_job(data: Path, recipe_name: str, out: Path, weights: str | None, seed: int, allow_leaks: bool) -> Job:
    """Read recipe and data set into a job. Without fracture boxes, the recipe is used without its fracture map.

    Raises:
        DatasetError: the layout of the data is unknown.
        UsageError: the recipe does not exist, or its settings contradict each other.
    """
    recipe, found = load_recipe(recipe_name), read_dataset(data)
    for one in (recipe, *recipe.alternatives):
        check_teacher(one)
        _check_map(one)
    if not has_boxes(found):
        if any(one.model.fracture_map for one in (recipe, *recipe.alternatives)):
            console.print("note: the data has no fracture boxes; training without a fracture map")
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


def claim(job: Job, initial_weights: str | None) -> Run:
    """Claim the job's folder for its run, or check that it belongs to it already.

    Args:
        job: the training.
        initial_weights: the result of `find_weights`.

    Raises:
        UsageError: the folder holds another run.
    """
    claim_folder(job, "run.json", {"weights": describe_weights(initial_weights), **describe_teacher(job.recipe)})
    return Run(job.out)


def claim_folder(job: Job, record: str, more: dict[str, Any]) -> dict[str, Any]:
    """Claim the job's folder, or check that it belongs to the job already.

    Args:
        job: the training, the recipe with alternatives, or the cross-validation.
        record: name of the file that identifies the folder's owner.
        more: further entries that must be the same when the call is repeated.

    Returns:
        The content of the record.

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
            raise UsageError(
                f"{out} holds a run with another recipe, data, seed or starting weights; name another --out"
            )
        return before
    if out.exists() and any(out.iterdir()):
        raise UsageError(f"{out} is not empty and is not a run folder; name another --out")
    about["versions"] = {package: version(package) for package in _PACKAGES}
    write_text(out / "recipe.toml", to_toml(job.recipe))
    write_json(known, about)
    return about

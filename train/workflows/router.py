"""Train a router: a network for the body part, then a fracture network for each body part.

Each stage has its own run folder in the router's: stages/body_part, and stages/PART for each body part
with enough images. All stages share the decoded images and the split, so that no stage is trained on an
image that another is tested on.
"""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from osteolite.edge.atomic import write_json
from osteolite.edge.errors import DatasetError, UsageError

from ..audit.duplicates import Duplicates
from ..console import console
from ..data.catalogue import SPLITS, Catalogue
from ..data.pixel_cache import Images
from ..data.splits import split_by_group
from ..fitting.tasks import BodyPartTask, FractureTask
from ..recipe import Recipe
from ..runs.initial_weights import find_weights
from ..runs.prepared import Prepared
from ..runs.run_folder import Run
from .assess import assess
from .body_part import assess_body_parts
from .job import Job, claim
from .prepare import audit_splits, load_images, write_splits
from .router_evaluation import assess_router

BODY_PART = "body_part"  # the first stage
_LEAST = 3  # images of each class in each split that a body part needs for its own stage

FitFunction = Callable[..., tuple[Any, Any]]  # the signature of `train.fit`


def train_router(job: Job, fit: FitFunction) -> Run:
    """Train the body-part network and a fracture network for each body part; finished stages are skipped.

    Args:
        job: the training; its recipe's stages are "body_part".
        fit: builds and fits a network in a run's folder, as `train.fit` does.

    Returns:
        The finished run; its evaluation.json holds the metrics of both stages together on the test split.

    Raises:
        DatasetError: fewer than two body parts have enough images, or a body part cannot name a folder.
        AuditRefusal: the data's own split leaks, and the job does not allow it.
        UsageError: the stages are unknown, or the folder holds another run.
    """
    if job.recipe.stages != BODY_PART:
        raise UsageError(f"recipe.stages is {job.recipe.stages!r}; the only known value is {BODY_PART!r}")
    initial_weights = find_weights(job.recipe, job.weights, job.data)
    run = claim(job, initial_weights)
    if run.path("evaluation.json").is_file():
        console.print(f"{run.folder} is already trained")
        return run
    console.print(f"recipe {job.recipe.name}, starting weights: {initial_weights or 'none'}")
    prepared = _prepare(job, run, initial_weights)
    body_parts = tuple(sorted({row.body_part for row in prepared.catalogue.rows}))
    _update_run_json(run, kind="router", parts=list(body_parts))
    _train_body_part(job, fit, initial_weights, prepared, body_parts)
    for body_part in body_parts:
        _train_fracture(job, fit, initial_weights, prepared, body_part)
    assess_router(run, prepared)
    return run


def _prepare(job: Job, run: Run, initial_weights: str | None) -> Prepared:
    """Read, split and audit the images that show one body part; body parts with too few images are left out."""
    named = Counter(_body_part_count(row.body_part) for row in job.found.rows)
    if named["none"] or named["several"]:
        console.print(f"left out: {named['none']} images without a body part, {named['several']} with several")
    single = job.found.with_rows(row for row in job.found.rows if _body_part_count(row.body_part) == "one")
    if not single.rows:
        raise DatasetError(
            f"{job.found.root} names no body parts, but recipe {job.recipe.name} needs them; use another recipe"
        )
    data = job.recipe.data
    prepared = load_images(single, job.recipe, job.cache or run.path("cache"))
    catalogue = split_by_group(prepared.catalogue, data.validation, data.test, data.split_seed or job.seed)
    body_parts = _body_parts_with_enough_images(catalogue)
    chosen = np.array([row.body_part in body_parts for row in catalogue.rows])
    prepared = _select(prepared.with_catalogue(catalogue), chosen)
    audit_splits(job, run, initial_weights, prepared)
    write_splits(prepared, run, initial_weights)
    return prepared


def _body_part_count(body_part: str) -> str:
    return "none" if not body_part else "several" if "+" in body_part else "one"


def _body_parts_with_enough_images(catalogue: Catalogue) -> set[str]:
    enough = set()
    count = Counter((row.body_part, row.split, row.label) for row in catalogue.rows)
    for body_part in sorted({row.body_part for row in catalogue.rows}):
        least, where, label = min(
            (count[body_part, split, label], split, label) for split in SPLITS for label in (0, 1)
        )
        if least < _LEAST:
            what = "fractured" if label else "normal"
            console.print(
                f"left out: body part {body_part} has {least} {what} images in the {where} split; {_LEAST} are needed"
            )
        elif body_part == BODY_PART or not re.fullmatch(r"\w[\w .-]*", body_part):
            raise DatasetError(
                f"body part {body_part!r} cannot name a stage's folder; use letters, digits, '_', '-' and '.'"
            )
        else:
            enough.add(body_part)
    if len(enough) < 2:
        raise DatasetError(
            f"{len(enough)} of the body parts in {catalogue.root} have {_LEAST} images of each class in each of "
            f"{', '.join(SPLITS)}; a router needs two body parts; add images or use a recipe without stages"
        )
    return enough


def _select(prepared: Prepared, mask: Any) -> Prepared:
    """Select the images for which the mask is true."""
    images, kept = prepared.images, np.flatnonzero(mask)
    new_index = {int(index): new for new, index in enumerate(kept)}

    def pairs(found: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
        return tuple((new_index[i], new_index[j]) for i, j in found if i in new_index and j in new_index)

    chosen = Images(
        images.catalogue.with_rows(images.catalogue.rows[i] for i in kept),
        images.pixels[kept],
        images.squares[kept],
        tuple(images.facts[i] for i in kept),
        images.unreadable,
    )
    duplicates = Duplicates(pairs(prepared.duplicates.identical), pairs(prepared.duplicates.near))
    return Prepared(chosen, prepared.catalogue.with_rows(prepared.catalogue.rows[i] for i in kept), duplicates)


def _train_body_part(
    job: Job, fit: FitFunction, initial_weights: str | None, prepared: Prepared, body_parts: tuple[str, ...]
) -> None:
    model = replace(job.recipe.model, fracture_map=False)
    recipe = replace(job.recipe, name=f"{job.recipe.name}_{BODY_PART}", stages="", model=model)
    run = _claim_stage(job, recipe, initial_weights, BODY_PART, prepared)
    if run is None:
        return
    _update_run_json(run, kind=BODY_PART, parts=list(body_parts))
    task = BodyPartTask(body_parts)
    network, progress = fit(run, recipe, task, prepared, initial_weights, job.seed)
    assess_body_parts(run, recipe, task, network, prepared, progress)


def _train_fracture(
    job: Job, fit: FitFunction, initial_weights: str | None, prepared: Prepared, body_part: str
) -> None:
    data = replace(job.recipe.data, body_part=body_part)
    recipe = replace(job.recipe, name=f"{job.recipe.name}_{body_part}", stages="", data=data)
    chosen = _select(prepared, np.array([row.body_part == body_part for row in prepared.catalogue.rows]))
    run = _claim_stage(job, recipe, initial_weights, body_part, chosen)
    if run is None:
        return
    model, progress = fit(run, recipe, FractureTask(recipe.model.outputs), chosen, initial_weights, job.seed)
    assess(run, recipe, model, chosen, progress)


def _claim_stage(job: Job, recipe: Recipe, initial_weights: str | None, stage: str, prepared: Prepared) -> Run | None:
    """Claim the stage's run folder and write its catalogue; None if the stage is already trained."""
    run = claim(replace(job, recipe=recipe, out=job.out / "stages" / stage), initial_weights)
    if run.path("evaluation.json").is_file():
        console.print(f"{run.folder} is already trained")
        return None
    console.print(f"stage {stage}: {prepared.catalogue.describe()}")
    _update_run_json(run, audit=Run(job.out).json("run.json")["audit"])
    write_splits(prepared, run, initial_weights)
    return run


def _update_run_json(run: Run, **entries: Any) -> None:
    write_json(run.path("run.json"), {**run.json("run.json"), **entries})

"""Two stages: which body part, then whether that part is fractured.

Each stage is a run folder of its own below the router's: stages/body_part, and stages/PART for each
body part that has enough images. All of them share one reading of the images and one split, so that
no stage has seen an image that another one is tested on.
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
from .prepare import audit_splits, read, write_splits
from .router_evaluation import assess_chain

BODY_PART = "body_part"  # the first stage, and what it answers
_LEAST = 3  # images of each class in each of train, validation and test, for a body part to have its stage

Fitting = Callable[..., tuple[Any, Any]]  # `train.fit`


def train_router(job: Job, fit: Fitting) -> Run:
    """Train the body-part model and one fracture model for each part; stages that are done are skipped.

    Args:
        job: the training; its recipe's stages are "body_part".
        fit: builds and fits a network in a run's folder, as `train.fit` does.

    Returns:
        The finished run, whose evaluation.json is of the whole chain on the test part.

    Raises:
        DatasetError: fewer than two body parts have enough images, or a part's name is no folder's.
        AuditRefusal: the data's own split leaks, and the job does not allow it.
        UsageError: unknown stages, or the folder holds another run.
    """
    if job.recipe.stages != BODY_PART:
        raise UsageError(f"recipe.stages is {job.recipe.stages!r}; {BODY_PART!r} is known")
    start = find_weights(job.recipe, job.weights, job.data)
    run = claim(job, start)
    if run.path("evaluation.json").is_file():
        console.print(f"{run.folder} is trained already")
        return run
    console.print(f"recipe {job.recipe.name}, starting weights: {start or 'none'}")
    prepared = _prepare(job, run, start)
    parts = tuple(sorted({row.body_part for row in prepared.catalogue.rows}))
    _annotate(run, kind="router", parts=list(parts))
    _train_body_part(job, fit, start, prepared, parts)
    for part in parts:
        _train_fracture(job, fit, start, prepared, part)
    assess_chain(run, prepared)
    return run


def _prepare(job: Job, run: Run, start: str | None) -> Prepared:
    """Read, split and audit the images of one body part each; parts with too few are left out."""
    named = Counter(_how_many(row.body_part) for row in job.found.rows)
    if named["none"] or named["several"]:
        console.print(f"left out: {named['none']} images without a body part, {named['several']} of several at once")
    single = job.found.with_rows(row for row in job.found.rows if _how_many(row.body_part) == "one")
    if not single.rows:
        raise DatasetError(f"{job.found.root} names no body parts, which the recipe {job.recipe.name} needs")
    data = job.recipe.data
    prepared = read(single, job.recipe, job.cache or run.path("cache"))
    catalogue = split_by_group(prepared.catalogue, data.validation, data.test, data.split_seed or job.seed)
    parts = _parts_with_enough(catalogue)
    prepared = _only(prepared.with_catalogue(catalogue), np.array([row.body_part in parts for row in catalogue.rows]))
    audit_splits(job, run, start, prepared)
    write_splits(prepared, run, start)
    return prepared


def _how_many(body_part: str) -> str:
    return "none" if not body_part else "several" if "+" in body_part else "one"


def _parts_with_enough(catalogue: Catalogue) -> set[str]:
    enough = set()
    count = Counter((row.body_part, row.split, row.label) for row in catalogue.rows)
    for body_part in sorted({row.body_part for row in catalogue.rows}):
        least, where, label = min((count[body_part, part, label], part, label) for part in SPLITS for label in (0, 1))
        if least < _LEAST:
            what = "fractured" if label else "normal"
            console.print(
                f"left out: body part {body_part}, with {least} {what} images in its {where} part; {_LEAST} are needed"
            )
        elif body_part == BODY_PART or not re.fullmatch(r"\w[\w .-]*", body_part):
            raise DatasetError(
                f"{body_part!r} cannot name a stage's folder; name body parts by letters, digits, '_', '-' and '.'"
            )
        else:
            enough.add(body_part)
    if len(enough) < 2:
        raise DatasetError(
            f"{len(enough)} of the body parts in {catalogue.root} have {_LEAST} images of each class in each of "
            f"{', '.join(SPLITS)}; a router needs two; train a recipe without stages, or add images"
        )
    return enough


def _only(prepared: Prepared, wanted: Any) -> Prepared:
    """The images where `wanted`, a mask, is true."""
    images, kept = prepared.images, np.flatnonzero(wanted)
    place = {int(index): new for new, index in enumerate(kept)}

    def pairs(found: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
        return tuple((place[i], place[j]) for i, j in found if i in place and j in place)

    chosen = Images(
        images.catalogue.with_rows(images.catalogue.rows[i] for i in kept),
        images.pixels[kept],
        images.squares[kept],
        tuple(images.facts[i] for i in kept),
        images.unreadable,
    )
    duplicates = Duplicates(pairs(prepared.duplicates.identical), pairs(prepared.duplicates.near))
    return Prepared(chosen, prepared.catalogue.with_rows(prepared.catalogue.rows[i] for i in kept), duplicates)


def _train_body_part(job: Job, fit: Fitting, start: str | None, prepared: Prepared, parts: tuple[str, ...]) -> None:
    model = replace(job.recipe.model, fracture_map=False)
    recipe = replace(job.recipe, name=f"{job.recipe.name}_{BODY_PART}", stages="", model=model)
    run = _claim_stage(job, recipe, start, BODY_PART, prepared)
    if run is None:
        return
    _annotate(run, kind=BODY_PART, parts=list(parts))
    task = BodyPartTask(parts)
    network, progress = fit(run, recipe, task, prepared, start, job.seed)
    assess_body_parts(run, recipe, task, network, prepared, progress)


def _train_fracture(job: Job, fit: Fitting, start: str | None, prepared: Prepared, part: str) -> None:
    data = replace(job.recipe.data, body_part=part)
    recipe = replace(job.recipe, name=f"{job.recipe.name}_{part}", stages="", data=data)
    chosen = _only(prepared, np.array([row.body_part == part for row in prepared.catalogue.rows]))
    run = _claim_stage(job, recipe, start, part, chosen)
    if run is None:
        return
    model, progress = fit(run, recipe, FractureTask(recipe.model.outputs), chosen, start, job.seed)
    assess(run, recipe, model, chosen, progress)


def _claim_stage(job: Job, recipe: Recipe, start: str | None, stage: str, prepared: Prepared) -> Run | None:
    """The stage's run folder with its catalogue; None where the stage is trained already."""
    run = claim(replace(job, recipe=recipe, out=job.out / "stages" / stage), start)
    if run.path("evaluation.json").is_file():
        console.print(f"{run.folder} is trained already")
        return None
    console.print(f"stage {stage}: {prepared.catalogue.describe()}")
    _annotate(run, audit=Run(job.out).json("run.json")["audit"])
    write_splits(prepared, run, start)
    return run


def _annotate(run: Run, **more: Any) -> None:
    write_json(run.path("run.json"), {**run.json("run.json"), **more})

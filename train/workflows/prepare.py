"""Prepare a data set for training: read the pixels, group near-duplicates, split, audit."""

from pathlib import Path

import numpy as np

from osteolite.edge.atomic import write_csv, write_json, write_text
from osteolite.edge.errors import DatasetError

from ..audit.duplicates import find_duplicates, merge_groups
from ..audit.leaks import conflicting_groups, find_leaks, refuse_leaks
from ..console import console
from ..data.catalogue import SPLITS, Catalogue, write_catalogue
from ..data.pixel_cache import read_images
from ..data.splits import split_by_group
from ..recipe import Recipe
from ..runs.initial_weights import files_seen
from ..runs.prepared import Prepared
from ..runs.run_folder import Run
from .job import Job


def load_images(found: Catalogue, recipe: Recipe, cache: Path) -> Prepared:
    """Read the images for a recipe and put near-duplicates into one group.

    Raises:
        DatasetError: no image can be read, or the data has no image of the recipe's body part.
    """
    wanted = recipe.data.body_part
    chosen = found.with_rows(row for row in found.rows if not wanted or row.body_part == wanted)
    if not chosen.rows:
        known = sorted({row.body_part for row in found.rows} - {""})
        raise DatasetError(f"{found.root} has no images of body part {wanted!r}; it has {', '.join(known) or 'none'}")
    images = read_images(chosen, recipe.preprocessing, cache)
    duplicates = find_duplicates(images)
    catalogue = merge_groups(images.catalogue, duplicates.pairs())
    console.print(
        f"{catalogue.describe()}; kept together: {len(duplicates.identical)} pairs of identical files and "
        f"{len(duplicates.near)} pairs of near-duplicates"
    )
    return Prepared(images, catalogue, duplicates)


def prepare(job: Job, run: Run, initial_weights: str | None) -> Prepared:
    """Read the images, split them, audit the split, and write the catalogue into the run folder.

    Args:
        job: the training.
        run: its folder.
        initial_weights: the result of `find_weights`.

    Raises:
        DatasetError: the images cannot be read or split.
        AuditRefusal: the split leaks, and the job does not allow it.
    """
    recipe = job.recipe
    prepared = load_images(job.found, recipe, job.cache or run.path("cache"))
    catalogue = split_by_group(
        prepared.catalogue, recipe.data.validation, recipe.data.test, recipe.data.split_seed or job.seed
    )
    prepared = prepared.with_catalogue(catalogue)
    audit_splits(job, run, initial_weights, prepared)
    write_splits(prepared, run, initial_weights)
    return prepared


def audit_splits(job: Job, run: Run, initial_weights: str | None, prepared: Prepared) -> None:
    """Record in run.json which held-out images are also training images of this run or of the starting weights.

    Raises:
        AuditRefusal: they are too many, and the job does not allow it.
    """
    known = files_seen(initial_weights)
    seen = np.array([facts.sha256 in known for facts in prepared.images.facts], bool)
    held_out = np.array([row.split != "train" for row in prepared.catalogue.rows])
    leaks = find_leaks(prepared.catalogue, prepared.duplicates, seen)
    if not job.allow_leaks:
        refuse_leaks(leaks, job.data, int((seen & held_out).sum()))
    audit = {
        "leaks": {split: leak.to_dict() for split, leak in leaks.items()},
        "conflicting_groups": len(conflicting_groups(prepared.catalogue, prepared.duplicates)),
        "allow_leaks": job.allow_leaks,
    }
    write_json(run.path("run.json"), {**run.json("run.json"), "audit": audit})


def write_splits(prepared: Prepared, run: Run, initial_weights: str | None) -> None:
    """Write the split catalogue, the list of test images and the hashes of all training files into the run folder."""
    catalogue = prepared.catalogue
    for split in SPLITS:
        rows = catalogue.in_split(split)
        console.print(f"  {split:<10} {len(rows)} images, {sum(row.label for row in rows)} fractured")
    write_catalogue(catalogue, run.path("catalogue.csv"))
    tested = [[catalogue.path(row).resolve(), row.label] for row in catalogue.in_split("test")]
    write_csv(run.path("test.csv"), ["file", "label"], tested)
    trained = zip(catalogue.rows, prepared.images.facts, strict=True)
    seen = files_seen(initial_weights) | {facts.sha256 for row, facts in trained if row.split == "train"}
    write_text(run.path("seen.txt"), "".join(f"{sha256}\n" for sha256 in sorted(seen)))

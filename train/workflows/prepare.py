"""From a data set as it was found to what can be fitted: pixels, groups and parts."""

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
from ..runs.initial_weights import seen_before
from ..runs.prepared import Prepared
from ..runs.run_folder import Run
from .job import Job


def read(found: Catalogue, recipe: Recipe, cache: Path) -> Prepared:
    """Read the images that the recipe asks for, and put near-duplicates into one group.

    Raises:
        DatasetError: none of them can be read, or the data names no such body part.
    """
    wanted = recipe.data.body_part
    chosen = found.with_rows(row for row in found.rows if not wanted or row.body_part == wanted)
    if not chosen.rows:
        known = sorted({row.body_part for row in found.rows} - {""})
        raise DatasetError(f"{found.root} names no body part {wanted!r}; it names {', '.join(known) or 'none'}")
    images = read_images(chosen, recipe.preprocessing, cache)
    duplicates = find_duplicates(images)
    catalogue = merge_groups(images.catalogue, duplicates.pairs())
    console.print(
        f"{catalogue.describe()}, {len(duplicates.identical)} copies of a file and {len(duplicates.near)} pairs of "
        "near-duplicates kept together"
    )
    return Prepared(images, catalogue, duplicates)


def prepare(job: Job, run: Run, start: str | None) -> Prepared:
    """Read the images, give each a part, audit the parts, and write the catalogue into the run's folder.

    Args:
        job: the training.
        run: its folder.
        start: the starting weights, as `starts.find_weights` found them.

    Raises:
        DatasetError: the images cannot be read, or not be split.
        AuditRefusal: the parts leak, and the job does not allow it.
    """
    recipe = job.recipe
    prepared = read(job.found, recipe, job.cache or run.path("cache"))
    catalogue = split_by_group(
        prepared.catalogue, recipe.data.validation, recipe.data.test, recipe.data.split_seed or job.seed
    )
    prepared = prepared.with_catalogue(catalogue)
    audit_splits(job, run, start, prepared)
    write_splits(prepared, run, start)
    return prepared


def audit_splits(job: Job, run: Run, start: str | None, prepared: Prepared) -> None:
    """Record in run.json what the held-out parts share with the train part, and with that of the starting weights.

    Raises:
        AuditRefusal: it is too much, and the job does not allow it.
    """
    known = seen_before(start)
    seen = np.array([facts.sha256 in known for facts in prepared.images.facts], bool)
    held_out = np.array([row.split != "train" for row in prepared.catalogue.rows])
    leaks = find_leaks(prepared.catalogue, prepared.duplicates, seen)
    if not job.allow_leaks:
        refuse_leaks(leaks, job.data, int((seen & held_out).sum()))
    audit = {
        "leaks": {part: leak.to_dict() for part, leak in leaks.items()},
        "conflicting_groups": len(conflicting_groups(prepared.catalogue, prepared.duplicates)),
        "allow_leaks": job.allow_leaks,
    }
    write_json(run.path("run.json"), {**run.json("run.json"), "audit": audit})


def write_splits(prepared: Prepared, run: Run, start: str | None) -> None:
    """Write into the run's folder the catalogue with its parts, its test images, and what the network has seen."""
    catalogue = prepared.catalogue
    for part in SPLITS:
        rows = catalogue.in_split(part)
        console.print(f"  {part:<10} {len(rows)} images, {sum(row.label for row in rows)} fractured")
    write_catalogue(catalogue, run.path("catalogue.csv"))
    tested = [[catalogue.path(row).resolve(), row.label] for row in catalogue.in_split("test")]
    write_csv(run.path("test.csv"), ["file", "label"], tested)
    trained = zip(catalogue.rows, prepared.images.facts, strict=True)
    seen = seen_before(start) | {facts.sha256 for row, facts in trained if row.split == "train"}
    write_text(run.path("seen.txt"), "".join(f"{sha256}\n" for sha256 in sorted(seen)))

"""From labelled radiographs to a trained and evaluated run folder."""

import csv
import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from osteolite.edge.atomic import atomic_path, write_json, write_text
from osteolite.edge.errors import UsageError

from .backbones import describe_weights, find_weights
from .cache import Pixels, fitted_pixels
from .catalogue import PARTS, Catalogue, write_catalogue
from .console import console
from .duplicates import merge_groups, near_duplicates
from .evaluation import calibrate, choose_threshold, curves, figures, probabilities
from .fit import Fit, Progress, logits
from .keras import keras
from .layouts import read_dataset
from .model import build_model
from .recipe import Recipe, load_recipe, recipe_path
from .runs import Run
from .splits import split

_PACKAGES = ("osteolite", "tensorflow", "tf-keras", "numpy", "pillow", "scikit-learn")


def train(data: Path, recipe_name: str, out: Path, weights: str | None, seed: int) -> Run:
    """Train a recipe on a folder of labelled radiographs; an interrupted run goes on where it was.

    Args:
        data: a folder in one of the known layouts.
        recipe_name: a recipe's name, or the path of a TOML file.
        out: the run folder, new or of the same call.
        weights: imagenet, none or a path; None takes the recipe's own start.
        seed: of the split, the shuffling, the augmentation and the head's start.

    Raises:
        DatasetError: the data cannot be used as it is.
        UsageError: `out` holds something else, or the recipe or the weights are no good.
    """
    recipe, found = load_recipe(recipe_name), read_dataset(data)
    start = find_weights(recipe, weights, data)
    _claim(out, recipe_name, recipe, data, start, seed)
    run = Run(out)
    if run.path("evaluation.json").is_file():
        console.print(f"{out} is trained already")
        return run
    console.print(f"recipe {recipe.name}, starting weights: {start or 'none'}")
    catalogue, pixels, unreadable = _prepare(found, recipe, run, seed)
    keras.utils.set_random_seed(seed)
    model = build_model(recipe, start)
    progress = Fit(model, recipe, catalogue, pixels, out, pretrained=start is not None, seed=seed).run()
    _evaluate(run, recipe, model, catalogue, pixels, progress, unreadable)
    return run


def _claim(out: Path, name: str, recipe: Recipe, data: Path, start: str | None, seed: int) -> None:
    """Make the folder this run's own, or see that it is."""
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
        return
    if out.exists() and any(out.iterdir()):
        raise UsageError(f"{out} is not empty and holds no run; name another --out")
    write_text(out / "recipe.toml", recipe_path(name).read_text(encoding="utf-8"))
    write_json(known, about)


def _prepare(found: Catalogue, recipe: Recipe, run: Run, seed: int) -> tuple[Catalogue, Pixels, dict[str, str]]:
    catalogue, pixels, unreadable = fitted_pixels(found, recipe.preprocessing, run.path("cache"))
    pairs = near_duplicates(pixels)
    catalogue = split(merge_groups(catalogue, pairs), recipe.data.validation, recipe.data.test, seed)
    console.print(f"{catalogue.describe()}, {len(pairs)} pairs of near-duplicates kept together")
    for part in PARTS:
        rows = catalogue.part(part)
        console.print(f"  {part:<10} {len(rows)} images, {sum(row.label for row in rows)} fractured")
    write_catalogue(catalogue, run.path("catalogue.csv"))
    tested = [[catalogue.path(row).resolve(), row.label] for row in catalogue.part("test")]
    _write_csv(run.path("test.csv"), ["file", "label"], tested)
    write_json(run.path("run.json"), {**run.json("run.json"), "layout": catalogue.layout})
    return catalogue, pixels, unreadable


def _evaluate(
    run: Run,
    recipe: Recipe,
    model: Any,
    catalogue: Catalogue,
    pixels: Pixels,
    progress: Progress,
    unreadable: dict[str, str],
) -> None:
    """Calibrate and choose the threshold on validation, then look at test once."""
    labels = np.array([row.label for row in catalogue.rows])
    groups = np.array([row.group for row in catalogue.rows])
    parts = np.array([row.part for row in catalogue.rows])
    indices = {part: np.flatnonzero(parts == part) for part in ("validation", "test")}
    scores = {part: logits(model, pixels, chosen, recipe) for part, chosen in indices.items()}
    slope, intercept = calibrate(labels[indices["validation"]], scores["validation"])
    calibrated = {part: probabilities(values, slope, intercept) for part, values in scores.items()}
    threshold = choose_threshold(
        labels[indices["validation"]], calibrated["validation"], groups[indices["validation"]], recipe.threshold
    )
    evaluation: dict[str, Any] = {
        "probability_calibration": {"method": "platt", "slope": slope, "intercept": intercept},
        "threshold": {"value": threshold, "rule": recipe.threshold.rule, "chosen_on": "validation"},
        "epochs": len(progress.history),
        "unreadable": unreadable,
    }
    for part, chosen in indices.items():
        evaluation[part] = figures(labels[chosen], calibrated[part], threshold, groups[chosen])
        evaluation[part]["curves"] = curves(labels[chosen], calibrated[part])
    _write_predictions(run, catalogue, indices, calibrated)
    write_json(run.path("evaluation.json"), evaluation)


def _write_predictions(run: Run, catalogue: Catalogue, indices: dict[str, Any], scores: dict[str, Any]) -> None:
    rows = [
        [catalogue.rows[index].file, part, catalogue.rows[index].label, f"{score:.6f}"]
        for part, chosen in indices.items()
        for index, score in zip(chosen, scores[part], strict=True)
    ]
    _write_csv(run.path("predictions.csv"), ["file", "part", "label", "fracture_probability"], rows)


def _write_csv(path: Path, columns: list[str], rows: list[list[Any]]) -> None:
    with atomic_path(path) as written, written.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)

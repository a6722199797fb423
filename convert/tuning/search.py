"""The search for width, input size and variant that serve best on this device, within limits."""

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from osteolite.edge.atomic import write_json
from osteolite.edge.errors import GateRefusal, UsageError
from osteolite.edge.modelfile.archive import write_model
from osteolite.edge.modelfile.description import FRACTURE
from osteolite.edge.silence import quiet_stderr
from osteolite.train.console import console
from osteolite.train.data.layouts import read_dataset
from osteolite.train.networks.backbones import build_backbone
from osteolite.train.networks.model import build_model
from osteolite.train.recipe import Recipe
from osteolite.train.runs.initial_weights import find_weights
from osteolite.train.runs.run_folder import Run
from osteolite.train.workflows.job import Job
from osteolite.train.workflows.train import train_one

from ..convert import convert
from ..sources.subject import subject_of
from ..variants.tracing import traced
from ..variants.variants import VARIANTS, Source
from .pareto import Point, TuningLimits, choose, draw, front

WIDTHS = (0.35, 0.5, 0.75, 1.0)  # of which ImageNet weights are published
_SIZES = (0.5, 0.75, 1.0)  # of the run's input
_STEP = 32  # pixels, by which the backbone shrinks its input
_PROBED = "int8"  # the variant that tells how small and fast a candidate can become

Bench = Callable[[list[Path]], dict[str, Any]]  # model files to what `osteolite bench` says of them


def tune(run: Run, limits: TuningLimits, out: Path, bench: Bench) -> dict[str, Any]:
    """Search; an interrupted search goes on where it was.

    Each candidate is timed before it is trained, as its weights do not matter for that: what cannot
    keep the limits is never trained. Of the others only those are trained that may win: without
    `auroc` the largest of each size, with it the fastest until one reaches it. The test part is not
    looked at.

    Args:
        run: a finished run of a fracture model; it is a candidate, and the others are its recipe with
            other widths and input sizes, on the same data with the same seed. Where it is converted
            its variants are among the points in any case.
        limits: at least one.
        out: the folder for the candidates' runs, `tune.json` and `tune.png`.
        bench: measures files on this device.

    Returns:
        What tune.json holds: {"limits", "candidates", "points", "front", "choice"}.

    Raises:
        UsageError: no limit, or not a run of one MobileNetV2 fracture model.
        GateRefusal: nothing keeps the limits.
    """
    if limits == TuningLimits():
        raise UsageError("name at least one limit: --max-ms, --max-mb or --min-auroc")
    if run.is_router or run.json("run.json").get("kind") or run.recipe.model.backbone != "mobilenetv2":
        raise UsageError(f"{run.folder} is no run of one MobileNetV2 fracture model, whose width could be changed")
    measured = _probe(_candidates(run), out / "probes", bench)
    feasible = [recipe for recipe, fastest, smallest in measured if limits.keeps(fastest, smallest)]
    console.print(f"{len(feasible)} of {len(measured)} candidates can keep the limits")
    points = _explore(run, feasible, limits, out, bench)
    try:
        choice, refusal = choose(points, limits), None
    except GateRefusal as error:
        choice, refusal = None, error
    result = {
        "limits": asdict(limits),
        "candidates": [
            {"name": recipe.name, "milliseconds": fastest, "megabytes": smallest}
            for recipe, fastest, smallest in measured
        ],
        "points": [asdict(point) for point in points],
        "front": [point.file for point in front(points)],
        "choice": asdict(choice) if choice else None,
    }
    write_json(out / "tune.json", result)
    if points:
        draw(points, limits, choice, out / "tune.png")
    if refusal is not None:
        raise refusal
    return result


def _explore(run: Run, feasible: list[Recipe], limits: TuningLimits, out: Path, bench: Bench) -> list[Point]:
    """Train and measure those candidates that may win."""
    points = _points(run, bench) if run.path("models/conversion.json").is_file() else []  # to compare with
    for recipe in feasible if limits.auroc is not None else _largest(feasible):
        if recipe == run.recipe and points:
            found = [point for point in points if Path(point.file).parent == run.path("models")]
        else:
            found = _points(_trained(run, recipe, out / recipe.name), bench)
            points += found
        if limits.auroc is not None and any(limits.keeps(p.milliseconds, p.megabytes, p.auroc) for p in found):
            break
    return points


def _candidates(run: Run) -> list[Recipe]:
    """The run's recipe, and it with less width or a smaller input."""
    recipe, spec = run.recipe, run.recipe.preprocessing
    found = []
    sizes = dict.fromkeys((_rounded(share * spec.width), _rounded(share * spec.height)) for share in _SIZES)
    for width in _widths(run):
        for columns, rows in sizes:
            if (width, columns, rows) == (recipe.model.alpha, spec.width, spec.height):
                found.append(recipe)
                continue
            name = f"{recipe.name}_{width:g}_{columns}x{rows}"
            model, preprocessing = replace(recipe.model, alpha=width), replace(spec, width=columns, height=rows)
            found.append(replace(recipe, name=name, model=model, preprocessing=preprocessing))
    return found


def _widths(run: Run) -> list[float]:
    """Those at most as wide as the run, for which its kind of starting weights can be had."""
    recipe, found = run.recipe, []
    for width in (one for one in WIDTHS if one <= recipe.model.alpha):
        narrow = replace(recipe, model=replace(recipe.model, alpha=width))
        if width == recipe.model.alpha or _can_start(narrow, run):
            found.append(width)
        else:
            console.print(f"width {width:g} is left out: its {recipe.model.weights} weights cannot be had")
    return found


def _can_start(recipe: Recipe, run: Run) -> bool:
    start = _start(run)
    if start == "none":
        return True
    with quiet_stderr():
        try:
            build_backbone(recipe, find_weights(recipe, start, Path(run.json("run.json")["data"])))
        except UsageError:
            return False
    return True


def _start(run: Run) -> str | None:
    """How the candidates' trainings start: at random as the run did, or as the recipe says."""
    return "none" if run.json("run.json")["weights"]["start"].startswith("none") else None


def _rounded(pixels: float) -> int:
    return max(_STEP, round(pixels / _STEP) * _STEP)


def _probe(candidates: list[Recipe], folder: Path, bench: Bench) -> list[tuple[Recipe, float, float]]:
    """Milliseconds and megabytes of each candidate's int8 file with random weights, the fastest first."""
    files = [folder / f"{recipe.name}.tflite" for recipe in candidates]
    for recipe, file in zip(candidates, files, strict=True):
        if not file.is_file():
            console.print(f"measuring {recipe.name}, untrained")
            _write_probe(recipe, file)
    times = _milliseconds(bench(files))
    measured = [
        (recipe, times[file.name], file.stat().st_size / 1e6) for recipe, file in zip(candidates, files, strict=True)
    ]
    return sorted(measured, key=lambda one: one[1])


def _write_probe(recipe: Recipe, file: Path) -> None:
    noise = np.random.default_rng(0).uniform(-1, 1, (2, 1, *recipe.preprocessing.shape)).astype(np.float32)
    source = Source(traced(build_model(recipe, None)), list(noise), recipe.conversion.float_operators, _untrained)
    values: dict[str, Any] = {
        "name": f"{recipe.name}, untrained",
        "variant": _PROBED,
        "kind": FRACTURE,
        "preprocessing": recipe.preprocessing.to_dict(),
        "threshold": {"value": 0.5},
        "probability_calibration": {"slope": 1.0, "intercept": 0.0},
    }
    write_model(file, VARIANTS[_PROBED].write(source), values)


def _untrained(kind: str) -> bytes:
    raise UsageError("what is not trained cannot be retrained")


def _milliseconds(benchmark: dict[str, Any]) -> dict[str, float]:
    return {one["file"]: one["milliseconds"]["invoke"]["p50"] for one in benchmark["results"]}


def _largest(recipes: list[Recipe]) -> list[Recipe]:
    """Those that no other of them exceeds in width and in input."""

    def extent(recipe: Recipe) -> tuple[float, int]:
        return recipe.model.alpha, recipe.preprocessing.width * recipe.preprocessing.height

    def exceeds(one: Recipe, other: Recipe) -> bool:
        return extent(one) != extent(other) and all(a >= b for a, b in zip(extent(one), extent(other), strict=True))

    return [recipe for recipe in recipes if not any(exceeds(other, recipe) for other in recipes)]


def _trained(run: Run, recipe: Recipe, folder: Path) -> Run:
    """The run itself, or one of the changed recipe on its data, with its seed and the same kind of start."""
    if recipe == run.recipe:
        return run
    about = run.json("run.json")
    data = Path(about["data"])
    leaks = bool(about.get("audit", {}).get("allow_leaks"))
    return train_one(Job(recipe, read_dataset(data), data, folder, _start(run), about["seed"], leaks))


def _points(run: Run, bench: Bench) -> list[Point]:
    """Every variant of the run that passes the gate, measured."""
    models = run.path("models")
    if not (models / "conversion.json").is_file():
        convert(subject_of(run, None), (), models)
    variants = [one for one in run.json("models/conversion.json")["variants"] if one["file"]]
    if not variants:
        return []
    times = _milliseconds(bench([models / one["file"] for one in variants]))
    spec = run.recipe.preprocessing
    return [
        Point(
            file=str(models / one["file"]),
            width=run.recipe.model.alpha,
            input=(spec.width, spec.height),
            variant=one["variant"],
            milliseconds=times[one["file"]],
            megabytes=(models / one["file"]).stat().st_size / 1e6,
            auroc=one["gate"]["own_auroc"]["value"],
            low=one["gate"]["own_auroc"]["low"],
            high=one["gate"]["own_auroc"]["high"],
        )
        for one in variants
    ]

"""The search for the best width, input size and variant on this device, within limits."""

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
from .pareto import Point, TuningLimits, choose, pareto_front, plot

WIDTHS = (0.35, 0.5, 0.75, 1.0)  # widths with published ImageNet weights
_SIZES = (0.5, 0.75, 1.0)  # relative to the run's input
_STEP = 32  # pixels; the stride of the backbone
_PROBE_VARIANT = "int8"  # shows how small and fast a candidate can become

Bench = Callable[[list[Path]], dict[str, Any]]  # model files to the content of `osteolite bench`'s benchmark.json


def tune(run: Run, limits: TuningLimits, out: Path, bench: Bench) -> dict[str, Any]:
    """Search for the best variant; an interrupted search resumes where it stopped.

    Each candidate is timed before training, because its weights do not change its speed; candidates
    outside the limits are never trained. Of the others, only those that may win are trained: without a
    limit of `auroc`, those that no other exceeds in width and input size; with it, the fastest first
    until one reaches it. The test split is not used.

    Args:
        run: a finished run of a fracture model. It is a candidate itself; the others are its recipe with
            other widths and input sizes, trained on the same data with the same seed. If the run is
            converted already, its variants are always among the points.
        limits: at least one limit.
        out: the folder for the candidates' runs, `tune.json` and `tune.png`.
        bench: measures model files on this device.

    Returns:
        The content of tune.json: {"limits", "candidates", "points", "front", "choice"}.

    Raises:
        UsageError: there is no limit, or the run is not of one MobileNetV2 fracture model.
        GateRefusal: no variant meets the limits.
    """
    if limits == TuningLimits():
        raise UsageError("no limit is given; give at least one of --max-ms, --max-mb and --min-auroc")
    if run.is_router or run.json("run.json").get("kind") or run.recipe.model.backbone != "mobilenetv2":
        raise UsageError(
            f"{run.folder} is not a run of one MobileNetV2 fracture model; give one, as only its width can be changed"
        )
    measured = _probe(candidates(run), out / "probes", bench)
    feasible = [recipe for recipe, fastest, smallest in measured if limits.met_by(fastest, smallest)]
    console.print(f"{len(feasible)} of {len(measured)} candidates can meet the limits")
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
        "front": [point.file for point in pareto_front(points)],
        "choice": asdict(choice) if choice else None,
    }
    write_json(out / "tune.json", result)
    if points:
        plot(points, limits, choice, out / "tune.png")
    if refusal is not None:
        raise refusal
    return result


def _explore(run: Run, feasible: list[Recipe], limits: TuningLimits, out: Path, bench: Bench) -> list[Point]:
    """Train and measure the candidates that may win."""
    points = _points(run, bench) if run.path("models/conversion.json").is_file() else []
    for recipe in feasible if limits.auroc is not None else largest(feasible):
        if recipe == run.recipe and points:
            found = [point for point in points if Path(point.file).parent == run.path("models")]
        else:
            found = _points(_trained(run, recipe, out / recipe.name), bench)
            points += found
        if limits.auroc is not None and any(limits.met_by(p.milliseconds, p.megabytes, p.auroc) for p in found):
            break
    return points


def can_start(recipe: Recipe, run: Run) -> bool:
    """Whether starting weights of the run's kind are available for a recipe."""
    start = _start(run)
    if start == "none":
        return True
    with quiet_stderr():
        try:
            build_backbone(recipe, find_weights(recipe, start, Path(run.json("run.json")["data"])))
        except UsageError:
            return False
    return True


def candidates(run: Run, can_start: Callable[[Recipe, Run], bool] = can_start) -> list[Recipe]:
    """The run's recipe, and its changes to smaller widths and inputs.

    Args:
        run: a run of a MobileNetV2.
        can_start: whether starting weights are available for a recipe.
    """
    recipe, spec = run.recipe, run.recipe.preprocessing
    found = []
    sizes = dict.fromkeys((_rounded(share * spec.width), _rounded(share * spec.height)) for share in _SIZES)
    for width in _widths(run, can_start):
        for columns, rows in sizes:
            if (width, columns, rows) == (recipe.model.alpha, spec.width, spec.height):
                found.append(recipe)
                continue
            name = f"{recipe.name}_{width:g}_{columns}x{rows}"
            model, preprocessing = replace(recipe.model, alpha=width), replace(spec, width=columns, height=rows)
            found.append(replace(recipe, name=name, model=model, preprocessing=preprocessing))
    return found


def _widths(run: Run, can_start: Callable[[Recipe, Run], bool]) -> list[float]:
    """The widths up to the run's for which starting weights are available."""
    recipe, found = run.recipe, []
    for width in (one for one in WIDTHS if one <= recipe.model.alpha):
        narrow = replace(recipe, model=replace(recipe.model, alpha=width))
        if width == recipe.model.alpha or can_start(narrow, run):
            found.append(width)
        else:
            console.print(f"skipping width {width:g}: its {recipe.model.weights} weights are not available")
    return found


def _start(run: Run) -> str | None:
    """The starting weights of the candidates: random if the run's were, otherwise those of the recipe."""
    return "none" if run.json("run.json")["weights"]["start"].startswith("none") else None


def _rounded(pixels: float) -> int:
    return max(_STEP, round(pixels / _STEP) * _STEP)


def _probe(candidates: list[Recipe], folder: Path, bench: Bench) -> list[tuple[Recipe, float, float]]:
    """Measure each candidate's int8 file with random weights, in milliseconds and megabytes, the fastest first."""
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
        "variant": _PROBE_VARIANT,
        "kind": FRACTURE,
        "preprocessing": recipe.preprocessing.to_dict(),
        "threshold": {"value": 0.5},
        "probability_calibration": {"slope": 1.0, "intercept": 0.0},
    }
    write_model(file, VARIANTS[_PROBE_VARIANT].write(source), values)


def _untrained(method: str) -> bytes:
    raise UsageError(f"an untrained network cannot be fine-tuned ({method.replace('_', ' ')})")


def _milliseconds(benchmark: dict[str, Any]) -> dict[str, float]:
    return {one["file"]: one["milliseconds"]["invoke"]["p50"] for one in benchmark["results"]}


def largest(recipes: list[Recipe]) -> list[Recipe]:
    """The recipes that no other one exceeds in width and input size."""

    def extent(recipe: Recipe) -> tuple[float, int]:
        return recipe.model.alpha, recipe.preprocessing.width * recipe.preprocessing.height

    def exceeds(one: Recipe, other: Recipe) -> bool:
        return extent(one) != extent(other) and all(a >= b for a, b in zip(extent(one), extent(other), strict=True))

    return [recipe for recipe in recipes if not any(exceeds(other, recipe) for other in recipes)]


def _trained(run: Run, recipe: Recipe, folder: Path) -> Run:
    """The run itself, or a run of the changed recipe with the same data, seed and kind of starting weights."""
    if recipe == run.recipe:
        return run
    about = run.json("run.json")
    data = Path(about["data"])
    leaks = bool(about.get("audit", {}).get("allow_leaks"))
    return train_one(Job(recipe, read_dataset(data), data, folder, _start(run), about["seed"], leaks))


def _points(run: Run, bench: Bench) -> list[Point]:
    """Measure every variant of the run that passes the gate, after converting the run if needed."""
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

"""`osteolite run`: all steps from data to prediction, each by its own command."""

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

import click
import numpy as np

from osteolite.edge.atomic import write_json
from osteolite.edge.errors import GateRefusal, UsageError

from ..console import console
from ..data.phantoms import draw_phantom, write_phantoms
from ..report.report import write_report
from ..runs.run_folder import Run, open_runs

_PHANTOMS, _UNSEEN_SEED = 2400, 99
_LAUNCHES = 6  # the fewest that give an interval

Call = Callable[..., None]  # runs a command: its name, then its arguments


def run_all_steps(
    ctx: click.Context,
    command: Callable[[str], click.Command],
    data: str | None,
    recipe: str,
    out: str | None,
    weights: str | None,
    seed: int,
    allow_leaks: bool,
    image: str | None = None,
) -> None:
    """Train, convert, benchmark, report and predict, each by its own command.

    Args:
        ctx: the click context to call commands in.
        command: finds a command by name, because this room may not import the others.
        data: the data folder; None draws phantoms.
        recipe: a recipe's name or file.
        out: the run folder; None for runs/RECIPE.
        weights: as `osteolite train --weights`.
        seed: for everything random.
        allow_leaks: as `osteolite train --allow-leaks`.
        image: a radiograph that the shipped model predicts at the end; None lets the new model predict an
            image that it was not trained on.

    Raises:
        UsageError: the image does not exist.
        GateRefusal: a variant was refused; those that passed are still benchmarked and reported.
    """
    if image is not None and not Path(image).is_file():
        raise UsageError(f"--image {image}: no such file; name a radiograph")
    folder = Path(out or f"runs/{Path(recipe).stem}")

    def call(name: str, *arguments: str) -> None:
        console.print(f"\n$ osteolite {name} {shlex.join(arguments)}", style="bold")
        command(name).main(list(arguments), standalone_mode=False, parent=ctx)

    options = ["--weights", weights] if weights else []
    options += ["--allow-leaks"] if allow_leaks else []
    if data is None:
        data = _draw_phantoms(folder, seed)
    call("train", data, "--recipe", recipe, "--out", str(folder), "--seed", str(seed), *options)
    runs = open_runs(folder)
    refusals = _convert(runs, call)
    files = [file for run in runs for file in _released(run)]
    if not files:
        raise _combined(refusals)
    _benchmark(runs, files, folder, call)
    call("predict", *((image,) if image else (str(_unseen_image(runs[0])), "--model", str(files[-1]))))
    if refusals:
        raise _combined(refusals)


def _draw_phantoms(folder: Path, seed: int) -> str:
    """Draw phantoms next to the run folder."""
    data = folder.parent / f"{folder.name}-data"
    console.print(f"drawing {_PHANTOMS} phantoms into {data}")
    write_phantoms(data, _PHANTOMS, seed)
    return str(data)


def _convert(runs: Sequence[Run], call: Call) -> dict[str, GateRefusal]:
    """Convert each run; return the refusals by run, so that the variants that passed can still be benchmarked."""
    refusals = {}
    for run in runs:
        try:
            call("convert", str(run.folder))
        except GateRefusal as error:
            refusals[run.folder.name] = error
    return refusals


def _benchmark(runs: Sequence[Run], files: Sequence[Path], folder: Path, call: Call) -> None:
    """Benchmark all files together, and write each run's report."""
    test = str(runs[0].path("test.csv"))
    call("bench", *map(str, files), "--data", test, "--launches", str(_LAUNCHES), "--out", str(folder))
    for run in runs:
        if run.folder != folder:
            _write_own_benchmark(run, folder)
        console.print(f"\nreport: {write_report(run)}\nmodels: {run.path('models')}")


def _released(run: Run) -> list[Path]:
    variants = run.json("models/conversion.json")["variants"]
    return [run.path("models") / variant["file"] for variant in variants if variant["file"]]


def _combined(refusals: dict[str, GateRefusal]) -> GateRefusal:
    if len(refusals) == 1:
        return next(iter(refusals.values()))
    return GateRefusal("; ".join(f"{name}: {refusal}" for name, refusal in refusals.items()))


def _write_own_benchmark(run: Run, folder: Path) -> None:
    """Write into a run's folder the results of its own files, from the benchmark of all runs."""
    found = Run(folder).json("benchmark.json")
    own = {file.name for file in _released(run)}
    if own:
        results = [one for one in found["results"] if one["file"] in own]
        write_json(run.path("benchmark.json"), {**found, "results": results})


def _unseen_image(run: Run) -> Path:
    """An image that the model was not trained on: a new phantom, or the first fractured test image."""
    catalogue = run.catalogue
    if run.recipe.name == "phantoms":
        path = run.path("unseen_phantom.png")
        draw_phantom(True, np.random.default_rng(_UNSEEN_SEED)).save(path)
        return path
    return catalogue.path(next(row for row in catalogue.in_split("test") if row.label == 1))

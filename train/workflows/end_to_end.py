"""The whole way, as the commands a person would type one after another."""

import shlex
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np

from osteolite.edge.atomic import write_json
from osteolite.edge.errors import GateRefusal, UsageError

from ..console import console
from ..data.catalogue import Row
from ..data.phantoms import draw_phantom, write_phantoms
from ..report.report import write_report
from ..runs.run_folder import Run, open_runs

_PHANTOMS, _UNSEEN_SEED = 2400, 99


def whole_run(
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
    """Train, convert, bench, report and predict, each by its own command.

    Args:
        ctx: the click context to call commands in.
        command: finds a command by name; the rooms behind them are not this room's to import.
        data: the data folder; None draws phantoms.
        recipe: a recipe's name or file.
        out: the run folder; None for runs/RECIPE.
        weights: as `osteolite train --weights`.
        seed: of everything random.
        allow_leaks: as `osteolite train --allow-leaks`.
        image: a radiograph, about which the model that ships is asked; None asks the new one about an image that
            it has not seen.

    Raises:
        UsageError: no such image.
        GateRefusal: a variant was refused; those that passed are measured and reported all the same.
    """
    if image is not None and not Path(image).is_file():
        raise UsageError(f"--image {image}: no such file; name a radiograph")
    folder = Path(out or f"runs/{Path(recipe).stem}")
    if data is None:
        data = str(folder.parent / f"{folder.name}-data")
        console.print(f"drawing {_PHANTOMS} phantoms into {data}")
        write_phantoms(Path(data), _PHANTOMS, seed)

    def call(name: str, *arguments: str) -> None:
        console.print(f"\n$ osteolite {name} {shlex.join(arguments)}", style="bold")
        command(name).main(list(arguments), standalone_mode=False, parent=ctx)

    start = ("--weights", weights) if weights else ()
    leaks = ("--allow-leaks",) if allow_leaks else ()
    call("train", data, "--recipe", recipe, "--out", str(folder), "--seed", str(seed), *start, *leaks)
    runs = open_runs(folder)
    refusals: dict[str, GateRefusal] = {}
    for run in runs:
        try:
            call("convert", str(run.folder))
        except GateRefusal as error:  # the variants that passed are still measured; the refusal is told at the end
            refusals[run.folder.name] = error
    files = [file for run in runs for file in _released(run)]
    if not files:
        raise _joined(refusals)
    # Six launches are the fewest that an interval can be made of.
    call("bench", *map(str, files), "--data", str(runs[0].path("test.csv")), "--launches", "6", "--out", str(folder))
    for run in runs:
        if run.folder != folder:
            _take_share(run, folder)
        console.print(f"\nreport: {write_report(run)}\nmodels: {run.path('models')}")
    call("predict", *((image,) if image else (str(_unseen(runs[0])), "--model", str(files[-1]))))
    if refusals:
        raise _joined(refusals)


def _released(run: Run) -> list[Path]:
    variants = run.json("models/conversion.json")["variants"]
    return [run.path("models") / variant["file"] for variant in variants if variant["file"]]


def _joined(refusals: dict[str, GateRefusal]) -> GateRefusal:
    if len(refusals) == 1:
        return next(iter(refusals.values()))
    return GateRefusal("; ".join(f"{name}: {refusal}" for name, refusal in refusals.items()))


def _take_share(run: Run, folder: Path) -> None:
    """Give a run its own files' part of the benchmark that all runs of the recipe took together."""
    found = Run(folder).json("benchmark.json")
    own = {file.name for file in _released(run)}
    if own:
        results = [one for one in found["results"] if one["file"] in own]
        write_json(run.path("benchmark.json"), {**found, "results": results})


def _unseen(run: Run) -> Path:
    """An image that the model has not seen: a new phantom, or the first fractured one of the test part."""
    catalogue = run.catalogue
    if run.recipe.name == "phantoms":
        path = run.path("unseen_phantom.png")
        draw_phantom(True, np.random.default_rng(_UNSEEN_SEED)).save(path)
        return path
    rows: tuple[Row, ...] = catalogue.in_split("test")
    return catalogue.path(next(row for row in rows if row.label == 1))

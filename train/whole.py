"""The whole way, as the commands a person would type one after another."""

import shlex
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np

from osteolite.edge.errors import GateRefusal

from .catalogue import Row
from .console import console
from .phantoms import draw_phantom, write_phantoms
from .report import write_report
from .runs import Run

_PHANTOMS, _UNSEEN_SEED = 2400, 99


def whole_run(
    ctx: click.Context,
    command: Callable[[str], click.Command],
    data: str | None,
    recipe: str,
    out: str | None,
    weights: str | None,
    seed: int,
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

    Raises:
        GateRefusal: a variant was refused; those that passed are measured and reported all the same.
    """
    folder = Path(out or f"runs/{Path(recipe).stem}")
    if data is None:
        data = str(folder.parent / f"{folder.name}-data")
        console.print(f"drawing {_PHANTOMS} phantoms into {data}")
        write_phantoms(Path(data), _PHANTOMS, seed)

    def call(name: str, *arguments: str) -> None:
        console.print(f"\n$ osteolite {name} {shlex.join(arguments)}", style="bold")
        command(name).main(list(arguments), standalone_mode=False, parent=ctx)

    start = ("--weights", weights) if weights else ()
    call("train", data, "--recipe", recipe, "--out", str(folder), "--seed", str(seed), *start)
    refusal: GateRefusal | None = None
    try:
        call("convert", str(folder))
    except GateRefusal as error:  # the variants that passed are still measured; the refusal is told at the end
        refusal = error
    run = Run.open(folder)
    released = [v["file"] for v in run.json("models/conversion.json")["variants"] if v["file"]]
    if refusal and not released:
        raise refusal
    files = [str(run.path("models") / name) for name in released]
    call("bench", *files, "--data", str(run.path("test.csv")), "--out", str(folder))
    report = write_report(run)
    call("predict", str(_unseen(run)), "--model", files[-1])
    console.print(f"\nreport: {report}\nmodels: {run.path('models')}")
    if refusal:
        raise refusal


def _unseen(run: Run) -> Path:
    """An image that the model has not seen: a new phantom, or the first fractured one of the test part."""
    catalogue = run.catalogue
    if run.recipe.name == "phantoms":
        path = run.path("unseen_phantom.png")
        draw_phantom(True, np.random.default_rng(_UNSEEN_SEED)).save(path)
        return path
    rows: tuple[Row, ...] = catalogue.part("test")
    return catalogue.path(next(row for row in rows if row.label == 1))

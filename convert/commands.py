"""`osteolite convert`."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from osteolite.edge.errors import GateRefusal

if TYPE_CHECKING:
    from osteolite.train.runs import Run

    from .convert import Converted


@click.command()
@click.argument("run", metavar="RUN")
@click.option("--variants", metavar="A,B,...", default="", help="Default: the recipe's own list.")
@click.option("--out", metavar="DIR", help="Default: RUN/models.")
@click.option("--json", "as_json", is_flag=True, help="Print conversion.json instead of a table.")
def convert(run: str, variants: str, out: str | None, as_json: bool) -> None:
    """Turn a run into quantised files that pass the gate.

    Each variant is compared with the trained model on every validation image; one that loses more
    than the recipe allows is not written, the reason is printed, and the exit code is 3. Of a router
    each stage is converted, and where all of them pass they become one file. RUN may also be the
    folder of a recipe with alternatives; each of its runs is converted.
    """
    from osteolite.train.runs import open_runs

    opened = open_runs(run)
    asked = tuple(name for name in variants.split(",") if name)
    summaries, refused = [], []
    for one in opened:
        folder = Path(out, one.folder.name if len(opened) > 1 else "") if out else one.path("models")
        results = _convert(one, asked, folder)
        summaries.append(json.loads((folder / "conversion.json").read_text(encoding="utf-8")))
        where = f"{one.folder.name}: " if len(opened) > 1 else ""
        refused += [f"{where}{_place(r)} ({'; '.join(r.verdict.reasons)})" for r in results if not r.verdict.passed]
        if not as_json:
            _print(one, results)
    if as_json:
        click.echo(json.dumps(summaries[0] if len(summaries) == 1 else summaries, indent=2))
    if refused:
        raise GateRefusal(
            f"refused and not written: {', '.join(refused)}; try more calibration images or another variant"
        )


def _convert(run: "Run", variants: tuple[str, ...], folder: Path) -> "list[Converted]":
    from .convert import convert as convert_run
    from .router import convert_router

    return (convert_router if run.is_router else convert_run)(run, variants, folder)


def _place(result: "Converted") -> str:
    return f"{result.stage} {result.variant}" if result.stage else result.variant


def _print(run: "Run", results: "Iterable[Converted]") -> None:
    from osteolite.train.console import print_table

    from .gate import Verdict

    rows = []
    for result in results:
        verdict = result.verdict
        if isinstance(verdict, Verdict):
            figure, change, sensitivity = "AUROC", verdict.auroc, f"{verdict.sensitivity.value:+.4f}"
        else:
            figure, change, sensitivity = "balanced accuracy", verdict.balanced_accuracy, ""
        rows.append(
            [
                _place(result),
                f"{result.size / 1e6:.2f}",
                figure,
                f"{change.value:+.4f}",
                f"{change.low:+.4f} to {change.high:+.4f}",
                sensitivity,
                f"{verdict.agreement:.1%}",
                "passed" if verdict.passed else "refused",
            ]
        )
    columns = ["variant", "MB", "figure", "change", "95 % interval", "sensitivity change", "agreement", "verdict"]
    print_table(f"The gate, on the validation part of {run.recipe.name}", columns, rows)

"""`osteolite compare`."""

import json
from pathlib import Path
from typing import Any

import click


@click.command()
@click.argument("runs", metavar="RUN...", nargs=-1, required=True)
@click.option("--json", "as_json", is_flag=True, help="Print all results as JSON.")
def compare(runs: tuple[str, ...], as_json: bool) -> None:
    """Compare the test metrics of two or more runs.

    Runs on the same test images are compared with the first run, with paired bootstrap intervals. For runs
    of one recipe on one data set that differ only in their seed, mean and spread are given.
    """
    from ..evaluation.compare import compare as compare_runs

    found = compare_runs([Path(run) for run in runs])
    if as_json:
        click.echo(json.dumps(found, indent=2))
    else:
        _print(found)


def _print(found: dict[str, Any]) -> None:
    from ..console import print_table
    from ..evaluation.compare import DIFFERENCES
    from ..metrics.metrics import METRICS

    runs = found["runs"]
    names = [Path(run["run"]).name for run in runs]
    rows = [
        ["seed", *(str(run["seed"]) for run in runs)],
        ["test " + runs[0]["unit"] + "s", *(f"{run['count']}, {run['fractured']} fractured" for run in runs)],
        *([title, *(_cell(run["test"][name]) for run in runs)] for name, title in METRICS.items()),
    ]
    print_table("Test split, with 95 % intervals", ["metric", *names], rows)
    compared = [run for run in runs if run["differences"]]
    if compared:
        rows = [[METRICS[name], *(_cell(run["differences"][name], "+") for run in compared)] for name in DIFFERENCES]
        columns = ["metric", *(Path(run["run"]).name for run in compared)]
        print_table(f"Difference from {names[0]}, with paired 95 % intervals", columns, rows)
    for run in runs:
        if not run["same_test_images"]:
            click.echo(f"{run['run']} was tested on other images than {runs[0]['run']}; no difference is shown")
    if found["summary"]:
        rows = [
            [title, *(f"{found['summary'][name][key]:.4f}" for key in ("mean", "sd", "min", "max"))]
            for name, title in METRICS.items()
        ]
        print_table(f"Over the {len(runs)} runs", ["metric", "mean", "sd", "min", "max"], rows)


def _cell(metric: dict[str, float], sign: str = "-") -> str:
    """Value and interval with three decimals; `sign` "+" also prints the sign of positive numbers."""
    value, low, high = (f"{metric[key]:{sign}.3f}" for key in ("value", "low", "high"))
    return f"{value} ({low} to {high})"

"""`osteolite compare`."""

import json
from pathlib import Path
from typing import Any

import click


@click.command()
@click.argument("runs", metavar="RUN...", nargs=-1, required=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with all figures.")
def compare(runs: tuple[str, ...], as_json: bool) -> None:
    """Put the test figures of runs side by side.

    Runs on the same test images are compared with the first one, by paired bootstrap intervals; the
    mean and the spread over all runs sum up several seeds.
    """
    from ..compare import compare as compare_runs

    found = compare_runs([Path(run) for run in runs])
    if as_json:
        click.echo(json.dumps(found, indent=2))
    else:
        _print(found)


def _print(found: dict[str, Any]) -> None:
    from ..compare import DIFFERENCES
    from ..console import print_table
    from ..evaluation import FIGURES

    titles = [FIGURES[name] for name in DIFFERENCES]
    rows = [
        [run["run"], str(run["seed"]), *(_cell(run["test"][name]) for name in DIFFERENCES)] for run in found["runs"]
    ]
    print_table("Test part, with 95 % intervals", ["run", "seed", *titles], rows)
    compared = [run for run in found["runs"] if run["differences"]]
    if compared:
        rows = [[run["run"], *(_cell(run["differences"][name], "+") for name in DIFFERENCES)] for run in compared]
        print_table(f"Difference from {found['runs'][0]['run']}, paired 95 % intervals", ["run", *titles], rows)
    for run in found["runs"]:
        if not run["same_test_images"]:
            click.echo(f"{run['run']} was tested on other images than the first run: no difference is shown")
    rows = [
        [title, *(f"{found['summary'][name][key]:.4f}" for key in ("mean", "sd", "min", "max"))]
        for name, title in FIGURES.items()
    ]
    print_table(f"Over the {len(found['runs'])} runs", ["figure", "mean", "sd", "min", "max"], rows)


def _cell(figure: dict[str, float], sign: str = "-") -> str:
    """Value and interval in three digits; `sign` "+" writes the sign of positive numbers too."""
    value, low, high = (f"{figure[key]:{sign}.3f}" for key in ("value", "low", "high"))
    return f"{value} ({low} to {high})"

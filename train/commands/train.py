"""`osteolite train`."""

import json
from pathlib import Path
from typing import Any

import click

from .metrics_table import print_metrics
from .options import ALLOW_LEAKS, JSON, SEED, STRATEGY, WEIGHTS


def _thresholds(evaluation: dict[str, Any]) -> str:
    if "threshold" in evaluation:
        return f"threshold {evaluation['threshold']['value']:.4f}"
    accuracy = evaluation["body_part"]["accuracy"]["value"]  # a router: each stage has its own threshold
    stages = ", ".join(f"{body_part} {value:.4f}" for body_part, value in evaluation["thresholds"].items())
    return f"body part accuracy {accuracy:.1%}, thresholds {stages}"


def _print_comparison(folder: Path) -> None:
    from ..console import print_table
    from ..workflows.alternatives import comparison

    results = json.loads((folder / "alternatives.json").read_text(encoding="utf-8"))["results"]
    print_table(f"The alternatives on the same {results[0]['images']} test images", *comparison(results))
    click.echo(f"as CSV: {folder / 'table.csv'}")


@click.command()
@click.argument("data", metavar="DATA")
@click.option("--recipe", required=True, metavar="NAME|FILE", help="A recipe's name, or a TOML file.")
@click.option("--out", metavar="RUN", help="The run folder. Default: runs/RECIPE.")
@WEIGHTS
@SEED
@STRATEGY
@ALLOW_LEAKS
@JSON
def train(
    data: str,
    recipe: str,
    out: str | None,
    weights: str | None,
    seed: int,
    strategy: str,
    allow_leaks: bool,
    as_json: bool,
) -> None:
    """Train a recipe on a folder of labelled radiographs.

    After an interruption, the same command resumes the training.
    """
    from ..report.report import write_report
    from ..workflows.train import train as train_recipe

    folder = Path(out or f"runs/{Path(recipe).stem}")
    runs = train_recipe(Path(data), recipe, folder, weights, seed, allow_leaks, strategy=strategy)
    evaluations = {}
    for run in runs:
        report = write_report(run)
        found = evaluations[run.folder.name] = run.json("evaluation.json")
        if not as_json:
            print_metrics("Test split" if len(runs) == 1 else f"{run.folder.name}, test split", found["test"])
            click.echo(f"{_thresholds(found)}, report {report}")
    if as_json and runs:
        click.echo(json.dumps(evaluations if len(runs) > 1 else found, indent=2))
    elif len(runs) > 1:
        _print_comparison(folder)

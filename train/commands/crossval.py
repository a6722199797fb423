"""`osteolite crossval`."""

import json
from pathlib import Path
from typing import Any

import click

from .options import JSON, SEED, WEIGHTS

_SHOWN = ("auroc", "accuracy", "recall", "precision")


@click.command()
@click.argument("data", metavar="DATA")
@click.option("--recipe", required=True, metavar="NAME|FILE", help="A recipe's name, or a TOML file.")
@click.option("--folds", type=click.IntRange(2, 100), default=10, show_default=True, help="Number of folds.")
@click.option("--out", metavar="RUN", help="The run folder. Default: runs/RECIPE-crossval.")
@WEIGHTS
@SEED
@JSON
def crossval(
    data: str, recipe: str, folds: int, out: str | None, weights: str | None, seed: int, as_json: bool
) -> None:
    """Cross-validate a recipe: every image is scored once by a model that was not trained on its group.

    All alternatives of a recipe are trained on the same folds. Each fold is a run folder that
    `osteolite convert` accepts. After an interruption, the same command resumes the training.
    """
    from ..workflows.crossval import crossval as cross_validate

    folder = Path(out or f"runs/{Path(recipe).stem}-crossval")
    found = cross_validate(Path(data), recipe, folds, folder, weights, seed)
    if as_json:
        click.echo(json.dumps(found, indent=2))
    else:
        _print(found)
        click.echo(f"all results: {folder / 'crossval.json'}")


def _print(found: dict[str, Any]) -> None:
    from ..console import print_table
    from ..metrics.metrics import METRICS

    names = [METRICS[name] for name in _SHOWN]
    title = (
        f"{found['folds']} folds: {found['images']} images, {found['fractured']} fractured, {found['groups']} groups"
    )
    print_table(
        f"{title}; mean and standard deviation over the folds",
        ["recipe", "start", *names],
        (
            [one["name"], one["start"], *(f"{one['mean'][n]:.4f} ± {one['sd'][n]:.4f}" for n in _SHOWN)]
            for one in found["results"]
        ),
    )
    print_table(
        "All held-out predictions together; 95 % intervals",
        ["recipe", *names],
        ([one["name"], *(_interval(one["pooled"][n], "") for n in _SHOWN)] for one in found["results"]),
    )
    if found["differences"]:
        print_table(
            "Differences on the same images; paired 95 % intervals",
            ["difference", *names],
            (
                [f"{one['second']} - {one['first']}", *(_interval(one[n], "+") for n in _SHOWN)]
                for one in found["differences"]
            ),
        )


def _interval(metric: dict[str, float], sign: str) -> str:
    return f"{metric['value']:{sign}.3f} ({metric['low']:{sign}.3f} to {metric['high']:{sign}.3f})"

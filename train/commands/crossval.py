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
@click.option("--folds", type=click.IntRange(2, 100), default=10, show_default=True, help="How many.")
@click.option("--out", metavar="RUN", help="Its folder; default, runs/RECIPE-crossval.")
@WEIGHTS
@SEED
@JSON
def crossval(
    data: str, recipe: str, folds: int, out: str | None, weights: str | None, seed: int, as_json: bool
) -> None:
    """Cross-validate a recipe: every image is judged once by a model that has not seen its group.

    Of a recipe with alternatives, each is trained on the same folds. Each fold is a run of its own,
    which `osteolite convert` takes. Called again after a kill, with the same arguments, it goes on
    where it was.
    """
    from ..workflows.crossval import crossval as cross_validate

    folder = Path(out or f"runs/{Path(recipe).stem}-crossval")
    found = cross_validate(Path(data), recipe, folds, folder, weights, seed)
    if as_json:
        click.echo(json.dumps(found, indent=2))
    else:
        _print(found)
        click.echo(f"all figures: {folder / 'crossval.json'}")


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
        "All images together, each judged while held out; 95 % intervals",
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


def _interval(figure: dict[str, float], sign: str) -> str:
    return f"{figure['value']:{sign}.3f} ({figure['low']:{sign}.3f}, {figure['high']:{sign}.3f})"

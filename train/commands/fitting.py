"""`osteolite train`, `evaluate` and `run`."""

import json
from pathlib import Path
from typing import Any

import click

from osteolite.edge.cli import load_command

WEIGHTS = click.option("--weights", metavar="imagenet|none|PATH", help="Starting weights; default, the recipe's.")
SEED = click.option("--seed", type=click.IntRange(0), default=1, show_default=True, help="Of everything random.")
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def _print_figures(title: str, found: dict[str, Any]) -> None:
    from ..console import print_table

    names = ("auroc", "accuracy", "precision", "recall", "specificity", "f1")
    rows = [[n, f"{found[n]['value']:.4f}", f"{found[n]['low']:.4f} to {found[n]['high']:.4f}"] for n in names]
    rows += [[n, str(found["confusion"][n]), ""] for n in ("tp", "fp", "fn", "tn")]
    print_table(
        f"{title}: {found['images']} images, {found['fractured']} fractured",
        ["figure", "value", "95 % interval"],
        rows,
    )


@click.command()
@click.argument("data", metavar="DATA")
@click.option("--recipe", required=True, metavar="NAME|FILE", help="A recipe's name, or a TOML file.")
@click.option("--out", metavar="RUN", help="The run folder; default, runs/RECIPE.")
@WEIGHTS
@SEED
@JSON
def train(data: str, recipe: str, out: str | None, weights: str | None, seed: int, as_json: bool) -> None:
    """Train a recipe on a folder of labelled radiographs.

    Called again after a kill, with the same arguments, it goes on where it was.
    """
    from ..report import write_report
    from ..train import train as train_recipe

    for run in train_recipe(Path(data), recipe, Path(out or f"runs/{Path(recipe).stem}"), weights, seed):
        write_report(run)
        evaluation = run.json("evaluation.json")
        if as_json:
            click.echo(json.dumps(evaluation, indent=2))
        else:
            _print_figures("Test part", evaluation["test"])
            click.echo(f"threshold {evaluation['threshold']['value']:.4f}, report {run.path('report.html')}")


@click.command()
@click.argument("model", metavar="FILE|RUN")
@click.argument("data", metavar="DATA")
@click.option(
    "--part", type=click.Choice(["train", "validation", "test"]), help="Only this part, where DATA has parts."
)
@JSON
def evaluate(model: str, data: str, part: str | None, as_json: bool) -> None:
    """Figures of a .tflite file, or of a run's Keras model, on labelled radiographs.

    DATA is a folder in a known layout, or the catalogue.csv of a run.
    """
    from ..evaluate import evaluate as evaluate_model

    found = evaluate_model(Path(model), Path(data), part)
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    for file, reason in found["unreadable"].items():
        click.echo(f"left out, unreadable: {file}: {reason}", err=True)
    _print_figures(f"{model} on {data}", found)


@click.command()
@click.argument("data", metavar="[DATA]", required=False)
@click.option("--recipe", default=None, metavar="NAME|FILE", help="Default: phantoms, if DATA is not given.")
@click.option("--out", metavar="RUN", help="The run folder; default, runs/RECIPE.")
@WEIGHTS
@SEED
@click.pass_context
def run(
    ctx: click.Context, data: str | None, recipe: str | None, out: str | None, weights: str | None, seed: int
) -> None:
    """Train, convert, gate, benchmark and try a model in one go.

    Without DATA it draws radiograph phantoms and trains on those. Each step is a command of its
    own, printed as you would type it.
    """
    from ..whole import whole_run

    if data is not None and recipe is None:
        raise click.UsageError("DATA needs a --recipe, for instance --recipe fracatlas_mobilenetv2")
    whole_run(ctx, load_command, data, recipe or "phantoms", out, weights, seed)

"""`osteolite train`, `evaluate` and `run`."""

import json
from pathlib import Path
from typing import Any

import click

from osteolite.edge.cli import load_command
from osteolite.edge.commands.options import MODEL

WEIGHTS = click.option(
    "--weights",
    metavar="imagenet|none|PATH",
    help="Starting weights, as an .h5 file or the folder of an earlier run; default, the recipe's.",
)
SEED = click.option("--seed", type=click.IntRange(0), default=1, show_default=True, help="Of everything random.")
STRATEGY = click.option(
    "--strategy",
    default="none",
    show_default=True,
    metavar="none|mirrored|multiworker",
    help="Train on several GPUs, or on the workers that the variable TF_CONFIG lists.",
)
ALLOW_LEAKS = click.option("--allow-leaks", is_flag=True, help="Train even where the data's own split leaks.")
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def _print_figures(title: str, found: dict[str, Any]) -> None:
    from ..console import print_table
    from ..evaluation import FIGURES

    rows = [
        [label, f"{found[name]['value']:.4f}", f"{found[name]['low']:.4f} to {found[name]['high']:.4f}"]
        for name, label in FIGURES.items()
    ]
    rows += [[n, str(found["confusion"][n]), ""] for n in ("tp", "fp", "fn", "tn")]
    units = "studies" if found["unit"] == "study" else "images"
    print_table(
        f"{title}: {found['count']} {units}, {found['fractured']} fractured",
        ["figure", "value", "95 % interval"],
        rows,
    )


def _honesty(found: dict[str, Any]) -> list[str]:
    """What else an evaluation found, a line each."""

    def told(figure: dict[str, float], places: int = 3) -> str:
        return f"{figure['value']:.{places}f} ({figure['low']:.{places}f} to {figure['high']:.{places}f})"

    fixed, detected = found["at_specificity"], (found["pointing"] or {}).get("detected")
    lines = [f"sensitivity at specificity {fixed['specificity']:.2f}: {told(fixed['sensitivity'])}"]
    if detected:
        lines.append(f"hottest point in a box: {told(detected['share'])} of {detected['images']} detected fractures")
    if found["warnings"]["images"]:
        kinds = ", ".join(f"{kind} {count}" for kind, count in found["warnings"]["kinds"].items())
        lines.append(f"warned of {found['warnings']['images']} images: {kinds}")
    if other := found["against_run"]:
        lines.append(
            f"against the run's own network: {other['flips']} of {other['images']} decisions differ, the "
            f"AUROC changes by {told(other['auroc_difference'], 4)}"
        )
    if outside := found["external"]:
        lines.append(
            f"of {outside['images']} images {outside['alike_to_known']} left out as alike to known ones, "
            f"{outside['contradictory']} as labelled both ways; {outside['left']} different ones in "
            f"{outside['clusters']} clusters, each of which counts once"
        )
    return lines


def _thresholds(evaluation: dict[str, Any]) -> str:
    if "threshold" in evaluation:
        return f"threshold {evaluation['threshold']['value']:.4f}"
    share = evaluation["body_part"]["accuracy"]["value"]  # a router: each stage has its threshold
    stages = ", ".join(f"{part} {value:.4f}" for part, value in evaluation["thresholds"].items())
    return f"body part right {share:.1%}, thresholds {stages}"


def _print_comparison(folder: Path) -> None:
    from ..alternatives import comparison
    from ..console import print_table

    results = json.loads((folder / "alternatives.json").read_text(encoding="utf-8"))["results"]
    print_table(f"The alternatives on the same test part of {results[0]['images']} images", *comparison(results))
    click.echo(f"as CSV: {folder / 'table.csv'}")


@click.command()
@click.argument("data", metavar="DATA")
@click.option("--recipe", required=True, metavar="NAME|FILE", help="A recipe's name, or a TOML file.")
@click.option("--out", metavar="RUN", help="The run folder; default, runs/RECIPE.")
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

    Called again after a kill, with the same arguments, it goes on where it was.
    """
    from ..report import write_papers
    from ..train import train as train_recipe

    folder = Path(out or f"runs/{Path(recipe).stem}")
    runs = train_recipe(Path(data), recipe, folder, weights, seed, allow_leaks, strategy=strategy)
    evaluations = {}
    for run in runs:
        report = write_papers(run)
        found = evaluations[run.folder.name] = run.json("evaluation.json")
        if not as_json:
            _print_figures("Test part" if len(runs) == 1 else f"{run.folder.name}, test part", found["test"])
            click.echo(f"{_thresholds(found)}, report {report}")
    if as_json and runs:
        click.echo(json.dumps(evaluations if len(runs) > 1 else found, indent=2))
    elif len(runs) > 1:
        _print_comparison(folder)


@click.command()
@click.argument("model", type=MODEL, metavar="FILE|NAME|RUN")
@click.argument("data", metavar="DATA")
@click.option(
    "--part", type=click.Choice(["train", "validation", "test"]), help="Only this part, where DATA has parts."
)
@click.option(
    "--known", metavar="DATA", help="What it was trained on: images like these are left out, and alike ones count once."
)
@click.option("--failures", metavar="DIR", help="Draw the worst mistakes into this folder.")
@click.option("--most", type=click.IntRange(1), default=12, show_default=True, help="Mistakes of each kind to draw.")
@JSON
def evaluate(
    model: str, data: str, part: str | None, known: str | None, failures: str | None, most: int, as_json: bool
) -> None:
    """Figures of a .tflite file, a model that ships, or a run's Keras model, on labelled radiographs.

    DATA is a folder in a known layout, a CSV manifest, or the catalogue.csv of a run.
    """
    from ..evaluate import evaluate as evaluate_model

    found = evaluate_model(
        Path(model), Path(data), part, Path(known) if known else None, (Path(failures), most) if failures else None
    )
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    for file, reason in found["unreadable"].items():
        click.echo(f"left out, unreadable: {file}: {reason}", err=True)
    _print_figures(f"{model} on {data}", found)
    for line in _honesty(found):
        click.echo(line)


@click.command()
@click.argument("data", metavar="[DATA]", required=False)
@click.option("--recipe", default=None, metavar="NAME|FILE", help="Default: phantoms, if DATA is not given.")
@click.option("--out", metavar="RUN", help="The run folder; default, runs/RECIPE.")
@WEIGHTS
@SEED
@ALLOW_LEAKS
@click.option("--image", metavar="FILE", help="A radiograph for the last step, about which the shipped model is asked.")
@click.pass_context
def run(
    ctx: click.Context,
    data: str | None,
    recipe: str | None,
    out: str | None,
    weights: str | None,
    seed: int,
    allow_leaks: bool,
    image: str | None,
) -> None:
    """Train, convert, gate, benchmark and try a model in one go.

    Without DATA it draws radiograph phantoms and trains on those. Each step is a command of its
    own, printed as you would type it.
    """
    from ..whole import whole_run

    if data is not None and recipe is None:
        raise click.UsageError("DATA needs a --recipe, for instance --recipe fracatlas_mobilenetv2")
    whole_run(ctx, load_command, data, recipe or "phantoms", out, weights, seed, allow_leaks, image)

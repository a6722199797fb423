"""`osteolite evaluate`."""

import json
from pathlib import Path
from typing import Any

import click

from osteolite.edge.commands.options import MODEL

from .metrics_table import print_metrics
from .options import JSON


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
    from ..evaluation.evaluate import evaluate as evaluate_model

    found = evaluate_model(
        Path(model), Path(data), part, Path(known) if known else None, (Path(failures), most) if failures else None
    )
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    for file, reason in found["unreadable"].items():
        click.echo(f"left out, unreadable: {file}: {reason}", err=True)
    print_metrics(f"{model} on {data}", found)
    for line in _honesty(found):
        click.echo(line)
